"""Dropout, whose masks do not depend on how many workers share a batch."""

from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Array, Arrays, DType, aligned_empty
from charrnn.errors import InputError
from charrnn.layers.base import Layer, require_positive


class DropoutMasks:
    """Where dropout layers get their random numbers: for each training step and each layer, a sequence of its own.

    The sequence follows from the seed, the step and the layer, so training can resume at any step. It covers the whole
    batch, of which each worker reads the part for its own sequences. So the trainer sets, before each forward pass:

    Attributes
    ----------
    step
        The number of the training step.
    first_column, num_columns
        Which sequence of the batch is the first of those that are passed to the layers; how many the batch has, or None
        if all of them are passed.
    """

    def __init__(self, seed: int) -> None:
        self.seed, self.step = seed, 0
        self.first_column = 0
        self.num_columns: int | None = None

    def generator(self, layer: int) -> np.random.PCG64:
        """The sequence of one layer in this step, from its beginning."""
        return np.random.PCG64((self.seed, self.step, layer))


@dataclass(frozen=True)
class Dropout(Layer):
    """y = x ∘ m / (1 - rate), each m being 0 with probability `rate`, otherwise 1 (Srivastava et al. 2014, section 10).

    Only the network in training has this layer; what is evaluated, sampled from and stored is the model without it.
    With N sequences in the batch, sequence b at time step t uses the draws from (t N + b) d on, where d draws of 64
    bits give the `dim` numbers of one sequence. x and y are (T, B, dim).
    """

    dim: int
    rate: float
    masks: DropoutMasks
    number: int = 0  # a different one for each layer of a network

    def __post_init__(self) -> None:
        require_positive(self, dim=self.dim)
        if not 0 <= self.rate < 1:
            raise InputError(f"dropout is {self.rate!r}; it must be at least 0 and below 1")

    @property
    def input_dim(self) -> int:  # type: ignore[override]
        return self.dim

    @property
    def output_dim(self) -> int:  # type: ignore[override]
        return self.dim

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        y, dx = (aligned_empty((T, B, self.dim), dtype) for _ in range(2))
        draws = -(-self.dim * y.itemsize // 8)  # two float32 a draw; the second half of the last one may be left over
        drawn = aligned_empty((T, B, draws * 8 // y.itemsize), dtype)
        return Arrays(y=y, dx=dx, draws=draws, drawn=drawn, mask=drawn[..., : self.dim])

    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Array:
        self._draw(buffers.drawn, buffers.draws)
        mask = buffers.mask
        np.greater_equal(mask, self.rate, out=mask)
        mask *= 1 / (1 - self.rate)
        return np.multiply(x, mask, out=buffers.y)

    def _draw(self, drawn: Array, draws: int) -> None:
        """Fill `drawn` (T, B, …) with the numbers in [0, 1) that belong to these sequences, `draws` draws for each."""
        T, B = drawn.shape[:2]
        num_columns = self.masks.num_columns or B
        bits = self.masks.generator(self.number)
        bits.advance(self.masks.first_column * draws)
        generator = np.random.Generator(bits)
        # The sequences of one time step are neighbours in the random sequence; with the whole batch, all steps are too.
        runs = drawn.reshape(1 if B == num_columns else T, -1)
        for run in runs:
            generator.random(out=run, dtype=run.dtype)
            bits.advance((num_columns - B) * draws)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> Array:
        return np.multiply(dy, buffers.mask, out=buffers.dx)
