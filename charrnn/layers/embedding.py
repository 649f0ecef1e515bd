"""The embedding: a learned vector for each id."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from charrnn.arrays import Array, Arrays, DType, Shapes, aligned_empty
from charrnn.initializers import Initializer, random_uniform
from charrnn.layers.base import Layer, require_flag, require_positive


@dataclass(frozen=True)
class Embedding(Layer):
    """y_t = table[x_t]: a learned vector of `output_dim` numbers for each of `input_dim` ids.

    x is (T, B) ids of any integer dtype, y is (T, B, output_dim). Ids have no gradient: `backward` returns None. If
    `tied`, the output layer is a `TiedDense` that shares the table.
    """

    input_dim: int
    output_dim: int
    initializer: Initializer = field(default=random_uniform, compare=False)
    tied: bool = False
    reads_ids: ClassVar = True

    def __post_init__(self) -> None:
        require_positive(self, input_dim=self.input_dim, output_dim=self.output_dim)
        require_flag(self, tied=self.tied)

    def shapes(self) -> Shapes:
        return {"table": (self.input_dim, self.output_dim)}

    @property
    def lends(self) -> Shapes:
        return self.shapes() if self.tied else {}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        p.table[...] = self.initializer(p.table.shape, rng)

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        return Arrays(
            ids=aligned_empty((T, B), np.intp),
            y=aligned_empty((T, B, self.output_dim), dtype),
            positions=np.arange(T * B).reshape(T, B),
            order=aligned_empty((T, B), np.intp),
            dy_in_order=aligned_empty((T * B, self.output_dim), dtype),
        )

    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Array:
        buffers.ids[...] = x
        # mode="clip" writes straight into `out`; `Network.forward` has checked the ids.
        return np.take(p.table, buffers.ids, axis=0, out=buffers.y, mode="clip")

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> None:
        # d table[v] = Σ dy over the positions where x = v. Sorting brings equal ids together, so each sum is over one
        # contiguous run. The cost does not grow with the vocabulary, unlike a product with one-hot rows. The sort keys
        # are id · T·B + position; modulo T·B they give the position back.
        order = buffers.order
        np.multiply(buffers.ids, order.size, out=order)
        order += buffers.positions
        order = order.reshape(-1)
        order.sort()
        run_starts = order.searchsorted(np.arange(self.input_dim + 1) * order.size)
        order %= order.size
        np.take(dy.reshape(order.size, -1), order, axis=0, out=buffers.dy_in_order, mode="clip")
        occurs = np.diff(run_starts) > 0
        if not self.tied:  # if tied, this adds to the gradient that the output layer left there
            grad.table[...] = 0
        grad.table[occurs] += np.add.reduceat(buffers.dy_in_order, run_starts[:-1][occurs], axis=0)
