"""The base class of layers: their methods, with defaults for the optional ones."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from difflib import get_close_matches
from inspect import get_annotations
from typing import Any, ClassVar

import numpy as np

from charrnn.activations import ACTIVATIONS
from charrnn.arrays import Array, Arrays, DType, Shapes, Stepper
from charrnn.errors import InputError
from charrnn.messages import quoted

if sys.version_info >= (3, 14):
    import annotationlib

MISSPELT = 0.85  # a field whose name is more similar than this to a method's is a misspelt method


class Layer(ABC):
    """The base class of all layers, including your own (see `examples/own_layer.py`).

    A layer is a description: a frozen dataclass of sizes and options. Its arrays are passed to its methods, as
    attributes of plain namespaces: the parameters `p`, their gradients `grad`, and the buffers. Arrays are time-major,
    (T, B, …) for T time steps of B sequences. After `allocate`, a layer need not allocate anything.

    A layer must have an `input_dim` and an `output_dim`, and the methods `allocate`, `forward` and `backward`. A layer
    with parameters also has `shapes` and `init`, and a layer with a state has `state_dims`. One that reads ids sets
    `reads_ids`, so that a network refuses it anywhere but first. A model file can store a layer only if its fields,
    except initializers, are plain values. Initializers do not count when layers are compared, because they only set the
    initial parameters.

    Raises
    ------
    InputError
        When a subclass is defined with a public method or attribute that layers do not have. It is probably misspelt,
        and nothing would ever call it. The names of helpers must begin with an underscore.

    >>> class Double(Layer):
    ...     input_dim = output_dim = 3
    ...     def allocate(self, T, B, dtype): return Arrays()
    ...     def forward(self, p, x, buffers): return 2 * x
    ...     def backward(self, p, grad, x, dy, buffers): return 2 * dy
    """

    input_dim: int  # width of the input; for an embedding, the number of ids
    output_dim: int  # width of the output

    # True if x holds ids (T, B): the layer must be the first of a network. False if x holds vectors: it must not be the
    # first. None allows both, for a layer of your own that does not set it.
    reads_ids: ClassVar[bool | None] = None

    # Whether x may be a `charrnn.layers.projection.Lookup`; `backward` then returns the gradient of its table.
    accepts_lookup: ClassVar[bool] = False

    @property
    def state_dims(self) -> Mapping[str, int]:
        """The name and width H of each state that the layer carries from one time step to the next.

        For a state "h", `allocate` must make two buffers. The first is `h` (T + 1, B, H): the network sets h[0] to the
        incoming state before it calls `forward`, which leaves the outgoing state in h[-1]. The second is `dh` (B, H),
        in which `backward` leaves the gradient of the incoming state.
        """
        return {}

    @property
    def lends(self) -> Shapes:
        """The parameters of a first layer that a later layer also uses; `backward` adds to their gradients."""
        return {}

    @property
    def borrows(self) -> Shapes:
        """The parameters that the first layer lends; they are in this layer's `p`, their gradients in its `grad`."""
        return {}

    def shapes(self) -> Shapes:
        """The name and shape of each parameter."""
        return {}

    def init(self, p: Arrays, rng: np.random.Generator) -> None:  # noqa: B027 (a layer without parameters has none)
        """Set every parameter to its initial value."""

    @abstractmethod
    def allocate(self, T: int, B: int, dtype: DType) -> Arrays:
        """The buffers for a forward pass over (T, B) and its backward pass."""

    @abstractmethod
    def forward(self, p: Arrays, x: Array, buffers: Arrays) -> Array:
        """x (T, B, input_dim) -> y (T, B, output_dim), which may be a buffer. x must not be changed."""

    @abstractmethod
    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, buffers: Arrays) -> Array | None:
        """Overwrite the gradients in `grad`, and return dx, or None if x holds ids.

        x and the buffers are as the last forward pass left them; dy is (T, B, output_dim), and may be overwritten.
        """

    def gates(self, buffers: Arrays) -> Mapping[str, Array]:
        """The gates (T, B, H) of the last forward pass by name, for `charrnn.inspection`; each is in 0 … 1."""
        return {}

    def output_steps(self, T: int) -> int:
        """The number of time steps in the output, given T in the input."""
        return T

    def stepper(self, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
        """A function that takes a single time step, for sampling. By default it calls `forward`, which is slow.

        In a stepper, sequences are columns. Each begins with a 1, so that a bias is one more column of its matrix.

        Parameters
        ----------
        x
            [1; x] (1 + input_dim, B), the array that holds the input of every step; for the first layer, (B,) ids.
        state
            An array (H, B) for each of `state_dims`: the state before the first step. The layer may keep and change it.

        Returns
        -------
        tuple
            The array from which the layer reads its input (x, or another one of its own), the array [1; y]
            (1 + output_dim, B) of its output, and the function, which reads the input and overwrites the output.
        """
        return _stepper_from_forward(self, p, x, state)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        known = set(Layer.__annotations__).union(*(dir(base) for base in cls.__mro__[1:]))
        fields = _field_names(cls)
        for name in (vars(cls).keys() | fields) - known:
            close = get_close_matches(name, known, n=1, cutoff=MISSPELT if name in fields else 0.6)
            if not name.startswith("_") and (close or name not in fields):
                hint = f"did you mean {close[0]}?" if close else "the name of a helper must begin with an underscore"
                raise InputError(f"{cls.__name__}: layers have no {name}; {hint}")


def _field_names(cls: type) -> set[str]:
    """The names of the annotations that become dataclass fields."""
    if sys.version_info >= (3, 14):  # there, annotations may refer to names that are defined later
        annotations = get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    else:
        annotations = get_annotations(cls)
    return {name for name, annotation in annotations.items() if "ClassVar" not in str(annotation)}


def require_state_buffers(layer: Layer, buffers: Arrays, T: int, B: int) -> None:
    """Raise InputError unless `layer.allocate(T, B, …)` has made the buffers that its `state_dims` require."""
    for name, H in layer.state_dims.items():
        for buffer, shape in ((name, (T + 1, B, H)), ("d" + name, (B, H))):
            if np.shape(vars(buffers).get(buffer, ())) != shape:
                raise InputError(
                    f"{type(layer).__name__}: allocate makes no buffer {buffer!r} of shape {shape}, which "
                    f"state_dims requires; it makes {', '.join(vars(buffers))}"
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
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise InputError(f"{type(layer).__name__}: {name} is {quoted(value)}; it must be an integer of at least 1")


def require_flag(layer: object, **options: bool) -> None:
    """Raise InputError unless each option of the layer is True or False."""
    for name, value in options.items():
        if not isinstance(value, bool | np.bool_):
            raise InputError(f"{type(layer).__name__}: {name} is {quoted(value)}; it must be True or False")


def require_activation(layer: object, name: str) -> None:
    """Raise InputError unless `name` is an activation."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        allowed = ", ".join(ACTIVATIONS)
        raise InputError(f"{type(layer).__name__}: activation is {quoted(name)}; it must be one of {allowed}")
