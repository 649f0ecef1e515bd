"""Gradient checking: compare a layer's `backward` with central differences of its `forward`."""

from collections.abc import Callable
from math import prod

import numpy as np

from charrnn.arrays import Array, Arrays, Shapes
from charrnn.blas import one_blas_thread
from charrnn.errors import CharRNNError
from charrnn.layers import Layer
from charrnn.layers.base import require_state_buffers

STEP = 1e-6
RTOL, ATOL = 1e-6, 1e-8  # in float64, the error of central differences is about STEP² and machine precision / STEP


class GradientError(CharRNNError, AssertionError):
    """A gradient differs from central differences."""


@one_blas_thread()
def gradient_check(layer: Layer, rng: np.random.Generator, *, T: int = 5, B: int = 3, ids: bool = False) -> None:
    """Check the gradients of Σ R ∘ y, with R random, with respect to a layer's parameters, input and incoming states.

    Everything is float64. Every entry is tried, so the layer should be small; a few time steps and sequences are enough
    to find a wrong term.

    Parameters
    ----------
    ids
        Whether x holds ids, (T, B) integers, instead of (T, B, input_dim) numbers. Ids have no gradient.

    Raises
    ------
    GradientError
        If a gradient is wrong; the message names the array, the entry and both values.

    >>> gradient_check(GRU(4, 5), np.random.default_rng(0))
    """
    probe = LayerProbe(layer, T, B, rng, ids)
    dx, dstate = probe.backward()
    gradients = {name: view.copy() for name, view in vars(probe.grad).items()}
    gradients |= {f"incoming {name}": value.copy() for name, value in dstate.items()}
    arrays = vars(probe.p) | {f"incoming {name}": value for name, value in probe.state.items()}
    if not ids:
        if dx is None or dx.shape != probe.x.shape:
            returned = "None" if dx is None else f"an array of shape {dx.shape}"
            raise GradientError(
                f"{type(layer).__name__}: backward returns {returned}; it must return the gradient of x, "
                f"of shape {probe.x.shape}"
            )
        gradients["x"], arrays["x"] = dx.copy(), probe.x
    for name, gradient in gradients.items():
        expected = central_differences(probe.value, arrays[name])
        wrong = np.argwhere(~np.isclose(gradient, expected, RTOL, ATOL))  # NaN is close to no number
        if len(wrong):
            index = tuple(wrong[0].tolist())
            raise GradientError(
                f"{type(layer).__name__}: the gradient of {name} at {index} is {gradient[index]:.9g}, but central "
                f"differences give {expected[index]:.9g}; {len(wrong)} of {gradient.size} entries differ"
            )


def central_differences(function: Callable[[], float], array: Array) -> Array:
    """d function() / d array, shaped like the array, one entry at a time."""
    gradient = np.empty(array.shape)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + STEP
        above = function()
        array[index] = kept - STEP
        gradient[index] = (above - function()) / (2 * STEP)
        array[index] = kept
    return gradient


class LayerProbe:
    """A layer with random float64 parameters, input and incoming state, and the weights R of the scalar Σ R ∘ y."""

    def __init__(self, layer: Layer, T: int, B: int, rng: np.random.Generator, ids: bool = False) -> None:
        self.layer = layer
        shapes = {**layer.shapes(), **layer.borrows}
        size = sum(map(prod, shapes.values()))
        self.parameters, self.gradient = rng.normal(0, 0.5, size), np.full(size, np.nan)
        self.p, self.grad = views(shapes, self.parameters), views(shapes, self.gradient)
        for name in layer.lends:  # the layer adds to their gradients
            vars(self.grad)[name][...] = 0
        self.x = rng.integers(layer.input_dim, size=(T, B)) if ids else rng.normal(size=(T, B, layer.input_dim))
        self.state = {name: rng.normal(0, 0.5, (B, H)) for name, H in layer.state_dims.items()}
        self.buffers = layer.allocate(T, B, np.float64)
        require_state_buffers(layer, self.buffers, T, B)
        self.R = rng.normal(size=self.forward().shape)

    def forward(self) -> Array:
        """y (T, B, output_dim)"""
        for name, value in self.state.items():
            vars(self.buffers)[name][0] = value
        return self.layer.forward(self.p, self.x, self.buffers)

    def value(self) -> float:
        """Σ R ∘ y"""
        return float((self.forward() * self.R).sum())

    def backward(self) -> tuple[Array | None, dict[str, Array]]:
        """The gradients of x and of each incoming state; the gradients of the parameters are in `grad`."""
        self.forward()
        dx = self.layer.backward(self.p, self.grad, self.x, self.R.copy(), self.buffers)
        return dx, {name: vars(self.buffers)["d" + name] for name in self.state}


def views(shapes: Shapes, flat: Array) -> Arrays:
    """Consecutive named views of a flat vector."""
    namespace, start = Arrays(), 0
    for name, shape in shapes.items():
        setattr(namespace, name, flat[start : start + prod(shape)].reshape(shape))
        start += prod(shape)
    return namespace
