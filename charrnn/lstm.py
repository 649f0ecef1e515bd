"""Long short-term memory: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).

    o_t = σ(x_t W_o + h_{t-1} U_o + b_o)       output gate: how much of the cell is shown
    i_t = σ(x_t W_i + h_{t-1} U_i + b_i)       input gate:  how much of the candidate enters the cell
    f_t = σ(x_t W_f + h_{t-1} U_f + b_f)       forget gate: how much of the cell is kept
    g_t = tanh(x_t W_g + h_{t-1} U_g + b_g)    candidate, which the GRU calls c
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t            the cell, which gradients pass without a matrix in their way
    h_t = o_t ∘ tanh(c_t)

The gates lie on an axis of their own, in the order o, i, f, g: the three with σ are neighbours, and so are the three
that act on the cell.

Backwards in time, with do, di, df and dg the gradients of what stands in the brackets of σ and tanh:

    dh_t     = dy_t + what step t + 1 sends back
    do_t     = dh_t ∘ tanh(c_t) ∘ o_t ∘ (1 - o_t)
    dc_t     = dh_t ∘ o_t ∘ (1 - tanh²(c_t)) + dc_{t+1} ∘ f_{t+1}
    di_t     = dc_t ∘ g_t ∘ i_t ∘ (1 - i_t)
    df_t     = dc_t ∘ c_{t-1} ∘ f_t ∘ (1 - f_t)
    dg_t     = dc_t ∘ i_t ∘ (1 - g_t²)
    sent back: do_t U_oᵀ + di_t U_iᵀ + df_t U_fᵀ + dg_t U_gᵀ

    dW = Σ_t x_tᵀ [do di df dg]_t,  dU = Σ_t h_{t-1}ᵀ [do di df dg]_t,  db = Σ_t [do di df dg]_t
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
class LSTM(Recurrent):
    """x is (T, B, input_dim); the output h_1 … h_T is (T, B, hidden_dim).

    Parameters, with D = input_dim and H = hidden_dim: `kernel` W (4, D, H), `recurrent_kernel` U (4, H, H) and `bias` b
    (4, H), to which `init` adds `forget_bias` for f: a cell that keeps what it has is where learning should begin
    (Jozefowicz, Zaremba and Sutskever 2015, section 2.2). The initializers see each gate as a matrix of its own.
    `project` to `deferred_gradients` are the steps that `charrnn.recurrent.Recurrent` tells of.
    """

    input_dim: int
    hidden_dim: int
    forget_bias: float = 1.0
    initializer: Initializer = glorot_uniform
    recurrent_initializer: Initializer = orthogonal
    bias_initializer: Initializer = zeros
    accepts_rows: ClassVar = True

    @property
    def state_dims(self) -> dict[str, int]:
        return {"h": self.hidden_dim, "c": self.hidden_dim}

    def shapes(self) -> Shapes:
        D, H = self.input_dim, self.hidden_dim
        return {"kernel": (4, D, H), "recurrent_kernel": (4, H, H), "bias": (4, H)}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        super().init(p, rng)
        p.bias[2] += self.forget_bias

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        D, H = self.input_dim, self.hidden_dim
        return SimpleNamespace(
            h=empty((T + 1, B, H), dtype),  # h[0] is the incoming state, h[1:] the outputs
            c=empty((T + 1, B, H), dtype),  # c[0] is the incoming cell
            gates=empty((4, T, B, H), dtype),  # x W + b, then o, i, f, g
            tanh_c=empty((T, B, H), dtype),  # backwards, what h_t sends to c_t: o (1 - tanh²(c)), in the end by dh
            dgates=empty((4, T, B, H), dtype),  # their local derivatives, in the end do, di, df, dg
            dh=empty((B, H), dtype),  # the gradients of the states, at the end those of h[0] and c[0]
            dc=empty((B, H), dtype),
            products=empty((4, B, H), dtype),  # of one time step, with U_o, U_i, U_f, U_g or their transposes
            dx=empty((T, B, D), dtype),
            dx_of_gate=empty((4, T * B, D), dtype),
        )

    def project(self, p: Arrays, x: Array | Rows, work: Arrays) -> None:
        project_to_gates(p, x, work.gates)

    def unroll(self, p: Arrays, work: Arrays) -> Array:
        U = column_blocks(p.recurrent_kernel, rows=work.h.shape[1])
        products = work.products
        blocks = in_blocks(products, U)

        h, c = work.h, work.c
        for h_before, h_t, c_before, c_t, tanh_c, gates in zip(
            h[:-1], h[1:], c[:-1], c[1:], work.tanh_c, work.gates.swapaxes(0, 1)
        ):
            np.matmul(h_before, U, out=blocks)
            products += gates
            sigmoid(products[:3], out=gates[:3], scratch=products[:3])  # o, i, f = σ(x W + h_before U + b)
            o, i, f, g = gates
            np.tanh(products[3], out=g)
            np.multiply(f, c_before, out=c_t)
            c_t += np.multiply(i, g, out=tanh_c)  # tanh_c is free until its own turn comes
            np.tanh(c_t, out=tanh_c)
            np.multiply(o, tanh_c, out=h_t)
        return work.h[1:]

    def local_derivatives(self, p: Arrays, work: Arrays) -> None:
        (o, i, _, g), (do, di, df, dg), tanh_c = work.gates, work.dgates, work.tanh_c
        np.subtract(1, work.gates[:3], out=work.dgates[:3])
        work.dgates[:3] *= work.gates[:3]
        do *= tanh_c
        di *= g
        df *= work.c[:-1]
        np.multiply(g, g, out=dg)
        np.subtract(1, dg, out=dg)
        dg *= i
        tanh_c *= tanh_c
        np.subtract(1, tanh_c, out=tanh_c)
        tanh_c *= o
        work.U_T = column_blocks(p.recurrent_kernel.swapaxes(1, 2), rows=o.shape[1])

    def unroll_backward(self, p: Arrays, dy: Array, work: Arrays) -> None:
        dh, dc, products = work.dh, work.dc, work.products
        blocks = in_blocks(products, work.U_T)

        f, do, dc_by_h = work.gates[2], work.dgates[0], work.tanh_c
        of_step = work.dgates.swapaxes(0, 1)
        for t in reversed(range(len(f))):
            dh += dy[t]
            do[t] *= dh
            dc_by_h[t] *= dh
            dc += dc_by_h[t]
            of_step[t, 1:] *= dc
            dc *= f[t]
            np.matmul(of_step[t][:, None], work.U_T, out=blocks)
            np.add(products[0], products[1], out=dh)
            dh += products[2]
            dh += products[3]

    def project_backward(self, p: Arrays, grad: Arrays, x: Array | Rows, work: Arrays) -> Array:
        return gradients_of_projection(p, grad, x, work.dgates, work)

    def deferred_gradients(self, grad: Arrays, x: Array | Rows, dy: Array, work: Arrays) -> list[Call]:
        H = self.hidden_dim
        h_rows, dgate_rows = work.h[:-1].reshape(-1, H), work.dgates.reshape(4, -1, H)
        halves = slice(0, 2), slice(2, 4)
        return [partial(np.matmul, h_rows.T, dgate_rows[half], out=grad.recurrent_kernel[half]) for half in halves]

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        D, H, B, dtype = self.input_dim, self.hidden_dim, x.shape[1], x.dtype
        x_and_h = copy(np.ones((1 + D + 1 + H, B), dtype))  # [1; x; 1; h], for a single product
        x, y = x_and_h[: 1 + D], x_and_h[1 + D :]
        h, c = y[1:], state["c"]
        h[...] = state["h"]

        # What goes into o, i and f is halved beforehand, because σ(a) = (1 + tanh(a / 2)) / 2. So one tanh serves all.
        half = np.array(0.5, dtype)  # an array, which NumPy handles faster than a number
        bWU = np.hstack([p.bias[:, None], p.kernel, np.zeros((4, 1, H), dtype), p.recurrent_kernel])
        bWU[:3] *= half
        of_gates = copy(side_by_side(bWU)).T
        gates, entering = empty((4 * H, B), dtype), empty((H, B), dtype)
        oif, (o, i, f, g) = gates[: 3 * H], np.split(gates, 4)
        add, multiply, tanh = np.add, np.multiply, np.tanh  # Python finds local names faster

        def step() -> None:
            of_gates.dot(x_and_h, gates)
            tanh(gates, gates)
            multiply(oif, half, oif)
            add(oif, half, oif)
            multiply(i, g, entering)
            multiply(c, f, c)
            add(c, entering, c)
            tanh(c, h)
            multiply(h, o, h)

        return x, y, step
