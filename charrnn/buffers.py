"""Arrays that begin at a cache line, where NumPy's begin at any multiple of 16 bytes.

Processors with AVX-512 load a whole line at once. From an array that begins elsewhere, each load needs parts of two
lines, and an operation takes up to twice as long.
"""

from math import prod

import numpy as np

from charrnn.arrays import Array, DType

LINE = 64  # bytes


def empty(shape: tuple[int, ...], dtype: DType) -> Array:
    """An array with whatever was in its memory before."""
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def copy(array: Array) -> Array:
    """A contiguous copy."""
    copied = empty(array.shape, array.dtype)
    copied[...] = array
    return copied
