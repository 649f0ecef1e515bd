"""Dynamic evaluation: each character is predicted before anything is learned from it, and the steps are the paper's."""

import tracemalloc
from itertools import product

import numpy as np
import pytest

from charrnn import dynamic
from charrnn.config import DynamicConfig
from charrnn.dynamic import adapted, evaluate_dynamically, mean_squared_gradients, read_and_learn
from charrnn.errors import InputError
from charrnn.evaluation import evaluate
from charrnn.layers import Dense, Embedding
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.models import Model, create_char_rnn_model
from tests.markov import MarkovChain

V = 5


@pytest.fixture(params=["gru", "lstm", "rnn"])
def model(request, rng):
    settings = dict(embedding_dim=3, hidden_dim=6, num_layers=2, cell=request.param, dtype=np.float64)
    model = create_char_rnn_model(V, rng, **settings)
    model.parameters[...] = rng.normal(0, 0.7, model.parameters.shape)
    return model


@pytest.fixture
def ids(rng):
    return MarkovChain(V, rng).draw(203, rng)


@pytest.fixture
def squares(model, rng):
    return rng.uniform(0, 0.01, model.parameters.shape)


def copy_of(model):
    return Model.from_parameters(model.layers, model.parameters.copy())


def losses_of(model, ids, squares, config):
    """The loss of each character after the first, as they come."""
    pieces = [losses.copy() for losses, _ in read_and_learn(copy_of(model), ids, squares, config)]
    return np.concatenate(pieces)


def plainly(model, ids, squares, T, rate, decay, epsilon=0.1):
    """The losses and the last parameters, by the equations as they stand: one window at a time, whole vectors."""
    model, trained, state, losses = copy_of(model), model.parameters.copy(), None, []
    sigma = squares**0.5
    norm = sigma / sigma.mean()
    if decay:
        norm = np.minimum(norm, 1 / decay)
    for start in range(0, len(ids) - 1, T):
        y = ids[start + 1 : start + 1 + T]
        x = ids[start : start + len(y)]
        buffers, loss = model.allocate(len(y), 1), SparseCategoricalCrossentropy()
        own = loss.allocate(len(y), 1, V, np.float64)
        logits = model.forward(x[:, None], buffers, state)
        losses += loss.forward(logits, y[:, None], own)[:, 0].tolist()
        state = model.final_state(buffers)
        g = model.backward(loss.backward(own), buffers).copy()
        model.parameters[...] += -rate * g / (sigma + epsilon * sigma.mean()) + decay * norm * (
            trained - model.parameters
        )
    return np.array(losses), model.parameters


@pytest.mark.parametrize(("window_size", "decay"), [(1, 0.1), (7, 0.0), (20, 0.03), (202, 0.5), (500, 0.5)])
def test_the_losses_are_those_of_the_equations(model, ids, squares, window_size, decay, monkeypatch):
    monkeypatch.setattr(dynamic, "PARAMETERS_AT_ONCE", 37)
    config = DynamicConfig(window_size=window_size, learning_rate=0.002, decay=decay)
    expected, parameters = plainly(model, ids, squares, window_size, 0.002, decay)
    np.testing.assert_allclose(losses_of(model, ids, squares, config), expected, rtol=1e-10)
    np.testing.assert_allclose(adapted(model, ids, squares, config).parameters, parameters, rtol=1e-9, atol=1e-11)
    metrics = evaluate_dynamically(model, ids, squares, config)
    np.testing.assert_allclose(metrics["loss"], expected.mean(), rtol=1e-11)
    assert metrics["characters"] == 202


def biases_only():
    """A model that predicts one of two ids by its biases alone, because all other parameters are zero."""
    model = Model([Embedding(2, 1), Dense(1, 2)], np.random.default_rng(0), np.float64)
    model.parameters[...] = 0
    return model, np.array([0, 0, 0, 0, 0.25, 1])  # σ = 0 except 1/2 and 1 for the biases; their mean is 1/4


def test_two_steps_worked_out_by_hand():
    """Windows of one character, always id 1. The gradient of the biases is p - (0, 1), the rate η / (σ + 1/40)."""
    model, squares = biases_only()
    config = DynamicConfig(window_size=1, learning_rate=0.1, decay=0.1)
    read = adapted(model, np.array([0, 1, 1]), squares, config).p[1].bias
    first = np.array([-0.1 * 0.5 / 0.525, 0.1 * 0.5 / 1.025])  # at θ_0 there is nothing to pull back
    p = 1 / (1 + np.exp(first[1] - first[0]))  # of id 0
    pull = -np.array([0.2, 0.4]) * first  # λ σ / mean(σ) = 0.1 · (2, 4)
    np.testing.assert_allclose(read, first + pull + [-0.1 * p / 0.525, 0.1 * p / 1.025], rtol=1e-14)
    losses = losses_of(model, np.array([0, 1, 1]), squares, config)
    np.testing.assert_allclose(losses, [np.log(2), -np.log(1 - p)], rtol=1e-14)


