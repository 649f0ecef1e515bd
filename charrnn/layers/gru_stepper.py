"""A single time step of the GRU, for sampling: the same equations, arranged for one character at a time.

A step has so little arithmetic that the calls themselves cost most. So there are as few calls as possible:

* Sequences are columns, and x, h and a 1 are adjacent rows of one array, so that one product gives x W + h U + b of
  both gates. With `mogrifier`, m ∘ h is there instead of h.
* σ(a) = (1 + tanh(a / 2)) / 2. The weights of r and z are halved beforehand, and the step works with 2 r and 2 z, so
  σ takes one tanh and one addition.
"""

import numpy as np

from charrnn.arrays import Array, Arrays, Stepper, aligned_copy, aligned_empty
from charrnn.layers.recurrent import side_by_side


def gru_stepper(p: Arrays, x: Array, h_before: Array, reset_after: bool, mogrifier: bool) -> Stepper:
    """The `Layer.stepper` of a GRU with parameters `p`, from the state `h_before` (H, B)."""
    (H, B), D, dtype = h_before.shape, len(x) - 1, x.dtype
    # Each product reads consecutive rows of one array: [1; x; 1; h] for r and z, [r ∘ h; 1; x] for c.
    rows = aligned_copy(np.ones((H + 1 + D + 1 + H, B), dtype))
    recalled, x, one_and_scaled = np.split(rows, [H, H + 1 + D])
    scaled = one_and_scaled[1:]  # h, or with `mogrifier` m ∘ h
    y = aligned_copy(one_and_scaled) if mogrifier else one_and_scaled
    h = y[1:]
    h[...] = h_before
    x_and_h, recalled_and_x = rows[H:], rows[: H + 1 + D]

    one, half = np.array(1, dtype), np.array(0.5, dtype)  # 0-d arrays are faster than Python numbers
    bW, uU = np.insert(p.kernel, 0, p.bias, axis=1), np.insert(p.recurrent_kernel, 0, 0, axis=1)
    if reset_after:
        uU[2, 0] = p.recurrent_bias
    bWuU_rz = aligned_copy(side_by_side(np.hstack([bW[:2], uU[:2]]) * half)).T
    UbW_c = aligned_copy(np.concatenate([uU[2, 1:] * half, bW[2]])).T  # half, because recalled is 2 r ∘ h
    bW_c, uU_c = bW[2].T, uU[2].T * half  # `reset_after` needs two products for c
    bW_m = aligned_copy(side_by_side(bW[3:]) * half).T  # empty without `mogrifier`
    rz, c = aligned_empty((2 * H, B), dtype), aligned_empty((H, B), dtype)
    r, z = rz[:H], rz[H:]
    add, subtract, multiply, tanh = np.add, np.subtract, np.multiply, np.tanh  # local names are faster to look up

    def step() -> None:
        if mogrifier:
            bW_m.dot(x, scaled)
            tanh(scaled, scaled)
            add(scaled, one, scaled)  # m = 2 σ(x W + b)
            multiply(scaled, h, scaled)
        bWuU_rz.dot(x_and_h, rz)
        tanh(rz, rz)
        add(rz, one, rz)  # 2 r, 2 z
        if reset_after:
            uU_c.dot(one_and_scaled, recalled)
            multiply(recalled, r, recalled)
            bW_c.dot(x, c)
            add(c, recalled, c)
        else:
            multiply(r, scaled, recalled)
            UbW_c.dot(recalled_and_x, c)
        tanh(c, c)

        subtract(h, c, h)  # h = c + z ∘ (h_before - c)
        multiply(h, z, h)
        multiply(h, half, h)
        add(h, c, h)

    return x, y, step
