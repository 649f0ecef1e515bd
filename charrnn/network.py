"""A network is a chain of layers and one flat vector that holds all their parameters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from charrnn.arrays import Array, Arrays, HiddenState, aligned_empty
from charrnn.blas import one_blas_thread
from charrnn.errors import InputError
from charrnn.layers import Layer
from charrnn.layers.base import require_state_buffers
from charrnn.messages import quoted
from charrnn.preprocessing import require_ids


def layer_name(position: int, layer: Layer) -> str:
    """The prefix of the names of a layer's parameters, such as `1.gru`."""
    return f"{position}.{type(layer).__name__.lower()}"


@dataclass(frozen=True)
class Buffers:
    """What a forward pass over T time steps of B sequences saves for its backward pass."""

    layers: list[Arrays]
    inputs: list[Any]  # the input of each layer in the last forward pass
    output_steps: int  # T, or fewer if a layer drops time steps


def parameter_count(layers: Sequence[Layer]) -> int:
    """The number of parameters of these layers; raises InputError if one of them is not a layer."""
    for layer in layers:
        if not isinstance(layer, Layer):
            raise InputError(f"{quoted(layer)} is not a layer; it must be an instance of a subclass of charrnn.Layer")
    return sum(prod(shape) for layer in layers for shape in layer.shapes().values())


