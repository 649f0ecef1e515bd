"""Choosing the passages that the report shows, from the half of the reading that no probe is fitted on."""

import numpy as np

from charrnn.arrays import Array

NEXT_LINE = 400  # characters in which a passage looks for a line to begin with


def passage(text: str, length: int) -> slice:
    """A passage that begins in the middle of a text, with a line if one begins soon.

    The text must have at least two characters: the first is not predicted.
    """
    middle = len(text) // 2
    line = text.find("\n", middle - 1, middle + min(NEXT_LINE, len(text) // 4)) + 1
    start = max(line, middle)
    return slice(start, min(start + length, len(text)))


def telling_passage(feature: Array, usual: slice, length: int) -> slice:
    """The beginning of the usual passage if a feature (n,) varies there, else where it varies most in the second half.

    The length of the passage is at most that of the half.
    """
    half = len(feature) // 2
    begin = slice(usual.start, usual.start + length)
    if feature[begin].var() >= feature[half:].var() / 2:
        return begin
    sums, squares = (np.insert(np.cumsum(values[half:]), 0, 0) for values in (feature, feature**2))
    length = min(length, len(feature) - half)
    mean, mean_square = ((total[length:] - total[:-length]) / length for total in (sums, squares))
    start = half + int((mean_square - mean**2).argmax())
    return slice(start, start + length)