def test_no_parameter_is_pulled_beyond_its_trained_value():
    """With λ = 0.4, λ σ / mean(σ) would be (0.8, 1.6)."""
    model, squares = biases_only()
    model.p[1].bias[...] = 3, -2
    one = adapted(model, np.array([0, 1]), squares, DynamicConfig(window_size=1, learning_rate=0.5, decay=0.4))
    two = adapted(model, np.array([0, 1, 1]), squares, DynamicConfig(window_size=1, learning_rate=0.5, decay=0.4))
    moved = one.p[1].bias - [3, -2]
    p = 1 / (1 + np.exp(one.p[1].bias[1] - one.p[1].bias[0]))
    steps = -0.5 * np.array([p, -p]) / [0.525, 1.025]
    np.testing.assert_allclose(two.p[1].bias - [3, -2], np.array([0.2, 0]) * moved + steps, rtol=1e-12)


def test_decay_keeps_the_parameters_nearer_to_the_trained_ones():
    """All ids are 1, so the biases move ever farther apart."""
    model, squares = biases_only()

    def distance(decay):
        config = DynamicConfig(window_size=1, learning_rate=0.1, decay=decay)
        return np.linalg.norm(adapted(model, np.ones(100, int), squares, config).parameters)

    assert distance(0) > 1.2 * distance(0.01) > 1.5 * distance(0.1) > 0


def test_without_learning_it_is_evaluation(model, ids, squares):
    for decay in (0, 0.1):
        metrics = evaluate_dynamically(model, ids, squares, DynamicConfig(learning_rate=0, decay=decay))
        expected = evaluate(model, ids)
        assert metrics.keys() == expected.keys()
        assert metrics == pytest.approx(expected, rel=1e-12)
        np.testing.assert_array_equal(
            adapted(model, ids, squares, DynamicConfig(learning_rate=0, decay=decay)).parameters, model.parameters
        )


def test_the_model_stays_as_it_was(model, ids, squares):
    before = model.parameters.copy()
    read = adapted(model, ids, squares, DynamicConfig(learning_rate=0.01))
    evaluate_dynamically(model, ids, squares, DynamicConfig(learning_rate=0.01))
    mean_squared_gradients(model, ids, 20)
    np.testing.assert_array_equal(model.parameters, before)
    assert not np.allclose(read.parameters, before)


def test_what_follows_does_not_change_a_prediction(model, ids, squares):
    config = DynamicConfig(window_size=7, learning_rate=0.05)
    losses = losses_of(model, ids, squares, config)
    for end in (1, 6, 7, 8, 14, 15, 100):
        others = ids.copy()
        others[end + 1 :] = (others[end + 1 :] + 1) % V
        np.testing.assert_array_equal(losses_of(model, others, squares, config)[:end], losses[:end])


@pytest.mark.parametrize("window_size", [1, 10])
def test_a_text_of_pure_chance_is_not_predicted(window_size, rng):
    """Nobody predicts it better than log V, unless by looking: the second pass over the same text would."""
    model = create_char_rnn_model(8, rng, embedding_dim=8, hidden_dim=16)
    ids = rng.integers(8, size=1001)
    squares = mean_squared_gradients(model, ids, window_size)
    config = DynamicConfig(window_size=window_size, learning_rate=0.005, decay=0.1)
    assert (
        evaluate_dynamically(model, ids, squares, config)["loss"] > np.log(8) - 0.005
    )  # with peeking, 0.02 to 0.04 less

    peeking, losses = copy_of(model), []
    for start in range(0, 1000, window_size):  # learns from each window just before it predicts it
        window = ids[start : start + window_size + 1]
        peeking = adapted(peeking, window, squares, config)
        losses.append(evaluate(peeking, window)["loss"])
    assert np.mean(losses) < np.log(8) - 0.01


