"""Inspecting a network: a reading has what the network computes, and measures have known values."""

from dataclasses import dataclass

import numpy as np
import pytest

from charrnn.arrays import Arrays
from charrnn.errors import InputError
from charrnn.inspection import (
    best_unit,
    connectivity,
    correlations,
    linear_probe,
    linear_probes,
    principal_components,
    read,
    saturation,
    time_constants,
)
from charrnn.layers import GRU, Dense, Layer
from charrnn.models import Model, create_char_rnn_model

V = 12


@dataclass(frozen=True)
class OneHot(Layer):
    """A custom layer that reads ids."""

    input_dim: int = V
    output_dim: int = V

    def allocate(self, T, B, dtype):
        return Arrays()

    def forward(self, p, x, buffers):
        return np.eye(V)[x]

    def backward(self, p, grad, x, dy, buffers):
        return None


@pytest.fixture
def ids(rng):
    return rng.integers(V, size=40).astype(np.uint8)


def model_of(cell, rng, **settings):
    settings = {"embedding_dim": 3, "hidden_dim": 5, "dtype": np.float64} | settings
    return create_char_rnn_model(V, rng, cell=cell, **settings)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_a_reading_has_the_predictions_and_states_of_the_network(cell, rng, ids):
    model = model_of(cell, rng, num_layers=2)
    reading = read(model, ids)
    np.testing.assert_allclose(reading.probabilities, model.predict(ids))
    buffers = model.allocate(17, 1)
    model.forward(ids[:17, None], buffers)
    state = {
        f"{i}.{name}": h[0] for i, of_layer in enumerate(model.final_state(buffers)) for name, h in of_layer.items()
    }
    assert reading.states.keys() == state.keys() and len(state) == (4 if cell == "lstm" else 2)
    for name, h in state.items():
        np.testing.assert_allclose(reading.states[name][16], h)


def test_surprise_and_candidates(rng, ids):
    model = model_of("gru", rng)
    reading, p = read(model, ids), model.predict(ids)
    assert np.isnan(reading.surprise()[0])
    np.testing.assert_allclose(reading.surprise()[1:], [-np.log2(p[t, ids[t + 1]]) for t in range(39)])
    names, probabilities = reading.candidates(3)
    assert names.shape == probabilities.shape == (40, 3)
    np.testing.assert_allclose(probabilities, -np.sort(-p, axis=1)[:, :3])
    np.testing.assert_array_equal(np.take_along_axis(p, names, axis=1), probabilities)


@pytest.mark.parametrize(
    ("cell", "gates"),
    [("gru", {"reset": 0, "update": 1}), ("lstm", {"output": 0, "input": 1, "forget": 2}), ("rnn", {})],
)
def test_gates_are_those_of_the_equations(cell, gates, rng, ids):
    model = model_of(cell, rng)
    reading, p = read(model, ids), model.p
    assert reading.gates.keys() == {f"1.{name}" for name in gates}
    x, h_before = p[0].table[ids[7]], reading.states["1.h"][6]
    for name, place in gates.items():
        expected = sigmoid(x @ p[1].kernel[place] + h_before @ p[1].recurrent_kernel[place] + p[1].bias[place])
        np.testing.assert_allclose(reading.gates[f"1.{name}"][7], expected)


def test_correlations(rng):
    states, feature = rng.normal(size=(50, 4)), rng.normal(size=50)
    states[:, 2] = 1
    expected = [np.corrcoef(h, feature)[0, 1] for h in states[:, [0, 1, 3]].T]
    np.testing.assert_allclose(correlations(states, feature), [*expected[:2], 0, expected[2]])
    np.testing.assert_array_equal(correlations(states, np.ones(50)), np.zeros(4))


def test_the_best_unit_is_chosen_on_the_first_half_and_measured_on_the_second(rng):
    """Unit 1 follows the feature with the opposite sign on the first half; unit 3 follows it on the second only."""
    states, feature = rng.normal(size=(200, 5)), rng.normal(size=200)
    states[:100, 1] -= 3 * feature[:100]
    states[100:, 1] += 0.5 * feature[100:]
    states[100:, 3] = feature[100:]
    best = best_unit(states, feature)
    assert best.unit == 1
    assert best.on_first_half == pytest.approx(np.corrcoef(states[:100, 1], feature[:100])[0, 1])
    assert best.on_first_half < -0.9
    assert best.correlation == pytest.approx(np.corrcoef(states[100:, 1], feature[100:])[0, 1])


def test_a_probe_finds_a_linear_function_of_the_state(rng):
    states = rng.normal(size=(400, 6))
    feature = states @ [1, -2, 0, 0, 3, 0] + 5
    probe = linear_probe(states, feature)
    assert probe.correlation > 0.9999
    np.testing.assert_allclose(probe.values, feature, atol=0.05)


