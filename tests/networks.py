"""What several tests share: a layer of one's own, random networks and states, gradients along a random direction."""

from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Arrays
from charrnn.layers import Layer
from charrnn.network import Network, parameter_count


@dataclass(frozen=True)
class LeakyAverage(Layer):
    """A layer as a user might write it: h_t = a ∘ h_{t-1} + (1 - a) ∘ x_t."""

    dim: int

    @property
    def input_dim(self):
        return self.dim

    @property
    def output_dim(self):
        return self.dim

    @property
    def state_dims(self):
        return {"h": self.dim}

    def shapes(self):
        return {"a": (self.dim,)}

    def init(self, p, rng):
        p.a[...] = rng.uniform(0.5, 1, p.a.shape)

    def allocate(self, T, B, dtype):
        return Arrays(
            h=np.empty((T + 1, B, self.dim), dtype),
            dh=np.empty((B, self.dim), dtype),
            dx=np.empty((T, B, self.dim), dtype),
        )

    def forward(self, p, x, buffers):
        for t in range(len(x)):
            buffers.h[t + 1] = p.a * buffers.h[t] + (1 - p.a) * x[t]
        return buffers.h[1:]

    def backward(self, p, grad, x, dy, buffers):
        grad.a[...] = 0
        buffers.dh[...] = 0
        for t in reversed(range(len(x))):
            buffers.dh += dy[t]
            grad.a += (buffers.dh * (buffers.h[t] - x[t])).sum(axis=0)
            buffers.dx[t] = buffers.dh * (1 - p.a)
            buffers.dh *= p.a
        return buffers.dx


def layer_names(layers):
    """A test id for a chain of layers."""
    return "-".join(type(layer).__name__ for layer in layers)


def layer_id(layer):
    """A test id for a layer: its name, sizes and options, the same in every process."""
    options = {name: value for name, value in vars(layer).items() if isinstance(value, int | float | str)}
    return f"{type(layer).__name__}({', '.join(f'{name}={value}' for name, value in options.items())})"


def random_network(layers, rng):
    """These layers on random float64 parameters, biases included."""
    return Network(layers, rng.normal(0, 0.5, parameter_count(layers)))


def random_state(layers, B, rng):
    """A random state for B sequences."""
    return [{name: rng.normal(size=(B, H)) for name, H in layer.state_dims.items()} for layer in layers]


def assert_slope(function, array, gradient, rng, rtol=1e-5):
    """Assert that the slope of `function` along one random direction agrees with `gradient`.

    For arrays too large to be tried entry by entry; a wrong gradient can agree only by chance.
    """
    direction = rng.normal(size=array.shape)
    kept, step = array.copy(), 1e-5 / np.linalg.norm(direction)
    array += step * direction
    above = function()
    array[...] = kept - step * direction
    below = function()
    array[...] = kept
    np.testing.assert_allclose((above - below) / (2 * step), (gradient * direction).sum(), rtol=rtol)