class Network:
    """A chain of layers from ids to logits, whose parameters are one flat vector.

    Parameters
    ----------
    layers
        The layers in order; each one's input_dim must be the output_dim of the one before.
    parameters
        (P,) float32, or float64 to check gradients. It is shared, not copied.

    Attributes
    ----------
    parameters, gradient
        Flat vectors of the same length. The layers hold views of them. So an optimizer, a norm or a sum over workers
        takes one line, and an in-place change to `parameters` changes the layers.
    p, grad
        For each layer, its named views of these vectors.

    Raises
    ------
    InputError
        If there is no layer, the dimensions of two neighbours do not match, the first layer reads vectors or a later
        one reads ids, or the vector has the wrong length.
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
        self._require_neighbours()
        self._require_lenders()
        first, *later = self.layers
        if first.reads_ids is False:
            raise InputError(f"the first layer is {type(first).__name__}, which reads vectors; it must read ids")
        for layer in later:
            if layer.reads_ids:
                raise InputError(f"a later layer is {type(layer).__name__}, which reads ids; only the first one may")

    def _require_neighbours(self) -> None:
        for before, after in zip(self.layers, self.layers[1:]):
            if before.output_dim != after.input_dim:
                raise InputError(
                    f"{type(after).__name__} has input_dim {quoted(after.input_dim)}; it must be "
                    f"{quoted(before.output_dim)}, the output_dim of the {type(before).__name__} before it"
                )

    def _require_lenders(self) -> None:
        first, *later = self.layers
        if first.borrows:
            raise InputError(
                f"the {type(first).__name__} borrows {quoted(first.borrows)}, but there is no layer before it"
            )
        if any(layer.lends for layer in later):
            raise InputError("a later layer lends parameters; only the first one may")
        borrowed = [layer.borrows for layer in later if layer.borrows]
        if borrowed != [first.lends] * bool(first.lends):
            raise InputError(
                f"the {type(first).__name__} lends {quoted(first.lends)}, and later layers borrow {quoted(borrowed)}; "
                "exactly one later layer must borrow what the first one lends"
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
        """The number of different ids that the network can read."""
        return self.layers[0].input_dim

    @property
    def output_dim(self) -> int:
        """V, the number of different ids that the network can predict."""
        return self.layers[-1].output_dim

    @property
    def num_ids(self) -> int:
        """The ids that the network can both read and predict are 0 … num_ids - 1."""
        return min(self.input_dim, self.output_dim)

    def named_parameters(self) -> Iterator[tuple[str, Array]]:
        """Name and view of each parameter, as in `1.gru.recurrent_kernel`."""
        for position, (layer, p) in enumerate(zip(self.layers, self.p)):
            for name in layer.shapes():
                yield f"{layer_name(position, layer)}.{name}", vars(p)[name]

    def weight_decay_mask(self) -> Array:
        """(P,) bool: True for the parameters that weight decay shrinks, all but the biases."""
        return np.concatenate([np.full(view.size, not name.endswith("bias")) for name, view in self.named_parameters()])

    def allocate(self, T: int, B: int) -> Buffers:
        """Buffers for passes over T time steps of B sequences; each pass overwrites the one before.

        Raises
        ------
        InputError
            If a layer does not allocate the buffers that its `state_dims` require.
        """
        buffers = []
        for layer in self.layers:
            own = layer.allocate(T, B, self.dtype)
            require_state_buffers(layer, own, T, B)
            buffers.append(own)
            T = layer.output_steps(T)
        return Buffers(buffers, [None] * len(self.layers), output_steps=T)

    @one_blas_thread()
    def forward(self, x: Array, buffers: Buffers, state: HiddenState | None = None) -> Array:
        """The logits (T, B, V) for ids x (T, B), in a buffer. Sequences start from `state`, by default from zeros.

        Raises
        ------
        InputError
            If the network does not know an id.
        """
        require_ids(x, self.input_dim)
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

    @one_blas_thread()
    def backward(self, dlogits: Array, buffers: Buffers) -> Array:
        """The gradient of the loss for all parameters (P,), given `dlogits`, its gradient for the last logits."""
        dy: Any = dlogits
        for i in reversed(range(len(self.layers))):
            dy = self.layers[i].backward(self.p[i], self.grad[i], buffers.inputs[i], dy, buffers.layers[i])
        return self.gradient

    @one_blas_thread()
    def stepper(self, B: int, state: HiddenState | None = None) -> Callable[[Array | np.intp | int], Array]:
        """A function for sampling: it reads the next id of each of B sequences, and returns the logits (B, V).

        The ids are (B,), or an integer if B is 1. Sequences start from `state`, which may have a single row for all of
        them; the function keeps its own copy and updates it. What the layers before the first one with a state compute
        is looked up in a table over all ids, so the parameters must not change while the function is in use. The next
        call overwrites the logits. The function raises InputError if the network does not know an id. It does not limit
        BLAS, which would take longer than a small step; the caller must.
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
        logits, V = y[1:].T, self.input_dim
        rows = list(table.T[..., None])

        def step(ids: Array | np.intp | int) -> Array:
            if B > 1 or type(ids) is bool:
                _require_step(ids, B, V)
                table.take(ids, axis=-1, out=looked_up, mode="clip")
            else:
                try:
                    if ids < 0:
                        raise IndexError
                    looked_up[...] = rows[ids]  # three times as fast as `take`
                except (IndexError, TypeError, ValueError):
                    _require_step(ids, B, V)
                    looked_up[...] = rows[np.array(ids).item()]
            for step_layer in steps:
                step_layer()
            return logits

        return step

    def _table_of_ids(self) -> tuple[Array, int]:
        """The inputs [1; x] (1 + width, V) of the first layer with a state, for every id, and the number of that layer.

        If it is layer 0, its inputs are the ids themselves: (V,).
        """
        ids, first = np.arange(self.input_dim), 0
        x = ids[None]
        while first < len(self.layers) and not self.layers[first].state_dims:
            layer = self.layers[first]
            x = layer.forward(self.p[first], x, layer.allocate(1, len(ids), self.dtype))
            first += 1
        return (ids if first == 0 else np.insert(x[0].T, 0, 1, axis=0)), first


def _require_step(ids: Any, B: int, V: int) -> None:
    """Raise InputError unless the ids of a step are (B,) integers in 0 … V-1, or a single one if B is 1."""
    if type(ids) is np.ndarray and ids.shape == (B,) and ids.dtype.kind in "iu":
        values = ids.tolist()  # for a few numbers, Python's min and max are faster than NumPy's
        if min(values) >= 0 and max(values) < V:
            return
    ids = np.atleast_1d(ids)
    require_ids(ids, V)
    if ids.shape != (B,):
        raise InputError(f"ids: the shape is {ids.shape}; it must be ({B},), one id for each sequence")
