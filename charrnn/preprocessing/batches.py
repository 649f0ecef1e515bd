"""Mini-batches: windows in random order, or streams that are read side by side.

A batch is a pair of time-major arrays: x (T, B) holds the ids to read, y (T, B) the id that follows each of them.
Nothing is copied before a batch is put together.
"""

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

from charrnn.errors import InputError

SHUFFLED_AT_ONCE = 1 << 20  # windows

Batch = tuple[np.ndarray, np.ndarray]


def windows(ids: np.ndarray, window_size: int, stride: int) -> np.ndarray:
    """Views of window_size + 1 consecutive ids (the last one is only predicted), `stride` apart.

    Nothing is copied, and no window reaches over either end of `ids`: (N, window_size + 1).

    Raises
    ------
    InputError
        If `ids` is too short for one window.
    """
    if len(ids) <= window_size:
        raise InputError(
            f"window_size is {window_size}; in a text of {len(ids)} characters it must be below that: "
            "make it smaller or take a longer text"
        )
    return np.lib.stride_tricks.sliding_window_view(ids, window_size + 1)[::stride]


def batches(
    windows: np.ndarray, batch_size: int, rng: np.random.Generator | None = None, first: int = 0
) -> Iterator[Batch]:
    """Every window once, `batch_size` at a time (fewer in the last batch), shuffled if there is an `rng`.

    The first `first` batches are skipped; the others are the same as without skipping. More than SHUFFLED_AT_ONCE
    windows are shuffled in stretches of that many, which come in random order themselves.
    """
    order = np.empty(0, np.intp)
    for stretch in _stretches(len(windows), rng):
        order = np.concatenate([order, stretch])
        whole_batches = len(order) // batch_size * batch_size
        for start in range(first * batch_size, whole_batches, batch_size):
            yield _batch(windows, order[start : start + batch_size])
        first = max(0, first - whole_batches // batch_size)
        order = order[whole_batches:]
    if len(order) and not first:
        yield _batch(windows, order)


def _stretches(n: int, rng: np.random.Generator | None) -> Iterator[np.ndarray]:
    """The numbers 0 … n-1 in stretches of SHUFFLED_AT_ONCE."""
    starts = np.arange(0, n, SHUFFLED_AT_ONCE)
    for start in starts if rng is None else rng.permutation(starts):
        size = min(SHUFFLED_AT_ONCE, n - start)
        yield start + (np.arange(size) if rng is None else rng.permutation(size))


def _batch(windows: np.ndarray, places: np.ndarray) -> Batch:
    ids = np.ascontiguousarray(windows[places].T)
    release(windows)
    return ids[:-1], ids[1:]


def release(array: np.ndarray) -> None:
    """If the array is a view of a file that is memory-mapped for reading only, release the memory of what was read.

    Nothing is lost: the operating system may keep the file in its cache, and reading again brings it back.
    """
    mapped: Any = None
    source: Any = array
    while source is not None and not isinstance(source, mmap.mmap):
        mapped, source = source, getattr(source, "base", None)
    if source is not None and getattr(mapped, "mode", None) == "r" and hasattr(mmap, "MADV_DONTNEED"):
        source.madvise(mmap.MADV_DONTNEED)


def require_ids(ids: np.ndarray, V: int) -> None:
    """Raise InputError unless there are ids and all of them are in 0 … V-1."""
    if not ids.size:
        raise InputError("there are no ids; at least one is needed")
    lowest, highest = ids.min(), ids.max()
    if lowest < 0 or highest >= V:
        raise InputError(f"ids go from {lowest} to {highest}; the model knows those from 0 to {V - 1}")


def stream_length(n: int, num_streams: int) -> int:
    """How many of n ids each of `num_streams` streams predicts."""
    return (n - 1) // min(num_streams, n - 1)


def streams(ids: np.ndarray, num_streams: int, window_size: int, first: int = 0) -> Iterator[Batch]:
    """Read `num_streams` equal stretches of the text side by side, `window_size` characters at a time.

    Column b of each batch starts where column b of the batch before ended, so that a carried state fits. Every
    character but the first is predicted once, except for up to num_streams - 1 last ones that do not fill a row. The
    first `first` batches are skipped.
    """
    length = stream_length(len(ids), num_streams)
    num_streams = min(num_streams, len(ids) - 1)
    x = ids[: num_streams * length].reshape(num_streams, length).T
    y = ids[1 : num_streams * length + 1].reshape(num_streams, length).T
    for start in range(first * window_size, length, window_size):
        part = slice(start, start + window_size)
        pair = np.array(x[part], order="C"), np.array(y[part], order="C")
        release(ids)
        yield pair
