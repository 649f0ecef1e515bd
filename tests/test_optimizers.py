"""Optimizers: what PyTorch's golden steps can't show. They descend, leave gradients alone, and update in blocks."""

import numpy as np
import pytest

import charrnn.optimizers
from charrnn.config import TrainingConfig
from charrnn.errors import InputError
from charrnn.optimizers import (
    OPTIMIZERS,
    SGD,
    Adagrad,
    Adam,
    Nadam,
    RMSprop,
    clip_by_global_norm,
    create_optimizer,
    decay_weights,
)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_descends_a_bowl(name):
    optimizer, parameters = OPTIMIZERS[name](learning_rate=0.05), np.array([1.0, -2.0])
    state = optimizer.state(parameters)
    for _ in range(500):
        gradient = parameters * [1.0, 10.0]
        kept = gradient.copy()
        optimizer.update(parameters, gradient, state)
        np.testing.assert_array_equal(gradient, kept)
    assert np.linalg.norm(parameters) < 0.25 * np.linalg.norm([1.0, -2.0])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 40, 48])
def test_blocks_change_nothing(name, size, dtype, rng, monkeypatch):
    start, gradients = rng.normal(size=size).astype(dtype), rng.normal(size=(4, size)).astype(dtype)

    def trajectory(block):
        monkeypatch.setattr(charrnn.optimizers, "BLOCK", block)
        optimizer, parameters = OPTIMIZERS[name](learning_rate=0.1), start.copy()
        state, after = optimizer.state(parameters), []
        for gradient in gradients:
            optimizer.update(parameters, gradient, state)
            after.append(parameters.copy())
        return np.array(after)

    whole = trajectory(1000)
    assert (np.diff([start, *whole], axis=0) != 0).all()  # every parameter moves in every step
    np.testing.assert_array_equal(trajectory(16), whole)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_vectors_longer_than_a_block_are_updated_to_their_end(name, rng):
    size = 2 * charrnn.optimizers.BLOCK + 3
    parameters, optimizer = np.zeros(size, np.float32), OPTIMIZERS[name](learning_rate=0.1)
    gradient = np.ones(size, np.float32)
    optimizer.update(parameters, gradient, optimizer.state(parameters))
    assert parameters[0] < 0 and (parameters == parameters[0]).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_stays_float32(name):
    optimizer, parameters = OPTIMIZERS[name](learning_rate=0.1), np.ones(3, np.float32)
    state = optimizer.state(parameters)
    optimizer.update(parameters, np.ones(3, np.float32), state)
    arrays = [value for value in vars(state).values() if isinstance(value, np.ndarray)]
    assert all(array.dtype == np.float32 for array in [parameters, *arrays])


def first_step(optimizer, gradient=2.0):
    """By how much the first step with this gradient changes a parameter."""
    parameters = np.zeros(1)
    optimizer.update(parameters, np.array([gradient]), optimizer.state(parameters))
    return parameters[0]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (Adagrad(learning_rate=0.5, epsilon=3), -0.5 * 2 / (2 + 3)),  # √s = √(2²)
        (RMSprop(learning_rate=0.5, decay=0.75, epsilon=3), -0.5 * 2 / (1 + 3)),  # √v = √(0.25 · 2²)
        (Adam(learning_rate=0.5, epsilon=3), -0.5 * 2 / (2 + 3)),  # m̂ = 2, √v̂ = 2
    ],
    ids=lambda value: type(value).__name__,
)
def test_epsilon_is_added_to_the_root(optimizer, expected):
    assert first_step(optimizer) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("momentum_decay", [0.0, 0.004, 5.0])
@pytest.mark.parametrize("epsilon", [1e-8, 3.0])
def test_nadam_follows_its_equations(momentum_decay, epsilon):
    optimizer = Nadam(learning_rate=0.1, beta_1=0.8, beta_2=0.9, epsilon=epsilon, momentum_decay=momentum_decay)
    parameters, expected, m, v, product = np.zeros(1), 0.0, 0.0, 0.0, 1.0
    state = optimizer.state(parameters)
    for t, g in enumerate([2.0, -1.0, 0.5], start=1):
        optimizer.update(parameters, np.array([g]), state)
        μ, next_μ = (0.8 * (1 - 0.5 * 0.96 ** (i * momentum_decay)) for i in (t, t + 1))
        product *= μ
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        step = (1 - μ) / (1 - product) * g + next_μ / (1 - product * next_μ) * m
        expected -= 0.1 * step / (np.sqrt(v / (1 - 0.9**t)) + epsilon)
        assert parameters[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(learning_rate=0.0), "SGD: learning_rate is 0.0; it must be a finite number above 0"),
        (lambda: Nadam(learning_rate=float("nan")), "Nadam: learning_rate is nan; "),
        (lambda: Adam(beta_1=1.0), "Adam: beta_1 is 1.0; it must be at least 0 and below 1"),
        (lambda: Adam(beta_1=-0.1), "Adam: beta_1 is -0.1; it must be at least 0 and below 1"),
        (lambda: SGD(momentum=1.0), "SGD: momentum is 1.0; it must be at least 0 and below 1"),
        (lambda: RMSprop(epsilon=0.0), "RMSprop: epsilon is 0.0; it must be a finite number above 0"),
        (lambda: Nadam(momentum_decay=-0.1), "Nadam: momentum_decay is -0.1; it must be a finite number of at least 0"),
    ],
)
def test_a_bad_hyperparameter_is_refused_by_name(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value).startswith(message)


def test_clipping_keeps_the_direction_and_returns_the_norm_before():
    gradient = np.array([3.0, 4.0])
    assert clip_by_global_norm(gradient, 1.0) == 5.0
    np.testing.assert_allclose(gradient, [0.6, 0.8])


def test_clipping_leaves_a_short_gradient_alone():
    gradient = np.array([3.0, 4.0])
    assert clip_by_global_norm(gradient, 5.0) == 5.0
    np.testing.assert_array_equal(gradient, [3.0, 4.0])


def test_weight_decay_leaves_out_what_it_is_told_to():
    parameters = np.array([1.0, -2.0, 3.0])
    decay_weights(parameters, np.array([True, False, True]), 0.25)
    np.testing.assert_array_equal(parameters, [0.75, -2, 2.25])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_config_gives_the_optimizer_that_it_describes(name):
    optimizer = create_optimizer(TrainingConfig(optimizer=name, learning_rate=0.02, beta_2=0.9))
    betas = {"beta_2": 0.9} if name in ("adam", "nadam") else {}
    assert optimizer == OPTIMIZERS[name](learning_rate=0.02, **betas)
