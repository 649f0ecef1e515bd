"""The gated recurrent unit of Cho et al. (2014), arXiv 1406.1078, equations 5 to 8, for inputs x_t.

    r_t = σ(x_t W_r + h_{t-1} U_r + b_r)                 reset gate:  how much of the past the candidate sees
    z_t = σ(x_t W_z + h_{t-1} U_z + b_z)                 update gate: how much of the past is kept
    c_t = tanh(x_t W_c + (r_t ∘ h_{t-1}) U_c + b_c)      candidate state
    h_t = z_t ∘ h_{t-1} + (1 - z_t) ∘ c_t

With `reset_after=True` the reset gate acts after the recurrent product instead, as in cuDNN and PyTorch, which makes
room for one more bias:

    c_t = tanh(x_t W_c + r_t ∘ (h_{t-1} U_c + u) + b_c)

The three gates lie on an axis of their own, in the order r, z, c, so that each gate's block is contiguous at every
time step, and r and z, or z and c, can be worked on together.

Backwards in time, with dr, dz and dc the gradients of what stands in the brackets of σ, σ and tanh:

    dh_t     = dy_t + what step t + 1 sends back
    dz_t     = dh_t ∘ (h_{t-1} - c_t) ∘ z_t ∘ (1 - z_t)
    dc_t     = dh_t ∘ (1 - z_t) ∘ (1 - c_t²)
    dr_t     = (dc_t U_cᵀ) ∘ h_{t-1} ∘ r_t ∘ (1 - r_t)
    sent back: dh_t ∘ z_t + dr_t U_rᵀ + dz_t U_zᵀ + (dc_t U_cᵀ) ∘ r_t

    dW = Σ_t x_tᵀ [dr dz dc]_t,  db = Σ_t [dr dz dc]_t
    dU_r = Σ_t h_{t-1}ᵀ dr_t,  dU_z = Σ_t h_{t-1}ᵀ dz_t,  dU_c = Σ_t (r_t ∘ h_{t-1})ᵀ dc_t

and with `reset_after`, where the reset gate lets through q_t = h_{t-1} U_c + u:

    dr_t     = dc_t ∘ q_t ∘ r_t ∘ (1 - r_t),  dq_t = dc_t ∘ r_t
    sent back: dh_t ∘ z_t + dr_t U_rᵀ + dz_t U_zᵀ + dq_t U_cᵀ
    dU_c = Σ_t h_{t-1}ᵀ dq_t,  du = Σ_t dq_t
"""

from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from charrnn.activations import sigmoid
from charrnn.arrays import Array, Arrays, DType, Shapes, Stepper
from charrnn.blocks import column_blocks, in_blocks
from charrnn.buffers import copy, empty
from charrnn.initializers import Initializer, glorot_uniform, orthogonal, zeros
from charrnn.projection import Rows, gradients_of_projection, project_to_gates
from charrnn.recurrent import Recurrent, side_by_side
from charrnn.threads import Call


