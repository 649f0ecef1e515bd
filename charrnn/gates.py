"""What recurrent layers with gates have in common: all that concerns their input x, and time in pieces.

The G gates (counting what else has weights of its own, such as a candidate state) lie on an axis of their own, so that
each gate's block is contiguous at every time step: kernel W (G, D, H), bias b (G, H), gates (G, T, B, H).
"""

import numpy as np

CHUNK = 16  # time steps; what they leave in the buffers still lies in the processor's cache when it is used again


def chunks(T: int) -> list[slice]:
    """T time steps in pieces of CHUNK."""
    return [slice(start, min(start + CHUNK, T)) for start in range(0, T, CHUNK)]


def project(p, x, gates):
    """gates = x W + b, for x (T, B, D) and gates (G, T, B, H)."""
    G, D, H = p.kernel.shape
    np.matmul(x.reshape(-1, D), p.kernel, out=gates.reshape(G, -1, H))
    gates += p.bias[:, None, None, :]


def backward_of_project(p, grad, x, dgates, work):
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
