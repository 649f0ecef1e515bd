"""Dense layers: one with its own weights, and one that shares the embedding table."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from charrnn.activations import ACTIVATIONS
from charrnn.arrays import Array, Arrays, DType, Shapes, Stepper, aligned_empty
from charrnn.initializers import Initializer, glorot_uniform, zeros
from charrnn.layers.affine import affine, affine_backward, affine_gradients, affine_stepper
from charrnn.layers.base import Layer, require_activation, require_positive


@dataclass(frozen=True)
class Dense(Layer):
    """y = f(x W + b) at every time step; x is (T, B, input_dim), y is (T, B, output_dim).

    `activation` is a name in `charrnn.activations.ACTIVATIONS`. The last layer of a model stays linear: its outputs
    are logits, and the softmax is part of the loss (`charrnn.losses`) and of `Model.predict`.
    """

    input_dim: int
    output_dim: int
    activation: str = "linear"
    initializer: Initializer = field(default=glorot_uniform, compare=False)
    bias_initializer: Initializer = field(default=zeros, compare=False)
    reads_ids: ClassVar = False

    def __post_init__(self) -> None:
        require_positive(self, input_dim=self.input_dim, output_dim=self.output_dim)
        require_activation(self, self.activation)

    def shapes(self) -> Shapes:
        return {"kernel": (self.input_dim, self.output_dim), "bias": (self.output_dim,)}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        p.kernel[...] = self.initializer(p.kernel.shape, rng)
        p.bias[...] = self.bias_initializer(p.bias.shape, rng)

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        outputs = (T, B, self.output_dim)
        buffers = Arrays(y=aligned_empty(outputs, dtype), dx=aligned_empty((T, B, self.input_dim), dtype))
        if self.activation != "linear":
            buffers.da = aligned_empty(outputs, dtype)
        return buffers

    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Array:
        affine(x, p.kernel, p.bias, buffers.y)
        if self.activation != "linear":
            ACTIVATIONS[self.activation].forward(buffers.y, out=buffers.y)
        return buffers.y

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        return affine_stepper(x, p.kernel, p.bias, self.activation)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> Array:
        da = dy  # the gradient of a = x W + b
        if self.activation != "linear":
            da = ACTIVATIONS[self.activation].backward(buffers.y, dy, out=buffers.da)
        affine_gradients(x, da, grad.kernel, grad.bias)
        return affine_backward(da, p.kernel, buffers.dx)


@dataclass(frozen=True)
class TiedDense(Layer):
    """y = x tableᵀ + b: logits from the embedding table of the model (Press and Wolf 2017).

    x is (T, B, input_dim), y is (T, B, output_dim). The model must begin with `Embedding(output_dim, input_dim,
    tied=True)`, whose `backward` adds to the gradient of the table.
    """

    input_dim: int
    output_dim: int
    bias_initializer: Initializer = field(default=zeros, compare=False)
    reads_ids: ClassVar = False

    def __post_init__(self) -> None:
        require_positive(self, input_dim=self.input_dim, output_dim=self.output_dim)

    @property
    def borrows(self) -> Shapes:
        return {"table": (self.output_dim, self.input_dim)}

    def shapes(self) -> Shapes:
        return {"bias": (self.output_dim,)}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        p.bias[...] = self.bias_initializer(p.bias.shape, rng)

    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        return Arrays(y=aligned_empty((T, B, self.output_dim), dtype), dx=aligned_empty((T, B, self.input_dim), dtype))

    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Array:
        return affine(x, p.table.T, p.bias, buffers.y)

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        return affine_stepper(x, p.table.T, p.bias)

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> Array:
        affine_gradients(x, dy, grad.table.T, grad.bias)
        return affine_backward(dy, p.table.T, buffers.dx)
