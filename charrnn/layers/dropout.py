"""Dropout with masks that do not depend on the number of workers that share a batch."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from charrnn.arrays import Array, Arrays, DType, aligned_empty
from charrnn.errors import InputError
from charrnn.layers.base import Layer, require_positive
from charrnn.messages import quoted


class DropoutMasks:
    """The random numbers of dropout layers: a separate random stream for each training step and layer.

    The stream is determined by the seed, the step and the layer, so training can resume at any step. It covers the
    whole batch, and each worker reads only the numbers for its shard. The trainer sets, before each forward pass:

    Attributes
    ----------
    step
        The number of the training step.
    first_column, num_columns
        The place in the batch of the first sequence that is passed to the layers, and the number of sequences in the
        batch, or None if all of them are passed.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.step = seed, 0
        self.first_column = 0
        self.num_columns: int | None = None

    def generator(self, layer: int) -> np.random.PCG64:
        """The random stream of one layer in this step, from its beginning."""
        return np.random.PCG64((self.seed, self.step, layer))


@dataclass(frozen=True)
class Dropout(Layer):
    """y = x ∘ m / (1 - rate), where each m is 0 with probability `rate`, else 1 (Srivastava et al. 2014, section 10).

    x and y are (T, B, dim). Only the training network has this layer; evaluation, sampling and the model file use the
    model without it. With N sequences in the batch, sequence b at time step t uses d draws of the random stream from
    draw (t N + b) d on, where d draws of 64 bits give `dim` numbers.
    """

    dim: int
    rate: float
    masks: DropoutMasks
    number: int = 0  # a different one for each layer of a network
    reads_ids: ClassVar = False

    def __post_init__(self) -> None:
        require_positive(self, dim=self.dim)
        if not 0 <= self.rate < 1:
            raise InputError(f"dropout is {quoted(self.rate)}; it must be at least 0 and below 1")

    @property
    def input_dim(self) -> int:  # type: ignore[override]
        return self.dim

    @property
    def output_dim(self) -> int:  # type: ignore[override]
        return self.dim

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        y, dx = (aligned_empty((T, B, self.dim), dtype) for _ in range(2))
        draws = -(-self.dim * y.itemsize // 8)  # two float32 a draw; half of the last draw may be unused
        drawn = aligned_empty((T, B, draws * 8 // y.itemsize), dtype)
        return Arrays(y=y, dx=dx, draws=draws, drawn=drawn, mask=drawn[..., : self.dim])

    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Array:
        self._draw(buffers.drawn, buffers.draws)
        mask = buffers.mask
        np.greater_equal(mask, self.rate, out=mask)
        mask *= 1 / (1 - self.rate)
        return np.multiply(x, mask, out=buffers.y)

    def _draw(self, drawn: Array, draws: int) -> None:
        """Fill `drawn` (T, B, …) with the numbers in [0, 1) that belong to this shard, `draws` draws for each row."""
        T, B = drawn.shape[:2]
        num_columns = self.masks.num_columns or B
        bits = self.masks.generator(self.number)
        bits.advance(self.masks.first_column * draws)
        generator = np.random.Generator(bits)
        # The numbers of one time step are contiguous in the stream; for the whole batch, the numbers of all steps are.
        runs = drawn.reshape(1 if B == num_columns else T, -1)
        for run in runs:
            generator.random(out=run, dtype=run.dtype)
            bits.advance((num_columns - B) * draws)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> Array:
        return np.multiply(dy, buffers.mask, out=buffers.dx)
