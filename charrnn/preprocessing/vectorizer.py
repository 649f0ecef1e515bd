"""Vectorizing: from characters to ids, and back."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from charrnn.errors import InputError
from charrnn.messages import quoted
from charrnn.preprocessing.ids import require_ids


def code_points(text: str) -> np.ndarray:
    """The Unicode code point of each character, uint32.

    Raises
    ------
    InputError
        For a lone surrogate, which is not a character; the message names its position.
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
            raise InputError("vocabulary has a character twice; each may occur only once")

    @classmethod
    def fit(cls, text: str | Iterable[str]) -> "TextVectorizer":
        """The vectorizer of all characters, sorted by code point, in a text or in an iterable of its chunks."""
        chunks = [text] if isinstance(text, str) else text
        seen = np.zeros(0x110000, bool)
        for chunk in chunks:
            points = code_points(chunk)
            seen[points[~np.take(seen, points)]] = True  # reading is faster than writing, and few are new
        return cls("".join(map(chr, np.flatnonzero(seen))))

    def extended(self, other: "TextVectorizer") -> "TextVectorizer":
        """This vectorizer with the characters that only `other` has appended, in its order. Known ids stay the same."""
        known = set(self.vocabulary)
        return TextVectorizer(self.vocabulary + "".join(c for c in other.vocabulary if c not in known))

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
        """The id of each code point, or V if it has none; the last entry stands for all larger code points."""
        V = self.vocabulary_size
        ids = np.full(self._code_points.max() + 2, V, np.min_scalar_type(V))
        ids[self._code_points] = np.arange(V)
        return ids

    def encode(self, text: str) -> np.ndarray:
        """The id of each character: (len(text),) of `dtype`.

        Raises
        ------
        InputError
            If characters are not in the vocabulary; the message names the first few with their positions.
        """
        ids = np.take(self._ids, code_points(text), mode="clip")
        unknown = np.flatnonzero(ids == self.vocabulary_size)
        if len(unknown):
            named = ", ".join(f"{quoted(text[i])} at position {i}" for i in unknown[:5])
            more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
            raise InputError(f"the vocabulary lacks {named}{more}")
        return ids.astype(self.dtype, copy=False)

    def encode_known(self, text: str) -> tuple[np.ndarray, Counter[str]]:
        """The ids of the characters that are in the vocabulary, and the counts of all others."""
        ids = np.take(self._ids, code_points(text), mode="clip")
        unknown = Counter(text[i] for i in np.flatnonzero(ids == self.vocabulary_size))
        return ids[ids < self.vocabulary_size].astype(self.dtype), unknown

    def decode(self, ids: np.ndarray | list[int]) -> str:
        """The text of ids (n,).

        Raises
        ------
        InputError
            If some are not integers in 0 … V-1.
        """
        ids = np.asarray(ids) if len(ids) else np.empty(0, np.intp)
        require_ids(ids, self.vocabulary_size)
        return self._code_points[ids].tobytes().decode("utf-32-le")
