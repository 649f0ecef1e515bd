"""The fast GRU, compared with a slow one that spells out every gate, and what its gates do."""

import numpy as np
import pytest

from charrnn.gradient_checking import LayerProbe, gradient_check
from charrnn.layers import GRU
from charrnn.layers.column_blocks import column_blocks

kinds = pytest.mark.parametrize(
    "options", [{}, {"reset_after": True}, {"mogrifier": True}, {"reset_after": True, "mogrifier": True}], ids=str
)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def gate_by_gate(p, x, h, reset_after=False, mogrifier=False):
    (W_r, W_z, W_c, *W_m), (U_r, U_z, U_c), (b_r, b_z, b_c, *b_m) = p.kernel, p.recurrent_kernel, p.bias
    outputs = []
    for x_t in x:
        scaled = 2 * logistic(x_t @ W_m[0] + b_m[0]) * h if mogrifier else h
        r = logistic(x_t @ W_r + scaled @ U_r + b_r)
        z = logistic(x_t @ W_z + scaled @ U_z + b_z)
        past = r * (scaled @ U_c + p.recurrent_bias) if reset_after else (r * scaled) @ U_c
        c = np.tanh(x_t @ W_c + past + b_c)
        h = z * h + (1 - z) * c
        outputs.append(h)
    return np.array(outputs)


@kinds
def test_the_fast_gru_equals_gate_by_gate(options, rng):
    probe = LayerProbe(GRU(3, 5, **options), 40, 2, rng)
    expected = gate_by_gate(probe.p, probe.x, probe.state["h"], **options)
    np.testing.assert_allclose(probe.forward(), expected, rtol=1e-9)


def results(probe):
    """Copies of everything that a forward and a backward pass compute."""
    y, (dx, dstate) = probe.forward().copy(), probe.backward()
    return [y, probe.gradient.copy(), dx.copy(), dstate["h"].copy()]


@kinds
def test_blocks_of_columns_change_nothing(options, rng, monkeypatch):
    probe = LayerProbe(GRU(3, 48, **options), 6, 2, rng)
    expected = results(probe)
    monkeypatch.setattr("charrnn.layers.column_blocks.UNPACKED", 2 * 48 * 16)
    assert column_blocks(probe.p.recurrent_kernel, rows=2).shape == (3, 3, 48, 16)
    for in_blocks, whole in zip(results(probe), expected):
        np.testing.assert_allclose(in_blocks, whole, atol=1e-12)


@kinds
def test_gradients_equal_central_differences(options, rng):
    gradient_check(GRU(3, 5, **options), rng)


def test_an_open_update_gate_keeps_the_state(rng):
    probe = LayerProbe(GRU(3, 5), 6, 2, rng)
    probe.p.bias[1] = 1e3
    np.testing.assert_allclose(probe.forward()[-1], probe.state["h"], rtol=1e-12)


def test_a_closed_reset_gate_hides_the_past_from_the_candidate(rng):
    probe = LayerProbe(GRU(3, 5), 1, 2, rng)
    probe.p.bias[:2] = -1e3
    expected = np.tanh(probe.x[0] @ probe.p.kernel[2] + probe.p.bias[2])
    np.testing.assert_allclose(probe.forward()[0], expected, rtol=1e-12)


def test_weights_are_glorot_recurrent_weights_orthogonal_by_gate_biases_zero(rng):
    layer = GRU(20, 30)
    probe = LayerProbe(layer, 1, 1, rng)
    layer.init(probe.p, rng)
    assert np.abs(probe.p.kernel).max() <= np.sqrt(6 / 50)
    for U in probe.p.recurrent_kernel:
        np.testing.assert_allclose(U @ U.T, np.eye(30), atol=1e-12)
    assert not probe.p.bias.any()
