"""How well a model predicts a text: loss, bits per character, perplexity and accuracy."""

from collections.abc import Iterable, Iterator
from math import exp, log
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from charrnn.arrays import State
from charrnn.errors import InputError
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.preprocessing import Batch, batches, require_ids, streams, windows
from charrnn.ranks import ALONE, Ranks

if TYPE_CHECKING:  # models.py imports this module
    from charrnn.models import Model, Workspace

LN2 = log(2)
Prediction = tuple[np.ndarray, np.ndarray]
POSITIONS_AT_ONCE = 1 << 13  # T·B of a batch; this and the next bound memory, and change no result
LOGITS_AT_ONCE = 1 << 24  # T·B·V


def evaluate(model: "Model", ids: np.ndarray, *, num_streams: int = 1, ranks: Ranks = ALONE) -> dict[str, float]:
    """Read a text once, with carried state, and predict each of its characters but the first.

    With `num_streams` above 1 the text is read from that many places side by side, which is faster; each place
    starts from a zero state, so the figures differ a little.

    Parameters
    ----------
    ids
        (n,) ids, n at least 2; may be a memory map.
    ranks
        Whoever evaluates the model together with this process, with the same model and ids. Each reads from its share
        of the places, and all have the same result.

    Raises
    ------
    InputError
        If there are fewer than 2 ids, some are not in 0 … V-1, or `num_streams` is below 1. With several ranks, only
        those raise it that meet such an id, and the others wait.

    Returns
    -------
    dict
        `loss` in nats per character, `bits_per_char`, `perplexity`, `accuracy`, and how many `characters` were
        predicted.
    """
    totals = np.zeros(3)
    for losses, hits in _scored(read_in_streams(model, ids, num_streams, ranks)):
        totals += losses.sum(dtype=np.float64), hits.sum(), losses.size
    ranks.sum(totals)
    characters = int(totals[2])
    loss, correct = float(totals[0]) / characters, int(totals[1])
    return {
        "loss": loss,
        "bits_per_char": loss / LN2,
        "perplexity": exp(min(loss, 700.0)),  # above that it would overflow
        "accuracy": correct / characters,
        "characters": characters,
    }


def read_in_streams(model: "Model", ids: np.ndarray, num_streams: int, ranks: Ranks = ALONE) -> Iterator[Prediction]:
    """The logits (T, B, V) with which `evaluate` predicts a text, in a buffer that the next batch overwrites, and the
    ids (T, B) that came true, batch by batch. With several ranks, those of this rank's share.

    Raises
    ------
    InputError
        As `evaluate` does: about the length and `num_streams` at once, about ids when they are read.
    """
    if len(ids) < 2:
        raise InputError(f"the text to evaluate has {len(ids)} characters; it must have at least 2")
    if num_streams < 1:
        raise InputError(f"num_streams is {num_streams}; it must be at least 1")
    own = ranks.share(min(num_streams, len(ids) - 1))
    pairs = streams(ids, num_streams, max(1, _positions_at_once(model) // num_streams))
    own_pairs = ((x[:, own], y[:, own]) for x, y in (pairs if own.stop > own.start else ()))
    return _predictions(model, own_pairs, carry_state=True)


def context_curve(model: "Model", ids: np.ndarray, window_size: int) -> dict[str, np.ndarray]:
    """How much context helps: `loss` (nats) and `accuracy` (window_size,) by position in a window.

    Averaged over windows that each start from a zero state, so that the first entry has seen one character and the
    last `window_size`. They overlap, with a start every eighth of a window: a curve from fewer is too ragged to read.
    """
    loss, correct = np.zeros(window_size), np.zeros(window_size)
    cut = windows(ids, window_size, stride=max(1, window_size // 8))
    pairs = batches(cut, max(1, _positions_at_once(model) // window_size))
    for losses, hits in _scored(_predictions(model, pairs, carry_state=False)):
        loss += losses.sum(axis=1, dtype=np.float64)
        correct += hits.sum(axis=1)
    return {"loss": loss / len(cut), "accuracy": correct / len(cut)}


def _positions_at_once(model: "Model") -> int:
    return min(POSITIONS_AT_ONCE, LOGITS_AT_ONCE // model.layers[-1].output_dim)


def _predictions(model: "Model", pairs: Iterable[Batch], carry_state: bool) -> Iterator[Prediction]:
    """For each batch the logits (T, B, V), in a buffer that the next batch overwrites, and the ids that came true."""
    V = model.layers[-1].output_dim
    work: Workspace | None = None
    state: State | None = None
    for x, y in pairs:
        require_ids(x, V)
        require_ids(y, V)
        if work is None or work.inputs[0].shape != x.shape:
            work = model.work(*x.shape)
        yield model.forward(x, work, state), y
        if carry_state:
            state = model.final_state(work)


def _scored(predictions: Iterable[Prediction]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each batch the loss of each position, in a buffer that the next batch overwrites, and whether its most
    probable character came true, both (T, B)."""
    cross_entropy = SparseCategoricalCrossentropy()
    work: SimpleNamespace | None = None
    for logits, targets in predictions:
        if work is None or work.losses.shape != targets.shape:
            T, B, V = logits.shape
            work = cross_entropy.work(T, B, V, logits.dtype)
        yield cross_entropy.forward(logits, targets, work), logits.argmax(axis=-1) == targets
