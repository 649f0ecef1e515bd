"""Activation functions, each with the derivative that backpropagation needs.

Each derivative is written in terms of the *output* y = f(x), because that is what the forward pass keeps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Array


def linear(x: Array, out: Array | None = None) -> Array:
    """y = x"""
    return np.positive(x, out=out)


def linear_backward(y: Array, dy: Array, out: Array | None = None) -> Array:
    """dx = dy"""
    return np.positive(dy, out=out)


def tanh(x: Array, out: Array | None = None) -> Array:
    """y = tanh(x)"""
    return np.tanh(x, out=out)


def tanh_backward(y: Array, dy: Array, out: Array | None = None) -> Array:
    """dx = dy (1 - y²)"""
    out = np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)
    out *= dy
    return out


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """y = 1 / (1 + exp(-x)), computed as (1 + tanh(x/2)) / 2, which can't overflow and is the fastest form in NumPy."""
    half = np.array(0.5, x.dtype)  # a 0-d array takes NumPy a third less time than a Python number
    out = np.multiply(x, half, out=out)
    return sigmoid_of_twice(out, out)


def sigmoid_of_twice(x: Array, out: Array) -> Array:
    """y = σ(2x) = (1 + tanh(x)) / 2: σ without its first operation, for an x computed with halved weights."""
    half = np.array(0.5, x.dtype)
    np.tanh(x, out)
    out *= half
    out += half
    return out


def sigmoid_backward(y: Array, dy: Array, out: Array | None = None) -> Array:
    """dx = dy y (1 - y)"""
    out = np.subtract(1, y, out=out)
    out *= y
    out *= dy
    return out


def relu(x: Array, out: Array | None = None) -> Array:
    """y = max(x, 0)"""
    return np.maximum(x, 0, out=out)


def relu_backward(y: Array, dy: Array, out: Array | None = None) -> Array:
    """dx = dy where y > 0, else 0"""
    out = np.sign(y, out=out)
    out *= dy
    return out


def softmax(x: Array, out: Array | None = None) -> Array:
    """y_i = exp(x_i) / Σ_j exp(x_j) along the last axis, shifted by the maximum so that it can't overflow."""
    out = np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=-1, keepdims=True)
    return out


def softmax_backward(y: Array, dy: Array, out: Array | None = None) -> Array:
    """dx_i = y_i (dy_i - Σ_j dy_j y_j): the Jacobian diag(y) - y yᵀ applied to dy."""
    return np.multiply(y, dy - (dy * y).sum(axis=-1, keepdims=True), out=out)


@dataclass(frozen=True)
class Activation:
    """A function `forward(x, out)` and its derivative `backward(y, dy, out)`; both return an array shaped like x.

    `out` may be x, but not y or dy.
    """

    forward: Callable[..., Array]
    backward: Callable[..., Array]


ACTIVATIONS = {
    "linear": Activation(linear, linear_backward),
    "tanh": Activation(tanh, tanh_backward),
    "sigmoid": Activation(sigmoid, sigmoid_backward),
    "relu": Activation(relu, relu_backward),
    "softmax": Activation(softmax, softmax_backward),
}
