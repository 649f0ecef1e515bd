"""A network is a chain of layers and one flat vector that holds all their parameters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from charrnn.arrays import Array, Arrays, HiddenState, aligned_empty
from charrnn.errors import InputError
from charrnn.layers import Layer
from charrnn.layers.base import require_state_buffers


@dataclass(frozen=True)
class Buffers:
    """Where a forward pass over T time steps of B sequences leaves what its backward pass needs."""

    layers: list[Arrays]
    inputs: list[Any]  # of each layer, once there was a forward pass
    output_steps: int  # T, or what is left of it where a layer drops time steps


def parameter_count(layers: Sequence[Layer]) -> int:
    """How many numbers all parameters of these layers are; raises InputError if one of them is no layer."""
    for layer in layers:
        if not isinstance(layer, Layer):
            raise InputError(f"{layer!r} is not a layer; it must be an instance of a subclass of charrnn.Layer")
    return sum(prod(shape) for layer in layers for shape in layer.shapes().values())


class Network:
    """Layers on a flat vector of parameters, from ids to logits.

    Parameters
    ----------
    layers
        The layers in order; each one's input_dim must be the output_dim of the one before.
    parameters
        (P,) float32, or float64 to check gradients. It is shared, not copied.

    Attributes
    ----------
    parameters, gradient
        Flat vectors of the same length. Each layer works on views of them, so that an optimizer, a norm or a sum over
        workers is one line, and every change to `parameters` in place is a change to the layers.
    p, grad
        The views of each layer, by name.

    Raises
    ------
    InputError
        If there is no layer, two neighbours do not fit, or the vector has another length than the layers need.
    """

    def __init__(self, layers: Sequence[Layer], parameters: Array) -> None:
        self.layers = tuple(layers)
        size = parameter_count(self.layers)
        self._require_chain()
        if len(parameters) != size:
            raise InputError(f"there are {len(parameters)} parameters; these layers need {size}")
        self.parameters = parameters
        self.gradient = np.zeros_like(parameters)
        self.p = self._views(self.parameters)
        self.grad = self._views(self.gradient)

    def _require_chain(self) -> None:
        if not self.layers:
            raise InputError("layers is empty; at least one layer is needed")
        for before, after in zip(self.layers, self.layers[1:]):
            if before.output_dim != after.input_dim:
                raise InputError(
                    f"{type(after).__name__} has input_dim {after.input_dim}; it must be {before.output_dim}, "
                    f"the output_dim of the {type(before).__name__} before it"
                )
        first, *later = self.layers
        if any(layer.lends for layer in later):
            raise InputError("a later layer lends parameters; only the first one may")
        borrowed = [layer.borrows for layer in later if layer.borrows]
        if borrowed != [first.lends] * bool(first.lends):
            raise InputError(
                f"the {type(first).__name__} lends {first.lends}, and later layers borrow {borrowed}; "
                "what the first layer lends, exactly one later layer must borrow"
            )

    def _views(self, flat: Array) -> list[Arrays]:
        views: list[Arrays] = []
        start = 0
        for layer in self.layers:
            own = Arrays(**{name: vars(views[0])[name] for name in layer.borrows})
            for name, shape in layer.shapes().items():
                setattr(own, name, flat[start : start + prod(shape)].reshape(shape))
                start += prod(shape)
            views.append(own)
        return views

    @property
    def dtype(self) -> np.dtype:
        """The dtype of parameters, activations and logits."""
        return self.parameters.dtype

    @property
    def input_dim(self) -> int:
        """How many different ids there are to read."""
        return self.layers[0].input_dim

    @property
    def output_dim(self) -> int:
        """V, how many different ids there are to predict."""
        return self.layers[-1].output_dim

    def named_parameters(self) -> Iterator[tuple[str, Array]]:
        """Name and view of each parameter, as in `1.gru.recurrent_kernel`."""
        for position, (layer, p) in enumerate(zip(self.layers, self.p)):
            for name in layer.shapes():
                yield f"{position}.{type(layer).__name__.lower()}.{name}", vars(p)[name]

    def weight_decay_mask(self) -> Array:
        """(P,) bool: True for the parameters that weight decay shrinks, which are all but the biases."""
        return np.concatenate([np.full(view.size, not name.endswith("bias")) for name, view in self.named_parameters()])

    def allocate(self, T: int, B: int) -> Buffers:
        """The buffers for passes over T time steps of B sequences, for one pass after the other.

        Raises
        ------
        InputError
            If a layer has not made the buffers that its `state_dims` ask for.
        """
        buffers = []
        for layer in self.layers:
            own = layer.allocate(T, B, self.dtype)
            require_state_buffers(layer, own, T, B)
            buffers.append(own)
            T = layer.output_steps(T)
        return Buffers(buffers, [None] * len(self.layers), output_steps=T)

    def forward(self, x: Array, buffers: Buffers, state: HiddenState | None = None) -> Array:
        """Logits (T, B, V) of the ids x (T, B), in a buffer. Sequences start from `state`, without one from zeros."""
        for i, (layer, p, own) in enumerate(zip(self.layers, self.p, buffers.layers)):
            for name in layer.state_dims:
                vars(own)[name][0] = 0 if state is None else state[i][name]
            buffers.inputs[i] = x
            x = layer.forward(p, x, own)
        return x

    def final_state(self, buffers: Buffers) -> HiddenState:
        """A copy of the state after the last time step of the last forward pass."""
        return [
            {name: vars(own)[name][-1].copy() for name in layer.state_dims}
            for layer, own in zip(self.layers, buffers.layers)
        ]

    def backward(self, dlogits: Array, buffers: Buffers) -> Array:
        """The gradient of the loss by all parameters (P,), given that by the logits of the last forward pass."""
        dy: Any = dlogits
        for i in reversed(range(len(self.layers))):
            dy = self.layers[i].backward(self.p[i], self.grad[i], buffers.inputs[i], dy, buffers.layers[i])
        return self.gradient

    def stepper(self, B: int, state: HiddenState | None = None) -> Callable[[Array | np.intp | int], Array]:
        """A function that reads one id of each of B sequences and returns the logits (B, V), for sampling.

        The ids are (B,), or an integer for one sequence. Sequences start from `state`, in which one row may stand for
        all of them; the function carries it on. It looks up whatever an id causes before the first layer with a state,
        so the parameters must not change while it is in use. The next call overwrites the logits.
        """
        table, first = self._table_of_ids()
        looked_up = y = np.empty((*table.shape[:-1], B), table.dtype)
        steps: list[Callable[[], None]] = []
        for i in range(first, len(self.layers)):
            layer, y_before = self.layers[i], y
            own_state = {name: aligned_empty((dim, B), self.dtype) for name, dim in layer.state_dims.items()}
            for name, h in own_state.items():
                h[...] = 0 if state is None else state[i][name].T
            x, y, step_layer = layer.stepper(self.p[i], y_before, own_state)
            if i == first:
                looked_up = x
            elif x is not y_before:
                steps.append(partial(np.copyto, x, y_before))
            steps.append(step_layer)
        logits = y[1:].T
        rows = list(table.T[..., None])

        def step(ids: Array | np.intp | int) -> Array:
            if B == 1:
                looked_up[...] = rows[ids]  # in a third of the time that `take` needs
            else:
                table.take(ids, axis=-1, out=looked_up, mode="clip")
            for step_layer in steps:
                step_layer()
            return logits

        return step

    def _table_of_ids(self) -> tuple[Array, int]:
        """[1; x] (1 + width, V) of every id at the first layer with a state, and the number of that layer.

        If that is layer 0, it is given the ids themselves: (V,).
        """
        ids, first = np.arange(self.input_dim), 0
        x = ids[None]
        while first < len(self.layers) and not self.layers[first].state_dims:
            layer = self.layers[first]
            x = layer.forward(self.p[first], x, layer.allocate(1, len(ids), self.dtype))
            first += 1
        return (ids if first == 0 else np.insert(x[0].T, 0, 1, axis=0)), first
