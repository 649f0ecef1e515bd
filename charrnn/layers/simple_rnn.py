"""The simple recurrent network of Elman (1990): one state vector, one activation, no gates.

    h_t = f(a_t),  a_t = x_t W + h_{t-1} U + b

Backward in time, where da_t is the gradient of a_t:

    dh_t = dy_t + da_{t+1} Uᵀ,  da_t = dh_t ∘ f'(a_t),  dU = Σ_t h_{t-1}ᵀ da_t,  dW = Σ_t x_tᵀ da_t,  db = Σ_t da_t

h_0 is the incoming state.
"""

from dataclasses import dataclass, field

import numpy as np

from charrnn.activations import ACTIVATIONS
from charrnn.arrays import Array, Arrays, DType, Shapes, aligned_empty
from charrnn.initializers import Initializer, glorot_uniform, orthogonal, zeros
from charrnn.layers.affine import affine, affine_backward, affine_gradients
from charrnn.layers.base import require_activation
from charrnn.layers.recurrent import Recurrent


@dataclass(frozen=True)
class SimpleRNN(Recurrent):
    """x is (T, B, input_dim); the output h_1 … h_T is (T, B, hidden_dim).

    Parameters, with D = input_dim and H = hidden_dim: `kernel` W (D, H), `recurrent_kernel` U (H, H) and `bias` b (H,).
    `activation` is a name in `charrnn.activations.ACTIVATIONS`.

    Raises
    ------
    InputError
        If a dimension is not a positive integer, or the activation is unknown.

    >>> layer = SimpleRNN(input_dim=16, hidden_dim=128, activation="relu")
    >>> layer.shapes()["kernel"]
    (16, 128)
    """

    input_dim: int
    hidden_dim: int
    activation: str = "tanh"
    initializer: Initializer = field(default=glorot_uniform, compare=False)
    recurrent_initializer: Initializer = field(default=orthogonal, compare=False)
    bias_initializer: Initializer = field(default=zeros, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_activation(self, self.activation)

    @property
    def state_dims(self) -> dict[str, int]:
        return {"h": self.hidden_dim}

    def shapes(self) -> Shapes:
        D, H = self.input_dim, self.hidden_dim
        return {"kernel": (D, H), "recurrent_kernel": (H, H), "bias": (H,)}

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        D, H = self.input_dim, self.hidden_dim
        return Arrays(
            h=aligned_empty((T + 1, B, H), dtype),  # h[0] is the incoming state, h[1:] the outputs
            a=aligned_empty((T, B, H), dtype),  # x_t W + b, later da_t
            dh=aligned_empty((B, H), dtype),  # gradient of the current state; after the loop, of h[0]
            product=aligned_empty((B, H), dtype),
            dx=aligned_empty((T, B, D), dtype),
        )

    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Array:
        affine(x, p.kernel, p.bias, buffers.a)
        activate = ACTIVATIONS[self.activation].forward
        for h_before, h, a in zip(buffers.h[:-1], buffers.h[1:], buffers.a):
            np.matmul(h_before, p.recurrent_kernel, out=buffers.product)
            np.add(a, buffers.product, out=h)
            activate(h, out=h)
        return buffers.h[1:]

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> Array:
        activation_backward, dh = ACTIVATIONS[self.activation].backward, buffers.dh
        dh[...] = 0
        for h, da, dy_t in zip(buffers.h[:0:-1], buffers.a[::-1], dy[::-1]):
            dh += dy_t
            activation_backward(h, dh, out=da)
            np.matmul(da, p.recurrent_kernel.T, out=dh)

        H = self.hidden_dim
        np.matmul(buffers.h[:-1].reshape(-1, H).T, buffers.a.reshape(-1, H), out=grad.recurrent_kernel)
        affine_gradients(x, buffers.a, grad.kernel, grad.bias)
        return affine_backward(buffers.a, p.kernel, buffers.dx)
