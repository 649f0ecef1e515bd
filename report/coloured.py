"""Coloured text: characters with a level each become spans, as few and as short as possible."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from charrnn.arrays import Array
from report.characters import clusters, label, visible

MOST_BITS = 8  # the darkest level of surprise
MOST_DEVIATIONS = 3  # the darkest levels of a unit


class Span(NamedTuple):
    """A piece of text with a style sheet class, or none, and a title that is shown on hovering."""

    text: str
    style: str = ""
    title: str = ""


def by_surprise(text: str, bits: Array, titles: Sequence[str]) -> Iterator[Span]:
    """A span for each character with its own title; classes s0 … s8 are whole bits."""
    for part in clusters(text):
        level = min(int(bits[part].max()), MOST_BITS)
        yield Span(visible(text[part]), f"s{level}", "\n".join(titles[part]))


def by_value(text: str, values: Array, mean: float, deviation: float) -> Iterator[Span]:
    """Spans of equal level: classes n3 … n1 below the mean, p1 … p3 above it, by rounded standard deviations."""
    scaled = (values - mean) / (deviation or 1)
    levels = np.clip(np.rint(scaled), -MOST_DEVIATIONS, MOST_DEVIATIONS).astype(int)
    return _runs(text, [f"{'n' if level < 0 else 'p'}{abs(level)}" if level else "" for level in levels])


def marked(text: str, marks: Array) -> Iterator[Span]:
    """Spans of class m where `marks` (n,) bool is set."""
    return _runs(text, ["m" if mark else "" for mark in marks])


def candidates(vocabulary: str, ids: Array, probabilities: Array) -> str:
    """The candidates for a character, one a line with its probability."""
    return "\n".join(f"{label(vocabulary[id])} {percent(p)}" for id, p in zip(ids, probabilities))


def percent(share: float) -> str:
    """A probability in percent, with a digit after the point below ten.

    >>> percent(0.123), percent(0.0123), percent(0.0001)
    ('12%', '1.2%', '<0.1%')
    """
    return "<0.1%" if share < 0.0005 else f"{share:.1%}" if share < 0.0995 else f"{share:.0%}"


def _runs(text: str, styles: Sequence[str]) -> Iterator[Span]:
    """Spans of equal style; a cluster has that of its first character."""
    parts = [(styles[part.start], text[part]) for part in clusters(text)]
    for style, run in groupby(parts, key=lambda part: part[0]):
        yield Span(visible("".join(part for _, part in run)), style)