@dataclass(frozen=True)
class GRU(Recurrent):
    """x is (T, B, input_dim); the output h_1 … h_T is (T, B, hidden_dim).

    Parameters, with D = input_dim and H = hidden_dim: `kernel` W (3, D, H), `recurrent_kernel` U (3, H, H), `bias`
    b (3, H) and, with `reset_after`, `recurrent_bias` u (H,). The initializers see each gate as a matrix of its own.
    `project` to `deferred_gradients` are the steps that `charrnn.recurrent.Recurrent` tells of.
    """

    input_dim: int
    hidden_dim: int
    reset_after: bool = False
    initializer: Initializer = glorot_uniform
    recurrent_initializer: Initializer = orthogonal
    bias_initializer: Initializer = zeros
    accepts_rows: ClassVar = True

    @property
    def state_dims(self) -> dict[str, int]:
        return {"h": self.hidden_dim}

    def shapes(self) -> Shapes:
        D, H = self.input_dim, self.hidden_dim
        shapes = {"kernel": (3, D, H), "recurrent_kernel": (3, H, H), "bias": (3, H)}
        if self.reset_after:
            shapes["recurrent_bias"] = (H,)
        return shapes

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        super().init(p, rng)
        if self.reset_after:
            p.recurrent_bias[...] = self.bias_initializer(p.recurrent_bias.shape, rng)

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        D, H = self.input_dim, self.hidden_dim
        dgates = empty((3, T, B, H), dtype)
        # The product with U_c enters c as it is, so that its gradient dq is dc; with `reset_after`, r comes between.
        dq = empty((T, B, H), dtype) if self.reset_after else dgates[2]
        return SimpleNamespace(
            h=empty((T + 1, B, H), dtype),  # h[0] is the incoming state, h[1:] the outputs
            gates=empty((3, T, B, H), dtype),  # x W + b, then r, z, c
            recalled=empty((T, B, H), dtype),  # r ∘ h_{t-1}, or with reset_after q
            dgates=dgates,  # their local derivatives, in the end dr, dz, dc
            dq=dq,
            dh=empty((B, H), dtype),  # the gradient of the state, at the end that of h[0]
            products=empty((3, B, H), dtype),  # of one time step, with U_r, U_z, U_c or their transposes
            dx=empty((T, B, D), dtype),
            dx_of_gate=empty((3, T * B, D), dtype),
        )

    def project(self, p: Arrays, x: Array | Rows, work: Arrays) -> None:
        project_to_gates(p, x, work.gates)

    def unroll(self, p: Arrays, work: Arrays) -> Array:
        # Products go block by block of U's columns into `blocks`, which are views of `products`, see charrnn.blocks.
        U = column_blocks(p.recurrent_kernel, rows=work.h.shape[1])
        product_rz, product_c = work.products[:2], work.products[2]
        U_rz, U_c = U[:2], U[2]
        blocks = in_blocks(work.products, U)
        blocks_rz, blocks_c = blocks[:2], blocks[2]

        both_gates = work.gates[:2].swapaxes(0, 1)  # (T, 2, B, H)
        for h_before, h, rz, r, z, c, recalled in zip(work.h[:-1], work.h[1:], both_gates, *work.gates, work.recalled):
            if self.reset_after:
                np.matmul(h_before, U, out=blocks)
                product_rz += rz
                sigmoid(product_rz, out=rz, scratch=product_rz)  # r, z = σ(x W + h_before U + b)
                np.add(product_c, p.recurrent_bias, out=recalled)  # q = h_before U_c + u
                np.multiply(r, recalled, out=product_c)
            else:
                np.matmul(h_before, U_rz, out=blocks_rz)
                product_rz += rz
                sigmoid(product_rz, out=rz, scratch=product_rz)  # r, z = σ(x W + h_before U + b)
                np.multiply(r, h_before, out=recalled)
                np.matmul(recalled, U_c, out=blocks_c)  # (r ∘ h_before) U_c
            product_c += c
            np.tanh(product_c, out=c)

            np.subtract(h_before, c, out=h)  # h = c + z ∘ (h_before - c)
            h *= z
            h += c
        return work.h[1:]

    def local_derivatives(self, p: Arrays, work: Arrays) -> None:
        (r, z, c), (dr, dz, dc) = work.gates, work.dgates
        np.subtract(1, z, out=dz)
        np.multiply(c, c, out=dc)
        np.subtract(1, dc, out=dc)
        dc *= dz  # (1 - z) (1 - c²), still to be multiplied by dh
        np.subtract(work.h[1:], c, out=dr)  # h - c = z (h_before - c); dr is free until its own turn comes
        dz *= dr  # (h_before - c) z (1 - z), by dh
        np.subtract(1, r, out=dr)
        dr *= work.recalled  # r (1 - r) h_before, by dc U_cᵀ; with `reset_after` (1 - r) q
        if self.reset_after:
            dr *= r  # r (1 - r) q, by dc
        work.U_T = column_blocks(p.recurrent_kernel.swapaxes(1, 2), rows=work.h.shape[1])

    def unroll_backward(self, p: Arrays, dy: Array, work: Arrays) -> None:
        dh, products = work.dh, work.products
        U_T_rz, U_T_c = work.U_T[:2], work.U_T[2]
        blocks = in_blocks(products, work.U_T)
        blocks_rz, blocks_c = blocks[:2], blocks[2]
        of_r, of_z, of_c = products

        drz = work.dgates[:2].swapaxes(0, 1)[:, :, None]  # (T, 2, 1, B, H)
        dzc = work.dgates[1:].swapaxes(0, 1)  # (T, 2, B, H)
        r_and_z, dr_and_dc = work.gates[:2], work.dgates[::2]
        backwards = (steps[::-1] for steps in (dy, *r_and_z, *dr_and_dc, drz, dzc, work.dq))
        for dy, r, z, dr, dc, drz, dzc, dq in zip(*backwards):
            dh += dy
            dzc *= dh
            dh *= z
            if self.reset_after:
                dr *= dc
                np.multiply(dc, r, out=dq)
            np.matmul(dq, U_T_c, out=blocks_c)
            if not self.reset_after:
                dr *= of_c
                of_c *= r
            np.matmul(drz, U_T_rz, out=blocks_rz)
            dh += of_r
            dh += of_z
            dh += of_c

    def project_backward(self, p: Arrays, grad: Arrays, x: Array | Rows, work: Arrays) -> Array:
        return gradients_of_projection(p, grad, x, work.dgates, work)

    def deferred_gradients(self, grad: Arrays, x: Array | Rows, dy: Array, work: Arrays) -> list[Call]:
        H, dU = self.hidden_dim, grad.recurrent_kernel
        h_before, drz, dq = work.h[:-1].reshape(-1, H), work.dgates[:2].reshape(2, -1, H), work.dq.reshape(-1, H)
        into_c = h_before if self.reset_after else work.recalled.reshape(-1, H)
        calls: list[Call] = [
            partial(np.matmul, h_before.T, drz, out=dU[:2]),
            partial(np.matmul, into_c.T, dq, out=dU[2]),
        ]
        if self.reset_after:
            calls.append(partial(np.sum, dq, axis=0, out=grad.recurrent_bias))
        return calls

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        D, H, B, dtype = self.input_dim, self.hidden_dim, x.shape[1], x.dtype
        # Rows of one array, of which each product takes a run: [1; x; 1; h] gives r and z, [r ∘ h; 1; x] gives c.
        rows = copy(np.ones((H + 1 + D + 1 + H, B), dtype))
        recalled, x, y = np.split(rows, [H, H + 1 + D])
        h = y[1:]
        h[...] = state["h"]
        x_and_h, recalled_and_x = rows[H:], rows[: H + 1 + D]

        # What goes into r and z is halved beforehand, because σ(a) = (1 + tanh(a / 2)) / 2. The step works with 2 r and
        # 2 z, so U_c is halved too.
        one, half = np.array(1, dtype), np.array(0.5, dtype)  # arrays, which NumPy handles faster than numbers
        bW, uU = np.insert(p.kernel, 0, p.bias, axis=1), np.insert(p.recurrent_kernel, 0, 0, axis=1)
        if self.reset_after:
            uU[2, 0] = p.recurrent_bias
        of_rz = copy(side_by_side(np.hstack([bW[:2], uU[:2]]) * half)).T
        of_c = copy(np.concatenate([uU[2, 1:] * half, bW[2]])).T
        of_x, of_y = bW[2].T, uU[2].T * half  # with `reset_after`, c needs two products
        rz, c = empty((2 * H, B), dtype), empty((H, B), dtype)
        r, z = rz[:H], rz[H:]
        add, subtract, multiply, tanh = np.add, np.subtract, np.multiply, np.tanh  # Python finds local names faster

        def step() -> None:
            of_rz.dot(x_and_h, rz)
            tanh(rz, rz)
            add(rz, one, rz)  # 2 r, 2 z
            if self.reset_after:
                of_y.dot(y, recalled)
                multiply(recalled, r, recalled)
                of_x.dot(x, c)
                add(c, recalled, c)
            else:
                multiply(r, h, recalled)
                of_c.dot(recalled_and_x, c)
            tanh(c, c)

            subtract(h, c, h)  # h = c + z ∘ (h_before - c)
            multiply(h, z, h)
            multiply(h, half, h)
            add(h, c, h)

        return x, y, step
