"""What the layers with memory have in common: only a part of their work has to go through time step by step.

The rest takes many time steps at once, as a few large products, which `charrnn.pieces` divides among threads.
Layers with gates have these on an axis of their own, G gates in all (counting what else has weights of its own, such as
a candidate state), so that each gate's block is contiguous at every time step: W (G, D, H), b (G, H), and the gates
(G, T, B, H).
"""

from abc import ABC, abstractmethod

import numpy as np

from charrnn.arrays import Array, Arrays
from charrnn.initializers import Initializer
from charrnn.layers import require_positive
from charrnn.threads import Call


class Recurrent(ABC):
    """`forward` and `backward`, as `charrnn.models.Layer` has them, put together from the steps of such a layer."""

    input_dim: int
    hidden_dim: int
    initializer: Initializer
    recurrent_initializer: Initializer
    bias_initializer: Initializer

    def __post_init__(self) -> None:
        require_positive(self, input_dim=self.input_dim, hidden_dim=self.hidden_dim)

    @property
    def output_dim(self) -> int:
        return self.hidden_dim

    @property
    @abstractmethod
    def state_dims(self) -> dict[str, int]:
        """The name of each state, and its width."""

    @abstractmethod
    def project(self, p: Arrays, x: Array, work: Arrays) -> None:
        """What the inputs x_1 … x_T bring about without the state."""

    @abstractmethod
    def unroll(self, p: Arrays, work: Arrays) -> Array:
        """Forwards in time from the incoming state; returns y."""

    @abstractmethod
    def local_derivatives(self, p: Arrays, work: Arrays) -> None:
        """Whatever of the backward pass does not depend on the gradients that come in, such as the factors by which
        `unroll_backward` multiplies them, and transposed matrices."""

    @abstractmethod
    def unroll_backward(self, p: Arrays, dy: Array, work: Arrays) -> None:
        """Backwards in time. The buffers "d" + name of the states in `state_dims` hold the gradients of the outgoing
        states before, and those of the incoming states after it."""

    @abstractmethod
    def project_backward(self, p: Arrays, grad: Arrays, x: Array, work: Arrays) -> Array:
        """The gradients of the parameters that `project` needs, from which dx may follow; returns dx."""

    @abstractmethod
    def deferred_gradients(self, grad: Arrays, x: Array, dy: Array, work: Arrays) -> list[Call]:
        """The gradients of the others, see `charrnn.models.Layer`."""

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        p.kernel[...] = self.initializer(p.kernel.shape, rng)
        p.recurrent_kernel[...] = self.recurrent_initializer(p.recurrent_kernel.shape, rng)
        p.bias[...] = self.bias_initializer(p.bias.shape, rng)

    def forward(self, p: Arrays, x: Array, work: Arrays) -> Array:
        self.project(p, x, work)
        return self.unroll(p, work)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, work: Arrays) -> Array:
        for name in self.state_dims:
            getattr(work, "d" + name)[...] = 0
        self.local_derivatives(p, work)
        self.unroll_backward(p, dy, work)
        return self.project_backward(p, grad, x, work)


def side_by_side(stack: Array) -> Array:
    """The matrices of a stack (G, K, N) as one matrix (K, G N), for one product instead of G."""
    G, K, N = stack.shape
    return stack.swapaxes(0, 1).reshape(K, G * N)
