"""Long short-term memory: Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000).

    o_t = σ(x_t W_o + h_{t-1} U_o + b_o)       output gate: how much of the cell is shown
    i_t = σ(x_t W_i + h_{t-1} U_i + b_i)       input gate:  how much of the candidate enters the cell
    f_t = σ(x_t W_f + h_{t-1} U_f + b_f)       forget gate: how much of the cell is kept
    g_t = tanh(x_t W_g + h_{t-1} U_g + b_g)    candidate, which the GRU calls c
    c_t = f_t ∘ c_{t-1} + i_t ∘ g_t            the cell; gradients pass it without a matrix product
    h_t = o_t ∘ tanh(c_t)

The gates have their own axis, in the order o, i, f, g: the three with σ are adjacent, and so are the three that act on
the cell. `charrnn.layers.gru` explains what else makes it fast.

Backward in time, where do, di, df and dg are the gradients of the arguments of σ and tanh:

    dh_t     = dy_t + carry_{t+1}
    do_t     = dh_t ∘ tanh(c_t) ∘ o_t ∘ (1 - o_t)
    dc_t     = dh_t ∘ o_t ∘ (1 - tanh²(c_t)) + dc_{t+1} ∘ f_{t+1}
    di_t     = dc_t ∘ g_t ∘ i_t ∘ (1 - i_t)
    df_t     = dc_t ∘ c_{t-1} ∘ f_t ∘ (1 - f_t)
    dg_t     = dc_t ∘ i_t ∘ (1 - g_t²)
    carry_t  = do_t U_oᵀ + di_t U_iᵀ + df_t U_fᵀ + dg_t U_gᵀ

    dW = Σ_t x_tᵀ [do di df dg]_t,  dU = Σ_t h_{t-1}ᵀ [do di df dg]_t,  db = Σ_t [do di df dg]_t
"""

from dataclasses import dataclass, field
from math import isfinite
from typing import ClassVar

import numpy as np

from charrnn.arrays import Array, Arrays, DType, Shapes, Stepper, aligned_empty
from charrnn.errors import InputError
from charrnn.initializers import Initializer, glorot_uniform, orthogonal, zeros
from charrnn.layers.column_blocks import as_blocks, column_blocks
from charrnn.layers.lstm_stepper import lstm_stepper
from charrnn.layers.projection import Lookup, project_to_gates, project_to_gates_backward
from charrnn.layers.recurrent import Recurrent
from charrnn.messages import quoted


