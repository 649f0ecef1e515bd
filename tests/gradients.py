"""Gradient checks by central differences in float64, for a single layer and for a whole model."""

from math import prod
from types import SimpleNamespace

import numpy as np

from charrnn.layers import go_back
from charrnn.threads import make

STEP = 1e-6


def views(shapes, flat):
    """Named views of a flat vector, as `Model` hands them to a layer."""
    namespace, start = SimpleNamespace(), 0
    for name, shape in shapes.items():
        setattr(namespace, name, flat[start : start + prod(shape)].reshape(shape))
        start += prod(shape)
    return namespace


def all_gradients(layer, p, *arrays):
    """What `layer.backward(p, grad, x, dy, work)` returns, once the gradients that it leaves for later are made too."""
    return go_back(layer, p, *arrays, later=make)


class LayerProbe:
    """A layer with random float64 parameters, input, initial state, and weights R of the scalar Σ R ∘ y."""

    def __init__(self, layer, T, B, rng, ids=False):
        self.layer, shapes = layer, layer.shapes()
        size = sum(map(prod, shapes.values()))
        self.parameters, self.gradient = rng.normal(0, 0.5, size), np.full(size, np.nan)
        self.p, self.grad = views(shapes, self.parameters), views(shapes, self.gradient)
        self.x = rng.integers(layer.input_dim, size=(T, B)) if ids else rng.normal(size=(T, B, layer.input_dim))
        self.state = {name: rng.normal(0, 0.5, (B, dim)) for name, dim in getattr(layer, "state_dims", {}).items()}
        self.work = layer.work(T, B, np.float64)
        self.R = rng.normal(size=self.forward().shape)

    def forward(self):
        for name, value in self.state.items():
            getattr(self.work, name)[0] = value
        return self.layer.forward(self.p, self.x, self.work)

    def value(self):
        return float((self.forward() * self.R).sum())

    def backward(self):
        """The gradients by parameters, input (None for ids) and each state."""
        self.forward()
        dx = all_gradients(self.layer, self.p, self.grad, self.x, self.R.copy(), self.work)
        return self.gradient, dx, {name: getattr(self.work, "d" + name) for name in self.state}


def central_differences(function, array):
    """d function() / d array, one entry at a time."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + STEP
        above = function()
        array[index] = kept - STEP
        gradient[index] = (above - function()) / (2 * STEP)
        array[index] = kept
    return gradient


def check_layer(layer, rng, T=5, B=3, ids=False):
    """Assert that `backward` of a layer agrees with central differences of `forward`, entry by entry."""
    probe = LayerProbe(layer, T, B, rng, ids)
    parameters, dx, states = (np.copy(a) if isinstance(a, np.ndarray) else a for a in probe.backward())
    states = {name: value.copy() for name, value in states.items()}
    compare = dict(rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(parameters, central_differences(probe.value, probe.parameters), **compare)
    if not ids:
        np.testing.assert_allclose(dx, central_differences(probe.value, probe.x), **compare)
    for name, value in states.items():
        np.testing.assert_allclose(value, central_differences(probe.value, probe.state[name]), **compare)


def check_projection(function, array, gradient, rng, rtol=1e-5):
    """Assert that the derivative of `function` along one random direction is that direction's part of `gradient`.

    For arrays too large to be tried entry by entry; a wrong gradient has no way to agree but by chance.
    """
    direction = rng.normal(size=array.shape)
    kept, step = array.copy(), 1e-5 / np.linalg.norm(direction)
    array += step * direction
    above = function()
    array[...] = kept - step * direction
    below = function()
    array[...] = kept
    np.testing.assert_allclose((above - below) / (2 * step), (gradient * direction).sum(), rtol=rtol)
