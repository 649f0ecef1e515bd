"""What the layers with memory have in common: only a part of their work has to go through time step by step.

The rest takes many time steps at once, as a few large products, and `charrnn.pipeline` leaves it to a second thread.
Layers with gates have these on an axis of their own, G gates in all (counting what else has weights of its own, such as
a candidate state), so that each gate's block is contiguous at every time step: W (G, D, H), b (G, H), and the gates
(G, T, B, H).
"""

import numpy as np

from charrnn.layers import require_positive


class Recurrent:
    """`forward` and `backward`, as `charrnn.models.Layer` has them, put together from the five steps of a layer:

    * `project(p, x, work)`: what the inputs x_1 … x_T bring about without the state;
    * `unroll(p, work)`: forwards in time from the incoming state; returns y;
    * `local_derivatives(p, work)`: whatever of the backward pass does not depend on the gradients that come in, such as
      the factors by which `unroll_backward` multiplies them, and transposed matrices;
    * `unroll_backward(p, dy, work)`: backwards in time. The buffers "d" + name of the states in `state_dims` hold the
      gradients of the outgoing states before, and those of the incoming states after it;
    * `gradients(p, grad, x, work)`: the gradients of the parameters; returns dx.
    """

    def __post_init__(self):
        require_positive(self, input_dim=self.input_dim, hidden_dim=self.hidden_dim)

    @property
    def output_dim(self):
        return self.hidden_dim

    def init(self, p, rng):
        p.kernel[...] = self.initializer(p.kernel.shape, rng)
        p.recurrent_kernel[...] = self.recurrent_initializer(p.recurrent_kernel.shape, rng)
        p.bias[...] = self.bias_initializer(p.bias.shape, rng)

    def forward(self, p, x, work):
        self.project(p, x, work)
        return self.unroll(p, work)

    def backward(self, p, grad, x, dy, work):
        for name in self.state_dims:
            getattr(work, "d" + name)[...] = 0
        self.local_derivatives(p, work)
        self.unroll_backward(p, dy, work)
        return self.gradients(p, grad, x, work)


def project_to_gates(p, x, gates):
    """gates = x W + b, for x (T, B, D) and gates (G, T, B, H)."""
    G, D, H = p.kernel.shape
    np.matmul(x.reshape(-1, D), p.kernel, out=gates.reshape(G, -1, H))
    gates += p.bias[:, None, None, :]


def gradients_of_projection(p, grad, x, dgates, work):
    """dW = Σ_t x_tᵀ dgates_t and db = Σ_t dgates_t go to `grad`; dx = Σ_gates dgates Wᵀ is returned."""
    G, D, H = p.kernel.shape
    dgates = dgates.reshape(G, -1, H)
    np.matmul(x.reshape(-1, D).T, dgates, out=grad.kernel)
    np.sum(dgates, axis=1, out=grad.bias)
    np.matmul(dgates, p.kernel.swapaxes(1, 2), out=work.dx_of_gate)
    np.sum(work.dx_of_gate, axis=0, out=work.dx.reshape(-1, D))
    return work.dx


def side_by_side(stack):
    """The matrices of a stack (G, K, N) as one matrix (K, G N), for one product instead of G."""
    G, K, N = stack.shape
    return stack.swapaxes(0, 1).reshape(K, G * N)
