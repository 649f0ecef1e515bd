"""The fast LSTM, compared with a slow one that spells out every gate, and what its gates do."""

import numpy as np

from charrnn.gradient_checking import LayerProbe, gradient_check
from charrnn.layers import LSTM
from charrnn.layers.column_blocks import column_blocks


def logistic(x):
    return 1 / (1 + np.exp(-x))


def gate_by_gate(p, x, h, c):
    outputs = []
    for x_t in x:
        o, i, f, g = (x_t @ W + h @ U + b for W, U, b in zip(p.kernel, p.recurrent_kernel, p.bias))
        c = logistic(f) * c + logistic(i) * np.tanh(g)
        h = logistic(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


def test_the_fast_lstm_equals_gate_by_gate(rng):
    probe = LayerProbe(LSTM(3, 5), 40, 2, rng)
    np.testing.assert_allclose(probe.forward(), gate_by_gate(probe.p, probe.x, **probe.state), rtol=1e-9)


def results(probe):
    """Copies of everything that a forward and a backward pass compute."""
    y, (dx, dstate) = probe.forward().copy(), probe.backward()
    return [y, probe.gradient.copy(), dx.copy(), dstate["h"].copy(), dstate["c"].copy()]


def test_blocks_of_columns_change_nothing(rng, monkeypatch):
    probe = LayerProbe(LSTM(3, 48), 20, 2, rng)
    expected = results(probe)
    monkeypatch.setattr("charrnn.layers.column_blocks.UNPACKED", 2 * 48 * 16)
    assert column_blocks(probe.p.recurrent_kernel, rows=2).shape == (4, 3, 48, 16)
    for in_blocks, whole in zip(results(probe), expected):
        np.testing.assert_allclose(in_blocks, whole, atol=1e-12)


def test_gradients_equal_central_differences(rng):
    gradient_check(LSTM(3, 5), rng)


def test_a_cell_that_forgets_nothing_and_lets_nothing_in_is_kept(rng):
    probe = LayerProbe(LSTM(3, 5), 6, 2, rng)
    probe.p.bias[1:3] = [[-1e3], [1e3]]
    probe.forward()
    np.testing.assert_allclose(probe.buffers.c[-1], probe.state["c"], rtol=1e-12)


def test_a_closed_output_gate_shows_nothing(rng):
    probe = LayerProbe(LSTM(3, 5), 6, 2, rng)
    probe.p.bias[0] = -1e3
    assert not probe.forward().any()


def test_the_forget_gate_begins_open(rng):
    for layer, expected in ((LSTM(3, 5), 1.0), (LSTM(3, 5, forget_bias=2.5), 2.5)):
        probe = LayerProbe(layer, 1, 1, rng)
        layer.init(probe.p, rng)
        np.testing.assert_array_equal(probe.p.bias, np.repeat([[0], [0], [expected], [0]], 5, axis=1))
