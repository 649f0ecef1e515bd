"""The simple recurrent network of Elman (1990): one state vector, one activation, no gates.

    h_t = f(x_t W + h_{t-1} U + b)

Backwards in time, with da_t the gradient of what stands in the brackets of f:

    dh_t = dy_t + da_{t+1} Uᵀ,  da_t = dh_t ∘ f'(a_t),  dU = Σ_t h_{t-1}ᵀ da_t,  dW = Σ_t x_tᵀ da_t,  db = Σ_t da_t

The state before the first step, h_0, is the incoming one.
"""

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np

from charrnn.activations import ACTIVATIONS
from charrnn.arrays import Array, Arrays, DType, Shapes
from charrnn.buffers import empty
from charrnn.initializers import Initializer, glorot_uniform, orthogonal, zeros
from charrnn.layers import affine, affine_backward, affine_gradients, require_activation
from charrnn.recurrent import Recurrent
from charrnn.threads import Call


@dataclass(frozen=True)
class SimpleRNN(Recurrent):
    """x is (T, B, input_dim); the output h_1 … h_T is (T, B, hidden_dim).

    `activation` is a name in `charrnn.activations.ACTIVATIONS`, tanh unless told otherwise.
    """

    input_dim: int
    hidden_dim: int
    activation: str = "tanh"
    initializer: Initializer = glorot_uniform
    recurrent_initializer: Initializer = orthogonal
    bias_initializer: Initializer = zeros

    def __post_init__(self) -> None:
        super().__post_init__()
        require_activation(self, self.activation)

    @property
    def state_dims(self) -> dict[str, int]:
        return {"h": self.hidden_dim}

    def shapes(self) -> Shapes:
        D, H = self.input_dim, self.hidden_dim
        return {"kernel": (D, H), "recurrent_kernel": (H, H), "bias": (H,)}

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        D, H = self.input_dim, self.hidden_dim
        return SimpleNamespace(
            h=empty((T + 1, B, H), dtype),  # h[0] is the incoming state, h[1:] the outputs
            a=empty((T, B, H), dtype),  # a_t = x_t W + b, later its gradient
            dh=empty((B, H), dtype),  # the gradient of the state, at the end that of h[0]
            product=empty((B, H), dtype),
            dx=empty((T, B, D), dtype),
        )

    def project(self, p: Arrays, x: Array, work: Arrays) -> None:
        affine(x, p.kernel, p.bias, work.a)

    def unroll(self, p: Arrays, work: Arrays) -> Array:
        activate = ACTIVATIONS[self.activation].forward
        for h_before, h, a in zip(work.h[:-1], work.h[1:], work.a):
            np.matmul(h_before, p.recurrent_kernel, out=work.product)
            np.add(a, work.product, out=h)
            activate(h, out=h)
        return work.h[1:]

    def local_derivatives(self, p: Arrays, work: Arrays) -> None:
        pass  # an activation's own `backward` takes the state and its gradient together

    def unroll_backward(self, p: Arrays, dy: Array, work: Arrays) -> None:
        activation_backward, dh = ACTIVATIONS[self.activation].backward, work.dh
        for h, da, dy_t in zip(work.h[:0:-1], work.a[::-1], dy[::-1]):
            dh += dy_t
            activation_backward(h, dh, out=da)
            np.matmul(da, p.recurrent_kernel.T, out=dh)

    def project_backward(self, p: Arrays, grad: Arrays, x: Array, work: Arrays) -> Array:
        affine_gradients(x, work.a, grad.kernel, grad.bias)
        return affine_backward(work.a, p.kernel, work.dx)

    def deferred_gradients(self, grad: Arrays, x: Array, dy: Array, work: Arrays) -> list[Call]:
        H = self.hidden_dim
        h_rows, da_rows = work.h[:-1].reshape(-1, H), work.a.reshape(-1, H)
        return [partial(np.matmul, h_rows.T, da_rows, out=grad.recurrent_kernel)]
