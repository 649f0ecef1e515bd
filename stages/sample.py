"""Stage 6, sample: generate text with the trained model, from a start string."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.config import SamplingConfig, Setting
from charrnn.errors import InputError
from charrnn.messages import quoted
from charrnn.model_file import ModelFile
from charrnn.sampling import generate, generate_streams, until
from charrnn.storage.files import atomic_write
from stages.common import flags, prompt
from stages.common.lock import sole_writer
from stages.common.params import PromptConfig, params_of
from stages.common.program import run
from stages.common.trained import load_trained

PARAMS = (*params_of(PromptConfig, SamplingConfig), "seed")
PATHS = ("data_dir", "model_dir", "model_filename", "weights_path")
NUM_SAMPLES = Setting(1, "number of samples", "num_samples", at_least=1, at_most=10**6)
BETWEEN_SAMPLES = "\n" + 20 * "-" + "\n"


def main() -> None:
    parser = flags.parser(__doc__, PARAMS, PATHS)
    prompt.add_arguments(parser)
    parser.add_argument("--num-samples", default="1", metavar="INT", help=f"{NUM_SAMPLES.help} (default: 1)")
    parser.add_argument("--stop", default="", metavar="TEXT", help="end a sample as soon as it contains this")
    parser.add_argument("--temperatures", nargs="+", metavar="FLOAT", help="sample at each of these temperatures")
    parser.add_argument("--output", type=Path, metavar="PATH", help="also write the output to this file")
    args = parser.parse_args()
    args.start_string = prompt.start_string(args)
    num_samples = NUM_SAMPLES.parse(args.num_samples)
    if args.temperatures and args.temperature is not None:
        raise InputError("--temperature and --temperatures are given; use only one of them")
    settings = []
    for temperature in args.temperatures or [args.temperature]:
        args.temperature = temperature
        settings.append(flags.values(args, PARAMS))

    trained, stop = load_trained(flags.paths(args)), prompt.as_utf8(args.stop) or ""
    try:
        trained.vectorizer.encode(stop)
    except InputError as error:
        raise InputError(f"--stop is {quoted(stop)}, which no sample can contain: {error}") from None
    with_headings = args.temperatures is not None
    text = pieces(trained, settings, with_headings=with_headings, num_samples=num_samples, stop=stop)
    write(text, args.output)


def pieces(
    trained: ModelFile, settings: Sequence[dict[str, Any]], *, with_headings: bool, num_samples: int, stop: str
) -> Iterator[str]:
    """The samples at each of these settings, piece by piece, with what stands between them."""
    for i, params in enumerate(settings):
        rng, start = np.random.default_rng(params.pop("seed")), params["start_string"]
        heading = f"temperature {params['temperature']:g}:\n" if with_headings else ""
        if num_samples > 1 and params["temperature"] == 0:
            print("warning: at temperature 0 all samples are the same; this is one of them", file=sys.stderr)
        if num_samples == 1 or params["temperature"] == 0:
            samples: Iterable[Iterable[str]] = [generate(trained.model, trained.vectorizer, rng=rng, **params)]
        else:
            samples = generate_streams(trained.model, trained.vectorizer, num_streams=num_samples, rng=rng, **params)
        for j, continuation in enumerate(samples):
            yield (BETWEEN_SAMPLES if i or j else "") + heading + start
            yield from until(continuation, stop)
    yield "\n"


def write(text: Iterable[str], path: Path | None) -> None:
    """Print the pieces of a text as they come, and write all of them to the file, even if nobody reads what is printed.

    Raises
    ------
    OSError
        If they can't be printed (when the file has been written), or the file can't be written.
    """
    if path is None:
        for piece in text:
            print(piece, end="", flush=True)
        return
    unprinted = None
    with sole_writer(path), atomic_write(path) as file:
        for piece in text:
            file.write(piece.encode())
            if unprinted is None:
                try:
                    print(piece, end="", flush=True)
                except OSError as error:
                    unprinted = error
    if unprinted:
        raise unprinted


if __name__ == "__main__":
    run(main)
