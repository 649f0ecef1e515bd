"""How well a network predicts a text: loss, bits per character, perplexity and accuracy."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import ceil, exp, inf, log

import numpy as np

from charrnn.arrays import Array, Arrays, HiddenState
from charrnn.errors import InputError
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.messages import counted
from charrnn.network import Buffers, Network
from charrnn.parallel.workers import ALONE, Workers
from charrnn.preprocessing import Batch, batches, require_text, streams, windows

LN2 = log(2)
TEXT = "text to evaluate"
LARGEST_EXPONENT = log(sys.float_info.max)
POSITIONS_AT_ONCE = 1 << 13  # T·B of a batch; this and the next limit bound the memory and do not affect results
LOGITS_AT_ONCE = 1 << 24  # T·B·V
LOGITS_OF_CURVE = 1 << 31
WINDOWS_AT_ONCE = 64  # that are copied


def evaluate(network: Network, ids: Array, *, num_streams: int = 1, workers: Workers = ALONE) -> dict[str, float]:
    """Read a text once, carrying the state along, and predict every character but the first.

    With `num_streams` above 1, the text is cut into that many streams, which are read in parallel. This is faster, but
    each stream starts from a zero state, so the figures differ a little.

    Parameters
    ----------
    ids
        (n,) ids, n at least 2; may be a memory map.
    workers
        The group that this process belongs to, all with the same network and ids. Each worker reads its shard of the
        streams, and all return the same figures.

    Raises
    ------
    InputError
        If there are fewer than 2 ids, some are not integers in 0 … V-1, or `num_streams` is below 1. With several
        workers, all of them raise it.

    Returns
    -------
    dict
        `loss` in nats per character, `bits_per_char`, `perplexity` (infinite if it exceeds float64), `accuracy`, and
        the number of `characters` predicted.
    """
    totals, sums = np.zeros(3), np.zeros(3)
    for losses, hits in _scores(logits_and_targets(network, ids, num_streams, workers)):
        sums[:] = losses.sum(dtype=np.float64), hits.sum(), losses.size
        workers.all_reduce(sums)  # after each batch, so that a dead worker is noticed at once
        totals += sums
    return figures(float(totals[0]), int(totals[1]), int(totals[2]))


def figures(total_loss: float, correct: int, characters: int) -> dict[str, float]:
    """The figures that `evaluate` returns, from the sum of the losses in nats and the number of correct predictions."""
    loss = total_loss / characters
    return {
        "loss": loss,
        "bits_per_char": loss / LN2,
        "perplexity": exp(loss) if loss < LARGEST_EXPONENT else inf,
        "accuracy": correct / characters,
        "characters": characters,
    }


def require_predictable(network: Network, ids: Array, name: str = TEXT) -> None:
    """Raise InputError unless there are at least 2 ids (n,), and all are integers in 0 … V-1."""
    require_text(ids, network.num_ids, name)
    if len(ids) < 2:
        raise InputError(f"the {name} has {counted(len(ids), 'character')}; it must have at least 2")


def logits_and_targets(
    network: Network, ids: Array, num_streams: int, workers: Workers = ALONE
) -> Iterator[tuple[Array, Array]]:
    """Yield the logits (T, B, V) that `evaluate` scores, and their targets, the ids (T, B) that follow, batch by batch.

    The next batch overwrites the logits. With several workers, B is the number of this worker's streams.

    Raises
    ------
    InputError
        As in `evaluate`, when the function is called.
    """
    require_predictable(network, ids)
    if num_streams < 1:
        raise InputError(f"num_streams is {num_streams}; it must be at least 1")
    columns = workers.shard(min(num_streams, len(ids) - 1))
    pairs = streams(ids, num_streams, max(1, _positions_at_once(network) // num_streams))
    return _predictions(network, pairs, columns, carry_state=True)


def context_curve(
    network: Network, ids: Array, window_size: int, runs: Sequence[slice | Array] | None = None
) -> dict[str, Array]:
    """How much context helps: `loss` (nats) and `accuracy` (window_size,) by position in a window.

    The figures are means over windows that each start from a zero state: at the first position the network has seen
    one character, at the last `window_size`.

    Parameters
    ----------
    runs
        The windows to read, as indices into all windows, which start one character apart; by default `context_runs`.

    Raises
    ------
    InputError
        If the text is not longer than a window, or some ids are not in 0 … V-1.
    """
    require_text(ids, network.num_ids, TEXT)
    loss, correct, num_windows = np.zeros(window_size), np.zeros(window_size), 0
    at_once = max(1, _positions_at_once(network) // window_size)
    every = windows(ids, window_size, stride=1)
    runs = context_runs(len(every), window_size, network.output_dim) if runs is None else runs
    pairs = chain.from_iterable(batches(every[run], at_once) for run in runs)
    for losses, hits in _scores(_predictions(network, pairs, slice(None), carry_state=False)):
        loss += losses.sum(axis=1, dtype=np.float64)
        correct += hits.sum(axis=1)
        num_windows += losses.shape[1]
    return {"loss": loss / num_windows, "accuracy": correct / num_windows}


def context_runs(num_windows: int, window_size: int, V: int) -> Sequence[slice | Array]:
    """Which of all `num_windows` windows in a text `context_curve` reads: equally long runs of consecutive ones.

    In consecutive windows, all positions meet nearly the same characters, so the curve shows the effect of context and
    not which characters happen to be at a position. (Windows a fixed stride apart give a curve with that period.) The
    runs are spread evenly over the text, with about eight windows for every `window_size` characters, or fewer if a
    large vocabulary, of size V, would make this take minutes. If these are too few for two runs as long as a window,
    they are drawn at random instead.
    """
    wanted = max(1, min(8 * num_windows, LOGITS_OF_CURVE // V) // window_size)
    if wanted >= num_windows:
        return [slice(0, num_windows)]
    if wanted < 2 * window_size:
        starts = np.sort(np.random.default_rng(0).integers(num_windows, size=wanted))
        return np.array_split(starts, ceil(wanted / WINDOWS_AT_ONCE))
    length = min(wanted // 2, 10 * window_size)
    num_runs = ceil(wanted / length)
    return [slice(start, start + length) for start in np.linspace(0, num_windows - length, num_runs, dtype=int)]


def _positions_at_once(network: Network) -> int:
    return min(POSITIONS_AT_ONCE, LOGITS_AT_ONCE // network.output_dim)


def _predictions(
    network: Network, pairs: Iterable[Batch], columns: slice, carry_state: bool
) -> Iterator[tuple[Array, Array]]:
    """Yield the logits and targets of some columns of each batch; the next batch overwrites the logits."""
    buffers: Buffers | None = None
    state: HiddenState | None = None
    for batch in pairs:
        x, y = (ids[:, columns] for ids in batch)
        if not x.size:  # more workers than columns
            yield np.empty((*x.shape, network.output_dim), network.dtype), y
            continue
        if buffers is None or buffers.inputs[0].shape != x.shape:
            buffers = network.allocate(*x.shape)
        yield network.forward(x, buffers, state), y
        if carry_state:
            state = network.final_state(buffers)


def _scores(predictions: Iterable[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
    """Yield for each batch the loss at each position and whether the most probable character was right, both (T, B).

    The next batch overwrites the losses.
    """
    cross_entropy = SparseCategoricalCrossentropy()
    buffers: Arrays | None = None
    for logits, targets in predictions:
        if buffers is None or buffers.losses.shape != targets.shape:
            T, B, V = logits.shape
            buffers = cross_entropy.allocate(T, B, V, logits.dtype)
        yield cross_entropy.forward(logits, targets, buffers), logits.argmax(axis=-1) == targets
