"""Names for annotations, and arrays that begin at a cache line."""

from collections.abc import Callable
from math import prod
from types import SimpleNamespace

import numpy as np

Array = np.ndarray
Arrays = SimpleNamespace  # arrays by name: the parameters of a layer, their gradients, or its buffers
Shapes = dict[str, tuple[int, ...]]  # by the name of a parameter
HiddenState = list[dict[str, np.ndarray]]  # one dict a layer: the name of each of its states -> (B, width)
Stepper = tuple[Array, Array, Callable[[], None]]  # see `charrnn.layers.Layer.stepper`
DType = np.typing.DTypeLike

CACHE_LINE = 64  # bytes


def aligned_empty(shape: tuple[int, ...], dtype: DType) -> Array:
    """An uninitialized array that begins at a cache line, where NumPy's begin at any multiple of 16 bytes.

    Processors with AVX-512 load a whole line at once. From an array that begins elsewhere, each load touches two lines,
    and an operation takes up to twice as long.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def aligned_copy(array: Array) -> Array:
    """A contiguous copy that begins at a cache line."""
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy
