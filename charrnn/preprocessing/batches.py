"""Mini-batches: windows in random order, or streams that are read in parallel.

A batch is a pair of time-major arrays: x (T, B) holds the ids to read, y (T, B) the id that follows each of them. Ids
are copied only when a batch is put together.
"""

from collections.abc import Iterator

import numpy as np

from charrnn.errors import InputError
from charrnn.messages import counted
from charrnn.preprocessing.memory_map import release

SHUFFLED_AT_ONCE = 1 << 20  # windows

Batch = tuple[np.ndarray, np.ndarray]


def require_window(size: int, window_size: int, text: str = "text") -> None:
    """Raise InputError unless a text of this size has a window; the message calls it `text`."""
    if size <= window_size:
        raise InputError(
            f"window_size is {window_size}; it must be below the length of the {text}, {counted(size, 'character')}: "
            "lower it or use a longer text"
        )


def windows(ids: np.ndarray, window_size: int, stride: int) -> np.ndarray:
    """All windows of window_size + 1 consecutive ids, `stride` apart, as a view (N, window_size + 1).

    The last id of a window is only predicted. Every window lies within `ids`.

    Raises
    ------
    InputError
        If `ids` is too short for one window.
    """
    require_window(len(ids), window_size)
    return np.lib.stride_tricks.sliding_window_view(ids, window_size + 1)[::stride]


def batches(
    windows: np.ndarray, batch_size: int, rng: np.random.Generator | None = None, first: int = 0
) -> Iterator[Batch]:
    """Yield every window once, `batch_size` at a time (fewer in the last batch), shuffled if there is an `rng`.

    The first `first` batches are skipped; the others are the same as without skipping. If there are more than
    SHUFFLED_AT_ONCE windows, they are shuffled in stretches of that length, and the stretches come in random order.
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


def stream_length(n: int, num_streams: int) -> int:
    """The number of ids that each of `num_streams` streams predicts in a text of n ids."""
    return (n - 1) // min(num_streams, n - 1)


def streams(ids: np.ndarray, num_streams: int, window_size: int, first: int = 0) -> Iterator[Batch]:
    """Cut the text into `num_streams` equal streams and read them in parallel, `window_size` characters at a time.

    Column b of each batch starts where column b of the previous batch ended, so that the state can be carried. Every
    character but the first is predicted once, except for up to num_streams - 1 at the end that do not fill a row. The
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
