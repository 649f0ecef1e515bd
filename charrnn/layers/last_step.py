"""The layer that keeps only the last time step, for `targets: last`."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from charrnn.arrays import Array, Arrays, DType
from charrnn.layers.base import Layer, require_positive


@dataclass(frozen=True)
class LastStep(Layer):
    """y = x_T, the last time step alone: x is (T, B, dim) and y is (1, B, dim)."""

    dim: int
    reads_ids: ClassVar = False

    def __post_init__(self) -> None:
        require_positive(self, dim=self.dim)

    @property
    def input_dim(self) -> int:  # type: ignore[override]
        return self.dim

    @property
    def output_dim(self) -> int:  # type: ignore[override]
        return self.dim

    def output_steps(self, T: int) -> int:
        return 1

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        return Arrays(dx=np.zeros((T, B, self.dim), dtype))

    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Array:
        return x[-1:]

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> Array:
        buffers.dx[:-1] = 0  # the layer before may have written into it
        buffers.dx[-1] = dy[0]
        return buffers.dx