def test_a_probe_is_fitted_on_the_first_half_and_measured_on_the_second(rng):
    """More units than characters fit anything, even noise."""
    states, noise = rng.normal(size=(200, 150)), rng.normal(size=200)
    probe = linear_probe(states, noise)
    assert np.corrcoef(probe.values[:100], noise[:100])[0, 1] > 0.99
    assert abs(probe.correlation) < 0.3
    assert probe.correlation == pytest.approx(np.corrcoef(probe.values[100:], noise[100:])[0, 1])
    other = np.append(noise[:100], rng.normal(size=100))
    np.testing.assert_array_equal(linear_probe(states, other).values, probe.values)


def test_several_probes_are_those_of_each_feature_alone(rng):
    states, features = rng.normal(size=(90, 5)), rng.normal(size=(90, 3))
    for probe, feature in zip(linear_probes(states, features), features.T):
        alone = linear_probe(states, feature)
        np.testing.assert_allclose(probe.values, alone.values)
        assert probe.correlation == pytest.approx(alone.correlation)


def test_a_probe_of_what_never_changes_finds_nothing():
    assert linear_probe(np.zeros((10, 3)), np.arange(10.0)).correlation == 0
    assert linear_probe(np.arange(30.0).reshape(10, 3), np.ones(10)).correlation == 0


def test_saturation_counts_steps_within_a_tenth_of_either_end():
    gate = np.array([[0.05, 0.1], [0.95, 0.9], [0.5, 0.91], [0.0, 0.09]])
    low, high = saturation(gate)
    np.testing.assert_array_equal(low, [0.5, 0.25])
    np.testing.assert_array_equal(high, [0.25, 0.25])


def test_a_time_constant_is_the_time_to_forget_all_but_one_part_in_e():
    gate = np.column_stack([np.full(8, np.exp(-1 / 20)), np.tile([0, 1], 4), np.ones(8)])
    np.testing.assert_allclose(time_constants(gate), [20, 1 / np.log(2), np.inf])
    assert time_constants(np.zeros((3, 1)))[0] == 0


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_connectivity_is_the_gradient_of_the_largest_logit(cell, rng):
    model, ids = model_of(cell, rng, num_layers=2), rng.permutation(V)  # each id once, so its row moves one position
    parameters = model.parameters.copy()
    norms = connectivity(model, ids, np.array([9, 11]), context=6)

    def largest_logit(t, which):
        buffers = model.allocate(6, 1)
        logits = model.forward(ids[t - 5 : t + 1, None], buffers)[-1, 0]
        return logits[which] if which is not None else logits.argmax()

    for row, t in zip(norms, (9, 11)):
        which = largest_logit(t, None)
        for column, id in enumerate(ids[t - 5 : t + 1]):
            gradient = []
            for k in range(3):
                values = []
                for step in (1e-6, -1e-6):
                    model.p[0].table[id, k] += step
                    values.append(largest_logit(t, which))
                    model.p[0].table[id, k] -= step
                gradient.append((values[0] - values[1]) / 2e-6)
            assert row[column] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    np.testing.assert_allclose(model.parameters, parameters, rtol=0, atol=1e-12)


def test_connectivity_refuses_positions_out_of_range_and_other_first_layers(rng, ids):
    model = model_of("gru", rng)
    with pytest.raises(InputError, match=r"^positions range from 3 to 9; .* they must be in 4 … 39$"):
        connectivity(model, ids, np.array([3, 9]), context=5)
    with pytest.raises(InputError, match="^positions range from 9 to 40"):
        connectivity(model, ids, np.array([9, 40]), context=5)
    blind = Model([OneHot(), GRU(V, 4), Dense(4, V)], rng)
    with pytest.raises(InputError, match="^the first layer is OneHot"):
        connectivity(blind, ids, np.array([9]), context=5)


def test_principal_components(rng):
    directions = np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    weights = np.column_stack([rng.normal(size=30) * 4, rng.normal(size=30)])
    weights -= weights.mean(axis=0)
    coordinates, shares = principal_components(weights @ directions + 7)
    assert shares.sum() == pytest.approx(1) and shares[0] > 0.8
    assert (coordinates[np.abs(coordinates).argmax(axis=0), [0, 1]] > 0).all()
    distances = np.linalg.norm(weights[:, None] - weights[None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(coordinates[:, None] - coordinates[None], axis=-1), distances, atol=1e-9)
    coordinates, shares = principal_components(np.arange(4.0)[:, None])
    np.testing.assert_array_equal(coordinates[:, 1], 0)
    np.testing.assert_allclose(shares, [1, 0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (np.empty(0, np.uint8), "the text is empty; it must have at least one id"),
        (np.zeros((3, 2), np.uint8), r"text: the shape is \(3, 2\); it must be \(n,\)"),
        (np.array([1, V]), f"text: id {V} at position 1; the model knows only 0 to {V - 1}"),
    ],
)
def test_only_a_text_of_known_ids_is_read(rng, text, message):
    with pytest.raises(InputError, match=message):
        read(model_of("gru", rng), text)


def test_no_positions_have_no_connectivity(rng, ids):
    assert connectivity(model_of("gru", rng), ids, np.empty(0, int), context=5).shape == (0, 5)
