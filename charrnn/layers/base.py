"""What a layer is: the methods that each layer has, and defaults for those that most layers leave alone."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from difflib import get_close_matches
from inspect import get_annotations
from typing import Any, ClassVar

import numpy as np

from charrnn.activations import ACTIVATIONS
from charrnn.arrays import Array, Arrays, DType, Shapes, Stepper
from charrnn.errors import InputError


class Layer(ABC):
    """The base class of all layers, those of your own included (`examples/own_layer.py` has one).

    A layer is a description: a frozen dataclass of sizes and options. The arrays it works on are passed to it, as
    attributes of plain namespaces: its parameters `p`, their gradients `grad`, and its buffers. Arrays are time-major,
    (T, B, …) for T time steps of B sequences. Nothing has to be allocated after `allocate`.

    A layer must have an `input_dim` and an `output_dim`, and the methods `allocate`, `forward` and `backward`. With
    parameters it also has `shapes` and `init`, with memory `state_dims`. To be stored in a model file, its fields must
    be plain values, initializers aside.

    Raises
    ------
    InputError
        When a subclass is defined: if it has a public method or attribute that is not a layer's. It would be a misspelt
        one, which nothing would ever call; the names of helpers begin with an underscore.

    >>> class Double(Layer):
    ...     input_dim = output_dim = 3
    ...     def allocate(self, T, B, dtype): return Arrays()
    ...     def forward(self, p, x, buffers): return 2 * x
    ...     def backward(self, p, grad, x, dy, buffers): return 2 * dy
    """

    input_dim: int  # width of the input; for an embedding, the number of ids
    output_dim: int  # width of the output

    # Whether x may be a `charrnn.layers.projection.Lookup`; `backward` then returns the gradient of its table.
    accepts_lookup: ClassVar[bool] = False

    @property
    def state_dims(self) -> Mapping[str, int]:
        """The name of each state that the layer carries from one time step to the next, and its width H.

        For a state "h", `allocate` must make two buffers: `h` (T + 1, B, H), whose first row is the incoming state,
        set before `forward` is called, and whose last row is the outgoing one; and `dh` (B, H), in which `backward`
        leaves the gradient of the incoming state.
        """
        return {}

    @property
    def lends(self) -> Shapes:
        """The parameters of a first layer that one later layer uses too; `backward` adds to their gradients."""
        return {}

    @property
    def borrows(self) -> Shapes:
        """The parameters that the first layer lends: they are among this layer's own, and so are their gradients."""
        return {}

    def shapes(self) -> Shapes:
        """The name and shape of each parameter."""
        return {}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:  # noqa: B027 (a layer without parameters has none)
        """Set every parameter to its initial value."""

    @abstractmethod
    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        """The buffers in which a forward pass over (T, B) leaves what its backward pass needs."""

    @abstractmethod
    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Array:
        """x (T, B, input_dim) -> y (T, B, output_dim), which may lie in a buffer."""

    @abstractmethod
    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> Array | None:
        """Overwrite the gradients in `grad`, and return dx, which is None where x are ids.

        x, and what is in the buffers, are those of the last forward pass; dy is (T, B, output_dim).
        """

    def output_steps(self, T: int) -> int:
        """How many of T time steps the output has."""
        return T

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        """A function that takes a single time step, for sampling. By default it calls `forward`, which is slow.

        In a stepper, sequences are columns, and each begins with a 1, so that a bias is one more column of its matrix.

        Parameters
        ----------
        x
            [1; x] (1 + input_dim, B): where the layer finds the input of every step. (B,) ids for a first layer.
        state
            An array (H, B) for each of `state_dims`, from which the first step starts, and which the layer may keep.

        Returns
        -------
        tuple
            x, or an array of the layer's own in which it wants the input instead; [1; y] (1 + output_dim, B); and
            the function, which reads the input and overwrites y.
        """
        return _stepper_from_forward(self, p, x, state)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        known = set(Layer.__annotations__).union(*(dir(base) for base in cls.__mro__[1:]))
        for name in vars(cls).keys() - known - _field_names(cls):
            if not name.startswith("_"):
                close = get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]}?" if close else "the name of a helper must begin with an underscore"
                raise InputError(f"{cls.__name__}: layers have no {name}; {hint}")


def _field_names(cls: type) -> set[str]:
    """The names of what will be the fields of a dataclass."""
    return {name for name, annotation in get_annotations(cls).items() if "ClassVar" not in str(annotation)}


def require_state_buffers(layer: Layer, buffers: Arrays, T: int, B: int) -> None:
    """Raise InputError unless `layer.allocate(T, B, …)` has made the buffers that its `state_dims` ask for."""
    for name, H in layer.state_dims.items():
        for buffer, shape in ((name, (T + 1, B, H)), ("d" + name, (B, H))):
            if np.shape(vars(buffers).get(buffer, ())) != shape:
                raise InputError(
                    f"{type(layer).__name__}: allocate makes no buffer {buffer!r} of shape {shape}, which "
                    f"state_dims asks for; it makes {', '.join(vars(buffers))}"
                )


def _stepper_from_forward(layer: Layer, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
    B = x.shape[-1]
    dtype = next(iter(state.values()), x).dtype
    buffers, y = layer.allocate(1, B, dtype), np.ones((1 + layer.output_dim, B), dtype)
    rows = x[None] if x.ndim == 1 else x[1:].T[None]
    states = [vars(buffers)[name] for name in state]
    for buffer, h in zip(states, state.values()):
        buffer[-1] = h.T

    def step() -> None:
        for buffer in states:
            buffer[0] = buffer[-1]
        y[1:] = layer.forward(p, rows, buffers)[0].T

    return x, y, step


def require_positive(layer: object, **dimensions: int) -> None:
    """Raise InputError unless each dimension of the layer is an integer of at least 1."""
    for name, value in dimensions.items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise InputError(f"{type(layer).__name__}: {name} is {value!r}; it must be an integer of at least 1")


def require_activation(layer: object, name: str) -> None:
    """Raise InputError unless `name` is an activation."""
    if name not in ACTIVATIONS:
        allowed = ", ".join(ACTIVATIONS)
        raise InputError(f"{type(layer).__name__}: activation is {name!r}; it must be one of {allowed}")
