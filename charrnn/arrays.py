"""Type aliases, and arrays that are aligned to cache lines."""

from collections.abc import Callable
from math import prod
from types import SimpleNamespace

import numpy as np

Array = np.ndarray
Arrays = SimpleNamespace  # named arrays: a layer's parameters, their gradients, or its buffers
Shapes = dict[str, tuple[int, ...]]  # parameter name -> shape
HiddenState = list[dict[str, np.ndarray]]  # a dict for each layer: state name -> (B, width)
Stepper = tuple[Array, Array, Callable[[], None]]  # see `charrnn.layers.Layer.stepper`
DType = np.typing.DTypeLike

CACHE_LINE = 64  # bytes


def aligned_empty(shape: tuple[int, ...], dtype: DType) -> Array:
    """An uninitialized array that is aligned to a cache line; NumPy aligns its own to 16 bytes only.

    Processors with AVX-512 load a whole cache line at once. If an array is not aligned, each load touches two lines,
    and an operation takes up to twice as long.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def aligned_copy(array: Array) -> Array:
    """A contiguous copy that is aligned to a cache line."""
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy
