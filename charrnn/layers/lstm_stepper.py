"""A single time step of the LSTM, for sampling, arranged as in `charrnn.layers.gru_stepper`."""

import numpy as np

from charrnn.arrays import Array, Arrays, Stepper, aligned_copy, aligned_empty
from charrnn.layers.recurrent import side_by_side


def lstm_stepper(p: Arrays, x: Array, h_before: Array, c: Array) -> Stepper:
    """The `Layer.stepper` of an LSTM with parameters `p`, from the states `h_before` and `c` (H, B); it updates c."""
    (H, B), D, dtype = h_before.shape, len(x) - 1, x.dtype
    x_and_h = aligned_copy(np.ones((1 + D + 1 + H, B), dtype))  # [1; x; 1; h], for a single product
    x, y = x_and_h[: 1 + D], x_and_h[1 + D :]
    h = y[1:]
    h[...] = h_before

    # The weights of o, i and f are halved, because σ(a) = (1 + tanh(a / 2)) / 2. So one tanh serves all four.
    half = np.array(0.5, dtype)  # a 0-d array is faster than a Python number
    bWU = np.hstack([p.bias[:, None], p.kernel, np.zeros((4, 1, H), dtype), p.recurrent_kernel])
    bWU[:3] *= half
    bWU_oifg = aligned_copy(side_by_side(bWU)).T
    gates, entering = aligned_empty((4 * H, B), dtype), aligned_empty((H, B), dtype)
    oif, (o, i, f, g) = gates[: 3 * H], np.split(gates, 4)
    add, multiply, tanh = np.add, np.multiply, np.tanh  # local names are faster to look up

    def step() -> None:
        bWU_oifg.dot(x_and_h, gates)
        tanh(gates, gates)
        multiply(oif, half, oif)
        add(oif, half, oif)
        multiply(i, g, entering)
        multiply(c, f, c)
        add(c, entering, c)
        tanh(c, h)
        multiply(h, o, h)

    return x, y, step
