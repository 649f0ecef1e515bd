"""The gated recurrent unit of Cho et al. (2014), arXiv 1406.1078, equations 5 to 8: `examples/plain_gru.py`, made fast.

Read the plain form first. It has one line for each equation, and this file uses the same names:

    r_t = σ(x_t W_r + h_{t-1} U_r + b_r)                 reset gate:  how much of the past the candidate sees
    z_t = σ(x_t W_z + h_{t-1} U_z + b_z)                 update gate: how much of the past is kept
    c_t = tanh(x_t W_c + (r_t ∘ h_{t-1}) U_c + b_c)      candidate state
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ c_t

With `reset_after=True` the reset gate acts after the recurrent product instead, as in cuDNN and PyTorch, and there is
one more bias:

    c_t = tanh(x_t W_c + r_t ∘ q_t + b_c),  q_t = h_{t-1} U_c + u

With `mogrifier=True` the input first scales the state that the gates and the candidate see, as in the second round of
the Mogrifier (Melis et al. 2020, arXiv 1909.01792, equation 2). Then ĥ_{t-1} stands for h_{t-1} above, except in the
equation of h_t:

    ĥ_{t-1} = m_t ∘ h_{t-1},  m_t = 2 σ(x_t W_m + b_m)

Backward in time, where dr, dz and dc are the gradients of the arguments of σ, σ and tanh:

    dh_t = dy_t + carry_{t+1}
    dz_t = dh_t ∘ (h_{t-1} - c_t) ∘ z_t ∘ (1 - z_t)
    dc_t = dh_t ∘ (1 - z_t) ∘ (1 - c_t²)
    dr_t = (dc_t U_cᵀ) ∘ h_{t-1} ∘ r_t ∘ (1 - r_t)
    carry_t = dh_t ∘ z_t + dr_t U_rᵀ + dz_t U_zᵀ + (dc_t U_cᵀ) ∘ r_t

    dW = Σ_t x_tᵀ [dr dz dc]_t,  db = Σ_t [dr dz dc]_t
    dU_r = Σ_t h_{t-1}ᵀ dr_t,  dU_z = Σ_t h_{t-1}ᵀ dz_t,  dU_c = Σ_t (r_t ∘ h_{t-1})ᵀ dc_t

and with `reset_after`:

    dr_t = dc_t ∘ q_t ∘ r_t ∘ (1 - r_t),  dq_t = dc_t ∘ r_t
    carry_t = dh_t ∘ z_t + dr_t U_rᵀ + dz_t U_zᵀ + dq_t U_cᵀ
    dU_c = Σ_t h_{t-1}ᵀ dq_t,  du = Σ_t dq_t

and with `mogrifier`, ĥ_{t-1} stands for h_{t-1} in dr_t, dU and q_t too, and dm_t, the gradient of the argument of
m's σ, joins dr_t, dz_t and dc_t in dW and db. Let dĥ_{t-1} be the terms of carry_t after dh_t ∘ z_t. Then

    dm_t = dĥ_{t-1} ∘ h_{t-1} ∘ m_t ∘ (1 - m_t / 2)
    carry_t = dh_t ∘ z_t + dĥ_{t-1} ∘ m_t

What makes it fast:

1. The loops over time compute only what depends on h_{t-1}. The inputs of all time steps are multiplied by W in one
   product before the loop, and dW, dU and db are computed after it, in one operation each
   (`charrnn.layers.projection`).
2. The factors of dz_t, dc_t and dr_t that do not depend on dh_t are computed for all time steps at once before the
   backward loop, in a few operations on large arrays instead of many on small ones.
3. Results go into buffers that are allocated once, often over a value that is no longer needed.
4. The gates have their own axis, in the order r, z, c, m, so that one operation handles r and z, or z and c.
5. The weights of r and z are halved first, which saves an operation in σ (`charrnn.activations.sigmoid_of_twice`).
6. U is cut into blocks of columns that BLAS multiplies without copying them first (`charrnn.layers.column_blocks`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from charrnn.activations import sigmoid, sigmoid_of_twice
from charrnn.arrays import Array, Arrays, DType, Shapes, Stepper, aligned_empty
from charrnn.initializers import Initializer, glorot_uniform, orthogonal, zeros
from charrnn.layers.base import require_flag
from charrnn.layers.column_blocks import as_blocks, column_blocks
from charrnn.layers.gru_stepper import gru_stepper
from charrnn.layers.projection import Lookup, project_to_gates, project_to_gates_backward
from charrnn.layers.recurrent import Recurrent


@dataclass(frozen=True)
class GRU(Recurrent):
    """x is (T, B, input_dim); the output h_1 … h_T is (T, B, hidden_dim).

    Parameters, with D = input_dim and H = hidden_dim: `kernel` W (3, D, H), `recurrent_kernel` U (3, H, H), `bias`
    b (3, H) and, with `reset_after`, `recurrent_bias` u (H,). With `mogrifier`, W and b have a fourth gate, m. The
    initializers draw the matrix of each gate separately.

    Raises
    ------
    InputError
        If a dimension is not a positive integer, or `reset_after` or `mogrifier` is not a bool.

    >>> layer = GRU(input_dim=16, hidden_dim=128)
    >>> layer.output_dim
    128
    >>> layer.shapes()["recurrent_kernel"]
    (3, 128, 128)
    """

    input_dim: int
    hidden_dim: int
    reset_after: bool = False
    mogrifier: bool = False
    initializer: Initializer = field(default=glorot_uniform, compare=False)
    recurrent_initializer: Initializer = field(default=orthogonal, compare=False)
    bias_initializer: Initializer = field(default=zeros, compare=False)
    accepts_lookup: ClassVar = True

    def __post_init__(self) -> None:
        super().__post_init__()
        require_flag(self, reset_after=self.reset_after, mogrifier=self.mogrifier)

    @property
    def state_dims(self) -> dict[str, int]:
        return {"h": self.hidden_dim}

    @property
    def _num_gates(self) -> int:
        return 4 if self.mogrifier else 3

    def shapes(self) -> Shapes:
        D, H, G = self.input_dim, self.hidden_dim, self._num_gates
        shapes = {"kernel": (G, D, H), "recurrent_kernel": (3, H, H), "bias": (G, H)}
        if self.reset_after:
            shapes["recurrent_bias"] = (H,)
        return shapes

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        super().init(p, rng)
        if self.reset_after:
            p.recurrent_bias[...] = self.bias_initializer(p.recurrent_bias.shape, rng)

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        D, H, G = self.input_dim, self.hidden_dim, self._num_gates
        h = aligned_empty((T + 1, B, H), dtype)
        dgates = aligned_empty((G, T, B, H), dtype)
        # Without `reset_after` the product with U_c is a term of c's argument, so its gradient dq is dc.
        dq = aligned_empty((T, B, H), dtype) if self.reset_after else dgates[2]
        return Arrays(
            h=h,  # h[0] is the incoming state, h[1:] the outputs
            scaled=aligned_empty((T, B, H), dtype) if self.mogrifier else h[:-1],  # ĥ_{t-1}, or h_{t-1} itself
            gates=aligned_empty((G, T, B, H), dtype),  # x W + b (halved for r and z), then r, z, c, m
            recalled=aligned_empty((T, B, H), dtype),  # r ∘ ĥ_{t-1}, or with `reset_after` q
            dgates=dgates,  # first the factors that do not depend on dh, then dr, dz, dc, dm
            dq=dq,
            dh=aligned_empty((B, H), dtype),  # gradient of the current state; after the loop, of h[0]
            products=aligned_empty((3, B, H), dtype),  # of one time step with U_r, U_z, U_c or their transposes
            dx=aligned_empty((T, B, D), dtype),
            dx_of_gates=aligned_empty((G, T * B, D), dtype),
        )

    def forward(self, p: Arrays, x: Array | Lookup, buffers: Arrays) -> Array:
        project_to_gates(p, x, buffers.gates, num_halved=2)
        # Products are written block by block into `blocks`, a view of `products`.
        U = column_blocks(p.recurrent_kernel, rows=buffers.h.shape[1])
        U[:2] *= 0.5  # as σ(a) = (1 + tanh(a/2)) / 2, the arguments of r and z are computed halved
        U_rz, U_c = U[:2], U[2]
        product_rz, product_c = buffers.products[:2], buffers.products[2]
        blocks = as_blocks(buffers.products, U)
        blocks_rz, blocks_c = blocks[:2], blocks[2]

        gates_rz = buffers.gates[:2].swapaxes(0, 1)  # (T, 2, B, H)
        scales = _scales(buffers.gates[3]) if self.mogrifier else iter(())
        steps = zip(buffers.h[:-1], buffers.h[1:], buffers.scaled, gates_rz, *buffers.gates[:3], buffers.recalled)
        for h_before, h, scaled, rz, r, z, c, recalled in steps:
            if self.mogrifier:
                np.multiply(next(scales), h_before, out=scaled)
            if self.reset_after:
                np.matmul(scaled, U, out=blocks)
                product_rz += rz
                sigmoid_of_twice(product_rz, out=rz)  # r, z = σ(x W + scaled U + b)
                np.add(product_c, p.recurrent_bias, out=recalled)  # q = scaled U_c + u
                np.multiply(r, recalled, out=product_c)
            else:
                np.matmul(scaled, U_rz, out=blocks_rz)
                product_rz += rz
                sigmoid_of_twice(product_rz, out=rz)  # r, z = σ(x W + scaled U + b)
                np.multiply(r, scaled, out=recalled)
                np.matmul(recalled, U_c, out=blocks_c)  # (r ∘ scaled) U_c
            product_c += c
            np.tanh(product_c, out=c)

            np.subtract(h_before, c, out=h)  # h = c + z ∘ (h_before - c), one operation fewer than with 1 - z
            h *= z
            h += c
        return buffers.h[1:]

    def backward(self, p: Arrays, grad: Arrays, x: Array | Lookup, dy: Array, buffers: Arrays) -> Array:
        self._factors(buffers)
        self._backward_in_time(p, dy, buffers)

        H, dU = self.hidden_dim, grad.recurrent_kernel
        scaled, recalled = buffers.scaled.reshape(-1, H), buffers.recalled.reshape(-1, H)
        drz, dq = buffers.dgates[:2].reshape(2, -1, H), buffers.dq.reshape(-1, H)
        np.matmul(scaled.T, drz, out=dU[:2])
        np.matmul((scaled if self.reset_after else recalled).T, dq, out=dU[2])
        if self.reset_after:
            np.sum(dq, axis=0, out=grad.recurrent_bias)
        return project_to_gates_backward(p, grad, x, buffers.dgates, buffers)

    def _factors(self, buffers: Arrays) -> None:
        """Compute the factors of dr, dz, dc and dm that do not depend on dh, for all time steps."""
        (r, z, c), (dr, dz, dc) = buffers.gates[:3], buffers.dgates[:3]
        np.subtract(1, z, out=dz)
        np.multiply(c, c, out=dc)
        np.subtract(1, dc, out=dc)
        dc *= dz  # (1 - z) (1 - c²), later multiplied by dh
        np.subtract(buffers.h[1:], c, out=dr)  # h - c = z (h_before - c), in a buffer that is not in use yet
        dz *= dr  # (h_before - c) z (1 - z), later multiplied by dh
        np.subtract(1, r, out=dr)
        dr *= buffers.recalled  # r (1 - r) scaled, later multiplied by dc U_cᵀ; with `reset_after` (1 - r) q
        if self.reset_after:
            dr *= r  # r (1 - r) q, later multiplied by dc
        if self.mogrifier:
            m, dm = buffers.gates[3], buffers.dgates[3]
            np.multiply(m, -0.5, out=dm)
            dm += 1
            dm *= buffers.scaled  # h_before m (1 - m / 2), later multiplied by the gradient of scaled

    def _backward_in_time(self, p: Arrays, dy: Array, buffers: Arrays) -> None:
        dh, products = buffers.dh, buffers.products
        U_T = column_blocks(p.recurrent_kernel.swapaxes(1, 2), rows=len(dh))
        U_T_rz, U_T_c = U_T[:2], U_T[2]
        blocks = as_blocks(products, U_T)
        blocks_rz, blocks_c = blocks[:2], blocks[2]
        dr_U_T, dz_U_T, dq_U_T = products

        drz = buffers.dgates[:2].swapaxes(0, 1)[:, :, None]  # (T, 2, 1, B, H)
        dzc = buffers.dgates[1:3].swapaxes(0, 1)  # (T, 2, B, H)
        r_and_z, dr_and_dc = buffers.gates[:2], buffers.dgates[:3:2]
        m_and_dm = zip(buffers.gates[3][::-1], buffers.dgates[3][::-1]) if self.mogrifier else iter(())
        backwards = (steps[::-1] for steps in (dy, *r_and_z, *dr_and_dc, drz, dzc, buffers.dq))
        dh[...] = 0
        for dy_t, r, z, dr, dc, drz_t, dzc_t, dq in zip(*backwards):
            dh += dy_t
            dzc_t *= dh
            dh *= z  # from here on, dh becomes the carry
            if self.reset_after:
                dr *= dc
                np.multiply(dc, r, out=dq)
            np.matmul(dq, U_T_c, out=blocks_c)
            if not self.reset_after:
                dr *= dq_U_T
                dq_U_T *= r
            np.matmul(drz_t, U_T_rz, out=blocks_rz)
            if self.mogrifier:
                m, dm = next(m_and_dm)
                dq_U_T += dr_U_T
                dq_U_T += dz_U_T  # the gradient of scaled
                dm *= dq_U_T
                dq_U_T *= m
                dh += dq_U_T
            else:
                dh += dr_U_T
                dh += dz_U_T
                dh += dq_U_T

    def gates(self, buffers: Arrays) -> dict[str, Array]:
        return {"reset": buffers.gates[0], "update": buffers.gates[1]}

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        return gru_stepper(p, x, state["h"], self.reset_after, self.mogrifier)


def _scales(m: Array) -> Iterator[Array]:
    """Overwrite m (T, B, H) with 2 σ(m), and return an iterator over its time steps."""
    sigmoid(m, out=m)
    m *= 2
    return iter(m)
