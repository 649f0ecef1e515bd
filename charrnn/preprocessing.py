"""From characters to mini-batches of ids: vectorizing, splitting, cutting windows, and batching.

The split keeps the order of the text, nothing is copied before a mini-batch is put together, and a batch is a pair of
time-major arrays: x (T, B) holds the ids that are read, y (T, B) the id that follows each of them.
"""

import mmap
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from charrnn.errors import InputError

SHUFFLED_AT_ONCE = 1 << 20  # windows

Batch = tuple[np.ndarray, np.ndarray]


def code_points(text: str) -> np.ndarray:
    """The Unicode code point of each character, uint32.

    Raises
    ------
    InputError
        For a lone surrogate, which is not a character, naming its position.
    """
    try:
        return np.frombuffer(text.encode("utf-32-le"), "<u4")
    except UnicodeEncodeError as error:
        raise InputError(
            f"text has a lone surrogate {text[error.start]!r} at position {error.start}; only characters are allowed"
        ) from None


@dataclass(frozen=True)
class TextVectorizer:
    """A two-way map between characters and the ids 0 … V-1, which follow the order of `vocabulary`.

    Raises
    ------
    InputError
        If `vocabulary` is empty or names a character twice.
    """

    vocabulary: str

    def __post_init__(self) -> None:
        if not self.vocabulary:
            raise InputError("vocabulary is empty; it must have at least one character")
        if len(set(self.vocabulary)) < len(self.vocabulary):
            raise InputError("vocabulary has a character twice; each may occur once")

    @classmethod
    def fit(cls, text: str | Iterable[str]) -> "TextVectorizer":
        """The vectorizer of all characters in a text, or in the pieces of one, sorted by code point."""
        pieces = [text] if isinstance(text, str) else text
        seen = np.zeros(0x110000, bool)
        for piece in pieces:
            points = code_points(piece)
            seen[points[~np.take(seen, points)]] = True  # reading is faster than writing, and few are new
        return cls("".join(map(chr, np.flatnonzero(seen))))

    @property
    def vocabulary_size(self) -> int:
        """V"""
        return len(self.vocabulary)

    @property
    def dtype(self) -> np.dtype:
        """The smallest unsigned integer type that holds every id."""
        return np.min_scalar_type(self.vocabulary_size - 1)

    @cached_property
    def _code_points(self) -> np.ndarray:
        return code_points(self.vocabulary)

    @cached_property
    def _ids(self) -> np.ndarray:
        """The id of each code point, V for those that have none; the last entry stands for all that are larger."""
        V = self.vocabulary_size
        ids = np.full(self._code_points.max() + 2, V, np.min_scalar_type(V))
        ids[self._code_points] = np.arange(V)
        return ids

    def encode(self, text: str) -> np.ndarray:
        """The id of each character: (len(text),) of `dtype`.

        Raises
        ------
        InputError
            If characters are not in the vocabulary; it names the first few of them with their positions.
        """
        ids = np.take(self._ids, code_points(text), mode="clip")
        unknown = np.flatnonzero(ids == self.vocabulary_size)
        if len(unknown):
            named = ", ".join(f"{text[i]!r} at position {i}" for i in unknown[:5])
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            raise InputError(f"text has characters that are not in the vocabulary: {named}{more}")
        return ids.astype(self.dtype, copy=False)

    def encode_known(self, text: str) -> tuple[np.ndarray, Counter[str]]:
        """The ids of those characters that are in the vocabulary, and how often there were which others."""
        ids = np.take(self._ids, code_points(text), mode="clip")
        unknown = Counter(text[i] for i in np.flatnonzero(ids == self.vocabulary_size))
        return ids[ids < self.vocabulary_size].astype(self.dtype), unknown

    def decode(self, ids: np.ndarray | list[int]) -> str:
        """The text of ids (n,)."""
        return self._code_points[np.asarray(ids, np.intp)].tobytes().decode("utf-32-le")


def split_sizes(n: int, train_size: float, validation_size: float) -> tuple[int, int, int]:
    """How many of n characters go to training, validation and test, in this order of the text.

    `train_size` is the share of the text that is not test, `validation_size` the share of that which is validation.

    Raises
    ------
    InputError
        If a part would have fewer than 2 characters: one to read and one to predict.
    """
    training = int(n * train_size)
    validation = int(training * validation_size)
    sizes = (training - validation, validation, n - training)
    for name, size in zip(("training", "validation", "test"), sizes):
        if size < 2:
            raise InputError(
                f"the text has {n} characters, which leaves {size} for {name} at train_size {train_size} and "
                f"validation_size {validation_size}; each part needs at least 2"
            )
    return sizes


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

    The `first` batches are left out; the others are what they would be with them. More than SHUFFLED_AT_ONCE windows
    are shuffled in stretches of that many, which come in random order themselves.
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
    """The numbers 0 … n-1 in pieces of SHUFFLED_AT_ONCE."""
    starts = np.arange(0, n, SHUFFLED_AT_ONCE)
    for start in starts if rng is None else rng.permutation(starts):
        size = min(SHUFFLED_AT_ONCE, n - start)
        yield start + (np.arange(size) if rng is None else rng.permutation(size))


def _batch(windows: np.ndarray, places: np.ndarray) -> Batch:
    ids = np.ascontiguousarray(windows[places].T)
    release(windows)
    return ids[:-1], ids[1:]


def release(array: np.ndarray) -> None:
    """If the array shows a file that is memory-mapped for reading only, give up the memory that holds what was read.

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

    Column b of each batch goes on where column b of the one before ended, so that a carried state fits. Every
    character but the first is predicted once, save the up to num_streams - 1 last ones that do not fill a row. The
    `first` batches are left out.
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