def test_it_learns_the_habits_of_a_text_that_the_model_does_not_know(rng):
    """A source of known entropy, and a model that has learned nothing: it comes nearer with every window."""
    source = MarkovChain(4, rng)
    ids = source.draw(8000, rng)
    model = create_char_rnn_model(4, rng, embedding_dim=4, hidden_dim=16)
    squares = mean_squared_gradients(model, ids[:2000], 20)
    config = DynamicConfig(learning_rate=0.002, decay=0)
    losses = losses_of(model, ids, squares, config)
    static, floor = evaluate(model, ids)["loss"], source.loss(ids)
    assert losses.mean() < static - 0.1
    assert floor < losses[-2000:].mean() < losses[2000:4000].mean() < losses[:2000].mean()


def test_accuracy_counts_the_predictions_that_were_right(rng):
    model, squares = biases_only()
    model.p[1].bias[...] = 0.01, 0
    config = DynamicConfig(window_size=1, learning_rate=0.1, decay=0)
    assert evaluate_dynamically(model, np.array([0, 1, 1, 1, 0]), squares, config)["accuracy"] == 0.5


def test_squares_are_means_over_whole_windows(model, ids):
    """The text of 203 has 10 windows of 20, and 2 characters that are left over."""
    expected, state = np.zeros_like(model.parameters), None
    for start in range(0, 200, 20):
        window = ids[start : start + 21, None]
        buffers, loss = model.allocate(20, 1), SparseCategoricalCrossentropy()
        own = loss.allocate(20, 1, V, np.float64)
        loss.forward(model.forward(window[:-1], buffers, state), window[1:], own)
        state = model.final_state(buffers)
        expected += model.backward(loss.backward(own), buffers) ** 2 / 10
    np.testing.assert_allclose(mean_squared_gradients(model, ids, 20), expected, rtol=1e-12)


def test_only_the_beginning_of_a_long_text_gives_the_squares(model, ids, monkeypatch):
    expected = mean_squared_gradients(model, ids[:101], 20)
    monkeypatch.setattr(dynamic, "SQUARES_FROM", 101)
    np.testing.assert_array_equal(mean_squared_gradients(model, ids, 20), expected)


def test_gradients_that_were_always_zero_are_no_division_by_zero():
    model, _ = biases_only()
    squares = np.zeros_like(model.parameters)
    metrics = evaluate_dynamically(model, np.array([0, 1, 0]), squares, DynamicConfig(learning_rate=0))
    assert metrics["loss"] == pytest.approx(np.log(2))


def test_memory_does_not_grow_with_the_text(tmp_path, rng):
    model = create_char_rnn_model(V, rng, embedding_dim=4, hidden_dim=8)
    squares = np.ones_like(model.parameters)
    path = tmp_path / "ids.npy"
    peaks = []
    for n in (1000, 1000, 10_000):  # the first time, caches are filled
        np.save(path, rng.integers(V, size=n).astype(np.uint8))
        ids = np.load(path, mmap_mode="r")
        tracemalloc.start()
        evaluate_dynamically(model, ids, squares, DynamicConfig(window_size=100))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < peaks[1] + 5000


@pytest.mark.parametrize("n", [0, 1])
def test_a_text_without_anything_to_predict_is_refused(model, squares, n):
    for function in (evaluate_dynamically, adapted, read_and_learn):
        with pytest.raises(InputError, match=f"^the text to evaluate has {n} characters?; it must have at least 2$"):
            function(model, np.zeros(n, np.uint8), squares, DynamicConfig())


def test_ids_and_statistics_of_another_model_are_refused(model, squares):
    for function, ids in product((evaluate_dynamically, adapted, read_and_learn), ([0, 5], [5, 0])):
        with pytest.raises(InputError, match="^text to evaluate: id 5 at position .; the model knows only 0 to 4$"):
            function(model, np.array(ids), squares, DynamicConfig())
    with pytest.raises(InputError, match=r"^mean_squares: the shape is \(3,\); it must be \(\d+,\), one mean for each"):
        read_and_learn(model, np.array([0, 1]), np.ones(3), DynamicConfig())
    with pytest.raises(InputError, match="^training text: id 5 at position 1; the model knows only 0 to 4$"):
        mean_squared_gradients(model, np.array([0, 5, 0]), 2)
    with pytest.raises(InputError, match="^window_size is 3; it must be below the length of the training text"):
        mean_squared_gradients(model, np.array([0, 1, 0]), 3)


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": -1}, {"decay": -0.1}, {"window_size": 0}, {"learning_rate": np.nan}]
)
def test_settings_out_of_range_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=f"^{name} is "):
        DynamicConfig(**wrong)
