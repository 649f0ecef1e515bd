"""The base class of the recurrent layers.

Gates have their own axis of length G, where anything else with its own weights, such as a candidate state, counts as a
gate: W (G, D, H), b (G, H), gates (G, T, B, H). So each gate's block is contiguous at every time step, and adjacent
gates can be computed together.
"""

from typing import ClassVar

import numpy as np

from charrnn.arrays import Array, Arrays
from charrnn.initializers import Initializer
from charrnn.layers.base import Layer, require_positive


class Recurrent(Layer):
    """A layer with the parameters `kernel`, `recurrent_kernel` and `bias`, whose output is its hidden state."""

    hidden_dim: int
    initializer: Initializer
    recurrent_initializer: Initializer
    bias_initializer: Initializer
    reads_ids: ClassVar = False

    def __post_init__(self) -> None:
        require_positive(self, input_dim=self.input_dim, hidden_dim=self.hidden_dim)

    @property
    def output_dim(self) -> int:  # type: ignore[override]
        return self.hidden_dim

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        p.kernel[...] = self.initializer(p.kernel.shape, rng)
        p.recurrent_kernel[...] = self.recurrent_initializer(p.recurrent_kernel.shape, rng)
        p.bias[...] = self.bias_initializer(p.bias.shape, rng)


def side_by_side(stack: Array) -> Array:
    """The matrices of a stack (G, K, N) as one matrix (K, G N), for one product instead of G."""
    G, K, N = stack.shape
    return stack.swapaxes(0, 1).reshape(K, G * N)
