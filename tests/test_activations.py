"""Activations: known values, derivatives compared with central differences, no overflow."""

import numpy as np
import pytest

from charrnn.activations import ACTIVATIONS, relu, sigmoid, sigmoid_of_twice, softmax
from charrnn.gradient_checking import central_differences


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("out", [None, np.empty((4, 5))])
def test_derivative(name, out, rng):
    activation, x, R = ACTIVATIONS[name], rng.normal(size=(4, 5)), rng.normal(size=(4, 5))
    numeric = central_differences(lambda: float((activation.forward(x) * R).sum()), x)
    dx = activation.backward(activation.forward(x), R, out=out)
    assert out is None or dx is out
    np.testing.assert_allclose(dx, numeric, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_out_gets_the_result(name, rng):
    x = rng.normal(size=(4, 5))
    expected = ACTIVATIONS[name].forward(x.copy())
    assert ACTIVATIONS[name].forward(x, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_sigmoid_is_the_logistic_function_and_does_not_overflow():
    x = np.array([-1e30, -2.0, 0.0, 2.0, 1e30])
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid(x), [0, 1 / (1 + np.e**2), 0.5, 1 / (1 + np.e**-2), 1], atol=1e-16)


def test_sigmoid_leaves_x_alone_unless_it_is_the_result(rng):
    x = rng.normal(size=(3, 4))
    before, expected = x.copy(), 1 / (1 + np.exp(-x))
    out = np.empty_like(x)
    assert sigmoid(x, out=out) is out
    np.testing.assert_allclose(out, expected)
    np.testing.assert_array_equal(x, before)
    assert sigmoid(x, out=x) is x
    np.testing.assert_allclose(x, expected)


def test_sigmoid_of_twice(rng):
    x = rng.normal(size=(3, 4))
    out = np.empty_like(x)
    assert sigmoid_of_twice(x, out) is out
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-2 * x)))


def test_softmax_sums_to_one_and_does_not_overflow():
    with np.errstate(over="raise", invalid="raise"):
        y = softmax(np.array([[1e4, 1e4, -1e4], [0.0, np.log(3), -np.inf]]))
    np.testing.assert_allclose(y, [[0.5, 0.5, 0], [0.25, 0.75, 0]])


def test_relu():
    np.testing.assert_array_equal(relu(np.array([-1.0, 0.0, 2.0])), [0, 0, 2])


def test_float32_stays_float32():
    x = np.ones(3, np.float32)
    for activation in ACTIVATIONS.values():
        assert activation.forward(x).dtype == activation.backward(x, x).dtype == np.float32