@dataclass(frozen=True)
class LSTM(Recurrent):
    """x is (T, B, input_dim); the output h_1 … h_T is (T, B, hidden_dim).

    Parameters, with D = input_dim and H = hidden_dim: `kernel` W (4, D, H), `recurrent_kernel` U (4, H, H) and `bias` b
    (4, H). `init` adds `forget_bias` to the bias of f, so that at first the cell keeps its value (Jozefowicz, Zaremba
    and Sutskever 2015, section 2.2). The initializers draw the matrix of each gate separately.

    Raises
    ------
    InputError
        If a dimension is not a positive integer, or `forget_bias` is not a finite number.

    >>> layer = LSTM(input_dim=16, hidden_dim=128)
    >>> layer.state_dims
    {'h': 128, 'c': 128}
    """

    input_dim: int
    hidden_dim: int
    forget_bias: float = 1.0
    initializer: Initializer = field(default=glorot_uniform, compare=False)
    recurrent_initializer: Initializer = field(default=orthogonal, compare=False)
    bias_initializer: Initializer = field(default=zeros, compare=False)
    accepts_lookup: ClassVar = True

    def __post_init__(self) -> None:
        super().__post_init__()
        bias = self.forget_bias
        if not isinstance(bias, int | float | np.number) or isinstance(bias, bool) or not isfinite(bias):
            raise InputError(f"LSTM: forget_bias is {quoted(bias)}; it must be a finite number")

    @property
    def state_dims(self) -> dict[str, int]:
        return {"h": self.hidden_dim, "c": self.hidden_dim}

    def shapes(self) -> Shapes:
        D, H = self.input_dim, self.hidden_dim
        return {"kernel": (4, D, H), "recurrent_kernel": (4, H, H), "bias": (4, H)}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        super().init(p, rng)
        p.bias[2] += self.forget_bias

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        D, H = self.input_dim, self.hidden_dim
        # o, i, f, g and c share one array, so that (i, f) ∘ (g, c_{t-1}) is one operation. dc's factor and do share
        # another, so that one operation multiplies both by dh. Time comes first where the loop needs all five at once,
        # and second where products need all time steps at once.
        gates_and_c = aligned_empty((T + 1, 5, B, H), dtype)
        dc_and_dgates = aligned_empty((5, T, B, H), dtype)
        return Arrays(
            h=aligned_empty((T + 1, B, H), dtype),  # h[0] is the incoming state, h[1:] the outputs
            c=gates_and_c[:, 4],  # c[0] is the incoming cell
            gates=gates_and_c[:-1, :4].swapaxes(0, 1),  # o, i, f, g
            gates_and_c=gates_and_c,
            added=aligned_empty((2, B, H), dtype),  # i ∘ g and f ∘ c_{t-1}
            tanh_c=aligned_empty((T, B, H), dtype),
            # First x W + b (halved for o, i, f) in the place of dgates; then the factors that do not depend on dh; then
            # what dh adds to dc, and do, di, df, dg.
            dc_and_dgates=dc_and_dgates,
            dgates=dc_and_dgates[1:],
            dh=aligned_empty((B, H), dtype),  # gradients of the current states; after the loop, of h[0] and c[0]
            dc=aligned_empty((B, H), dtype),
            products=aligned_empty((4, B, H), dtype),  # of one time step with U_o, U_i, U_f, U_g or their transposes
            dx=aligned_empty((T, B, D), dtype),
            dx_of_gates=aligned_empty((4, T * B, D), dtype),
        )

    def forward(self, p: Arrays, x: Array | Lookup, buffers: Arrays) -> Array:
        project_to_gates(p, x, buffers.dgates, num_halved=3)
        U = column_blocks(p.recurrent_kernel, rows=buffers.h.shape[1])
        U[:3] *= 0.5  # as σ(a) = (1 + tanh(a/2)) / 2, one tanh does for all four gates if three arguments are halved
        products, added = buffers.products, buffers.added
        blocks, half = as_blocks(products, U), np.array(0.5, products.dtype)

        h, tanh_cs, projected = buffers.h, buffers.tanh_c, buffers.dgates.swapaxes(0, 1)
        now = buffers.gates_and_c[:-1]  # o, i, f, g and the cell before
        of_gates = now[:, :4], now[:, 0], now[:, :3], now[:, 1:3], now[:, 3:]
        steps = zip(h, h[1:], projected, *of_gates, buffers.c[1:], tanh_cs)
        for h_before, h_t, xW_b, gates, o, oif, i_and_f, g_and_c, c, tanh_c in steps:
            np.matmul(h_before, U, out=blocks)
            products += xW_b
            np.tanh(products, gates)  # g, and 2 σ - 1 for o, i, f
            oif *= half
            oif += half
            np.multiply(i_and_f, g_and_c, added)
            np.add(added[0], added[1], c)
            np.tanh(c, tanh_c)
            np.multiply(o, tanh_c, h_t)
        return h[1:]

    def backward(self, p: Arrays, grad: Arrays, x: Array | Lookup, dy: Array, buffers: Arrays) -> Array:
        self._factors(buffers)
        self._backward_in_time(p, dy, buffers)
        H = self.hidden_dim
        np.matmul(buffers.h[:-1].reshape(-1, H).T, buffers.dgates.reshape(4, -1, H), out=grad.recurrent_kernel)
        return project_to_gates_backward(p, grad, x, buffers.dgates, buffers)

    def _factors(self, buffers: Arrays) -> None:
        """Compute the factors of the gradients that do not depend on dh, for all time steps."""
        (o, i, _, g), (dc, do, di, df, dg), tanh_c = buffers.gates, buffers.dc_and_dgates, buffers.tanh_c
        np.subtract(1, buffers.gates[:3], out=buffers.dgates[:3])
        buffers.dgates[:3] *= buffers.gates[:3]  # σ' = σ (1 - σ)
        do *= tanh_c
        di *= g
        df *= buffers.c[:-1]
        np.multiply(g, g, out=dg)
        np.subtract(1, dg, out=dg)
        dg *= i
        np.multiply(tanh_c, tanh_c, out=dc)
        np.subtract(1, dc, out=dc)
        dc *= o

    def _backward_in_time(self, p: Arrays, dy: Array, buffers: Arrays) -> None:
        dh, dc, products = buffers.dh, buffers.dc, buffers.products
        U_T = column_blocks(p.recurrent_kernel.swapaxes(1, 2), rows=len(dh))
        blocks = as_blocks(products, U_T)
        first, *others = products

        columns = buffers.dc_and_dgates.swapaxes(0, 1)  # (T, 5, B, H)
        by_dh, dc_by_dh, by_dc, dgates = columns[:, :2], columns[:, 0], columns[:, 2:], columns[:, 1:, None]
        backwards = (steps[::-1] for steps in (dy, by_dh, dc_by_dh, by_dc, dgates, buffers.gates[2]))
        dh[...] = 0
        dc[...] = 0
        for dy_t, by_dh_t, dc_by_dh_t, by_dc_t, dgates_t, f in zip(*backwards):
            dh += dy_t
            by_dh_t *= dh
            dc += dc_by_dh_t
            by_dc_t *= dc
            dc *= f
            np.matmul(dgates_t, U_T, out=blocks)
            np.add(first, others[0], dh)
            dh += others[1]
            dh += others[2]

    def gates(self, buffers: Arrays) -> dict[str, Array]:
        return {"output": buffers.gates[0], "input": buffers.gates[1], "forget": buffers.gates[2]}

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        return lstm_stepper(p, x, state["h"], state["c"])
