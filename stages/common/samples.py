"""Samples as `sample` prints them: their pieces, with their surprise if it is to be shown, on the way out."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.arrays import Array
from charrnn.blas import BLOCK
from charrnn.messages import quoted, shown_lines
from charrnn.model_file import ModelFile
from charrnn.reading import Context, candidates, context_after, surprise
from charrnn.sampling import generate, generate_streams, start_ids, until
from charrnn.storage.files import atomic_write
from stages.common.colour import shaded
from stages.common.lock import sole_writer

BETWEEN_SAMPLES = "\n" + 20 * "-" + "\n"

Piece = tuple[str, Array | None]  # a text, and the bits by which each character is to be shaded, or None for no shade


def samples(
    trained: ModelFile,
    settings: Sequence[dict[str, Any]],
    *,
    with_headings: bool,
    num_samples: int,
    stop: str,
    shade: bool,
) -> Iterator[Piece]:
    """The samples at each of these settings, piece by piece, with what stands between them."""
    for i, params in enumerate(settings):
        start = params["start_string"]
        heading = f"temperature {params['temperature']:g}:\n" if with_headings else ""
        for j, continuation in enumerate(_continuations(trained, params, num_samples)):
            yield (BETWEEN_SAMPLES if i or j else "") + heading + start, None
            blocks = _blocks(until(continuation, stop))
            yield from _with_surprise(trained, start, blocks) if shade else ((block, None) for block in blocks)
    yield "\n", None


def _continuations(trained: ModelFile, params: dict[str, Any], num_samples: int) -> Sequence[Iterable[str]]:
    model, vectorizer, settings = trained.model, trained.vectorizer, dict(params)
    rng, greedy = np.random.default_rng(settings.pop("seed")), params["temperature"] == 0
    if num_samples > 1 and greedy:
        print("warning: at temperature 0 all samples are the same; this is one of them", file=sys.stderr)
    if num_samples == 1 or greedy:
        return [generate(model, vectorizer, rng=rng, **settings)]
    return generate_streams(model, vectorizer, num_streams=num_samples, rng=rng, **settings)


def _blocks(characters: Iterable[str]) -> Iterator[str]:
    """As many characters at a time as `generate` computes at once."""
    characters = iter(characters)
    while block := "".join(islice(characters, BLOCK)):
        yield block


def _with_surprise(trained: ModelFile, start: str, blocks: Iterable[str]) -> Iterator[Piece]:
    """Each block with the bits of its characters at temperature 1, after the start and all blocks before."""
    context: Context | None = context_after(trained.model, start_ids(trained.model, trained.vectorizer, start))
    for block in blocks:
        bits, context = surprise(trained.model, trained.vectorizer.encode(block), context)
        yield block, bits


def next_candidates(trained: ModelFile, context: Context, k: int) -> list[tuple[str, float]]:
    """The k most probable characters after what was read, most probable first, with their probabilities."""
    ids, probabilities = candidates(context.probabilities(), k)
    return [(trained.vectorizer.vocabulary[id], probability) for id, probability in zip(ids, probabilities)]


def as_row(character: str, probability: float) -> str:
    """A candidate for the next character, as it is shown."""
    return f"{probability:9.4%}  {quoted(character)}"


def next_characters(trained: ModelFile, start: str, k: int) -> Iterator[Piece]:
    """A row for each of the k most probable characters after a start string."""
    context = context_after(trained.model, start_ids(trained.model, trained.vectorizer, start))
    for candidate in next_candidates(trained, context, k):
        yield as_row(*candidate) + "\n", None


def write(pieces: Iterable[Piece], path: Path | None) -> None:
    """Print the pieces as they come, shaded, and write all of them to the file, even if nobody reads what is printed.

    Raises
    ------
    OSError
        If they can't be printed (when the file has been written), or the file can't be written.
    """
    if path is None:
        for piece in pieces:
            _print(*piece)
        return
    unprinted = None
    with sole_writer(path), atomic_write(path) as file:
        for piece in pieces:
            file.write(piece[0].encode())
            if unprinted is None:
                try:
                    _print(*piece)
                except OSError as error:
                    unprinted = error
    if unprinted:
        raise unprinted


def _print(text: str, bits: Array | None) -> None:
    if bits is not None:
        text = shaded(text, bits)
    elif sys.stdout.isatty():
        text = shown_lines(text)
    print(text, end="", flush=True)
