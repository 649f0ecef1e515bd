"""A model is a chain of layers and one flat vector that holds all their parameters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any, Protocol

import numpy as np

from charrnn.activations import softmax
from charrnn.arrays import Array, Arrays, DType, State, Stepper
from charrnn.buffers import empty
from charrnn.errors import InputError
from charrnn.evaluation import evaluate
from charrnn.gru import GRU
from charrnn.layers import Dense, Embedding, TiedDense, go_back
from charrnn.lstm import LSTM
from charrnn.preprocessing import require_ids
from charrnn.simple_rnn import SimpleRNN
from charrnn.threads import make
from charrnn.training import fit


class Layer(Protocol):
    """What a layer offers. Whatever has these attributes is one; nothing has to be inherited or registered.

    A layer is a description: it holds sizes and options and never changes. The arrays it works on are handed in, as
    attributes of plain namespaces: its parameters `p`, their gradients `grad`, and the buffers `work`. Arrays are
    time-major, (T, B, …) for T time steps of B sequences, and nothing needs to be allocated between `work` calls.

    A layer with memory also has `state_dims`, which maps the name of each state to its width H. Its workspace then has
    under that name a buffer (T + 1, B, H) whose row 0 is the incoming state, set by the model before `forward`, and
    whose last row is the outgoing one, and under "d" + name a buffer (B, H) in which `backward` leaves the gradient of
    the incoming state.

    A layer may leave gradients to `deferred_gradients(grad, x, dy, work)`, which is called with the arrays that
    `backward` has had and returns the calls that make them, each about as long as another. No other layer waits for
    these, so threads may make them in any order, and while the layers before this one go back (Qi et al. 2023, arXiv
    2401.10241, where that keeps the devices of a pipeline busy). Because they need x and dy, no layer's `backward` may
    write into its dy, or into what its `forward` has returned. (A subclass with a `backward` of its own has a
    `deferred_gradients` of its own too.)

    A layer that uses parameters of the model's first layer as well has `shared`, the name and shape of each. It finds
    them among its own, and its `backward` leaves their gradient there, to which the first layer adds. Only one layer
    may do so.

    A layer that drops time steps also has `output_steps(T)`, which tells how many are left.

    A layer whose `accepts_rows` is true may be handed `charrnn.projection.Rows` as x, if it comes after an embedding.
    It then returns the gradient of the table in place of dx. (A subclass with a `project` of its own says False.)

    A layer whose results depend on the part of a batch that it has also has `place(work, first_step, first_column,
    num_columns)`, which tells where that part begins, in time and among the sequences, and how many of these there are.

    A layer may have `stepper(p, x, state)`, a faster way than `forward` to go on by one time step, for sampling. There,
    sequences are columns, because BLAS splits products with them better among its threads, and each begins with a 1, so
    that a bias is one more row of its matrix. `x` is [1; x] (1 + input_dim, B), the array in which the layer will find
    the input of every step; `state` has an array (H, B) for each of `state_dims`, from which the first step goes on and
    which becomes the layer's own.
    Returned are x, or an array of the layer's own in which it wants the input instead; [1; y] (1 + output_dim, B); and
    a function that takes a step, from what is in x then to y.

    To be stored in a model file, a layer must be a dataclass whose fields are plain values, initializers aside.
    """

    @property
    def input_dim(self) -> int:
        """Width of the input, or the number of different ids that an embedding accepts."""

    @property
    def output_dim(self) -> int:
        """Width of the output."""

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The name and shape of each parameter."""

    def init(self, p: Arrays, rng: np.random.Generator) -> None:
        """Fill every parameter with its first values."""

    def work(self, T: int, B: int, dtype: DType) -> Arrays:
        """The buffers that one forward pass over (T, B) leaves for its backward pass."""

    def forward(self, p: Arrays, x: Array, work: Arrays) -> Array:
        """x (T, B, input_dim) -> y (T, B, output_dim), which may lie in a buffer of `work`."""

    def backward(self, p: Arrays, grad: Arrays, x: Array, dy: Array, work: Arrays) -> Array | None:
        """Given the x and the work of the last forward pass, overwrite the gradients in `grad`, but for those that are
        deferred, and return dx."""


@dataclass(frozen=True)
class Workspace:
    """Everything that one forward pass over T time steps of B sequences leaves for its backward pass."""

    layers: list[Arrays]
    inputs: list[Any]  # of the layers, arrays once there was a forward pass
    output_steps: int  # T, or what is left of it where a layer drops time steps


def parameter_count(layers: Sequence[Layer]) -> int:
    """How many numbers all parameters of these layers are."""
    return sum(prod(shape) for layer in layers for shape in layer.shapes().values())


class Model:
    """A chain of layers, from ids to logits.

    Parameters
    ----------
    layers
        The layers in order; each one's input_dim must be the output_dim of the one before.
    rng
        Draws the first values of the parameters, layer by layer.
    dtype
        float32; float64 is for checking gradients.

    Attributes
    ----------
    parameters, gradient
        Flat vectors of the same length. Each layer works on views of them, so an optimizer, a norm or a sum over
        workers needs one line, and every change to `parameters` in place is a change to the layers.

    Raises
    ------
    InputError
        If there is no layer or two neighbours do not fit.
    """

    def __init__(self, layers: Sequence[Layer], rng: np.random.Generator, dtype: DType = np.float32) -> None:
        self._build(layers, np.zeros(parameter_count(layers), dtype))
        for layer, p in zip(self.layers, self.p):
            layer.init(p, rng)

    @classmethod
    def from_parameters(cls, layers: Sequence[Layer], parameters: Array) -> "Model":
        """A model on an existing flat vector, which it shares rather than copies."""
        model = cls.__new__(cls)
        model._build(layers, parameters)
        return model

    def _build(self, layers: Sequence[Layer], parameters: Array) -> None:
        self.layers = tuple(layers)
        if not self.layers:
            raise InputError("Model: layers is empty; at least one layer is needed")
        for before, after in zip(self.layers, self.layers[1:]):
            if before.output_dim != after.input_dim:
                raise InputError(
                    f"Model: {type(after).__name__} has input_dim {after.input_dim}; "
                    f"it must be {before.output_dim}, the output_dim of the {type(before).__name__} before it"
                )
        first = self.layers[0]
        shared = [layer.shared for layer in self.layers if hasattr(layer, "shared")]
        if len(shared) != getattr(first, "tied", 0) or any(s.items() - dict(first.shapes()).items() for s in shared):
            raise InputError(
                f"Model: later layers share {shared} with the {type(first).__name__}, which has {first.shapes()}; "
                "one layer may share what the first has, which must then be tied, and not otherwise"
            )
        size = parameter_count(self.layers)
        if len(parameters) != size:
            raise InputError(f"Model: there are {len(parameters)} parameters; these layers need {size}")
        self.parameters = parameters
        self.gradient = np.zeros_like(parameters)
        self.p = self._views(self.parameters)
        self.grad = self._views(self.gradient)

    def _views(self, flat: Array) -> list[Arrays]:
        views: list[Arrays] = []
        start = 0
        for layer in self.layers:
            of_layer = Arrays(**{name: getattr(views[0], name) for name in getattr(layer, "shared", ())})
            for name, shape in layer.shapes().items():
                setattr(of_layer, name, flat[start : start + prod(shape)].reshape(shape))
                start += prod(shape)
            views.append(of_layer)
        return views

    @property
    def dtype(self) -> np.dtype:
        """The dtype of parameters, activations and logits."""
        return self.parameters.dtype

    def named_parameters(self) -> Iterator[tuple[str, Array]]:
        """Name and view of each parameter, as in `1.gru.recurrent_kernel`."""
        for position, (layer, p) in enumerate(zip(self.layers, self.p)):
            for name in layer.shapes():
                yield f"{position}.{type(layer).__name__.lower()}.{name}", getattr(p, name)

    def decayed(self) -> Array:
        """Which parameters weight decay is for: a bool each, True unless the name ends in "bias"."""
        every = [np.full(view.size, not name.endswith("bias")) for name, view in self.named_parameters()]
        return np.concatenate(every)

    def with_layers(self, layers: Sequence[Layer]) -> "Model":
        """Another chain on the very same parameters."""
        return Model.from_parameters(layers, self.parameters)

    def work(self, T: int, B: int) -> Workspace:
        """The buffers for passes over T time steps of B sequences, allocated once and used again by every pass."""
        of_layers = []
        for layer in self.layers:
            of_layers.append(layer.work(T, B, self.dtype))
            T = layer.output_steps(T) if hasattr(layer, "output_steps") else T
        return Workspace(of_layers, [None] * len(self.layers), output_steps=T)

    def forward(self, x: Array, work: Workspace, state: State | None = None) -> Array:
        """Logits (T, B, V) of the ids x (T, B), in a buffer of `work`.

        Every sequence starts from `state`, or from zeros without one; `final_state` tells where it ended.
        """
        for i, (layer, p, w) in enumerate(zip(self.layers, self.p, work.layers)):
            for name in getattr(layer, "state_dims", ()):
                getattr(w, name)[0] = 0 if state is None else state[i][name]
            work.inputs[i] = x
            x = layer.forward(p, x, w)
        return x

    def final_state(self, work: Workspace) -> State:
        """A copy of the state after the last time step of the pass that `work` has seen."""
        return [
            {name: getattr(w, name)[-1].copy() for name in getattr(layer, "state_dims", ())}
            for layer, w in zip(self.layers, work.layers)
        ]

    def stepper(self, B: int, state: State | None = None) -> Callable[[Array | np.intp | int], Array]:
        """The model for sampling, a time step at a time: a function of the ids of B sequences that returns their logits
        (B, V) and carries the state on.

        The ids are (B,), or for one sequence an integer. Sequences start from `state`, of which there may be one for
        all of them. Whatever an id brings about before it meets a state is computed once, for all ids, and looked up.
        So the parameters must not change while the function is in use. Nor may the logits be changed, and the next call
        overwrites them.
        """
        of_ids, first = np.arange(self.layers[0].input_dim), 0
        while first < len(self.layers) and not hasattr(self.layers[first], "state_dims"):
            layer, p = self.layers[first], self.p[first]
            of_ids = layer.forward(p, of_ids[None], layer.work(1, len(of_ids), self.dtype))[0]
            first += 1
        table = of_ids if first == 0 else np.insert(of_ids.T, 0, 1, axis=0)  # [1; x] of every id

        looked_up = y = np.empty((*table.shape[:-1], B), table.dtype)
        steps: list[Callable[[], None]] = []
        for i in range(first, len(self.layers)):
            layer, y_before = self.layers[i], y
            of_layer = {name: empty((dim, B), self.dtype) for name, dim in getattr(layer, "state_dims", {}).items()}
            for name, h in of_layer.items():
                h[...] = 0 if state is None else state[i][name].T
            stepper = getattr(layer, "stepper", partial(_stepper_from_forward, layer))
            x, y, step_of_layer = stepper(self.p[i], y_before, of_layer)
            if i == first:
                looked_up = x
            elif x is not y_before:
                steps.append(partial(np.copyto, x, y_before))
            steps.append(step_of_layer)
        logits = y[1:].T
        of_id = list(table.T[..., None])

        def step(ids: Array | np.intp | int) -> Array:
            if B == 1:
                looked_up[...] = of_id[ids]  # in a third of the time that `take` needs
            else:
                table.take(ids, axis=-1, out=looked_up, mode="clip")
            for step_of_layer in steps:
                step_of_layer()
            return logits

        return step

    def backward(self, dlogits: Array, work: Workspace) -> Array:
        """The gradient of the loss by all parameters (flat), given that by the logits of the last forward pass."""
        dy: Any = dlogits  # ids, with which the first layer begins, have no gradient
        for i in reversed(range(len(self.layers))):
            dy = go_back(self.layers[i], self.p[i], self.grad[i], work.inputs[i], dy, work.layers[i], make)
        return self.gradient

    def predict(self, ids: Array, state: State | None = None) -> Array:
        """Probabilities of the next id: (T, V) for ids (T,), (T, B, V) for B sequences of ids (T, B).

        Raises
        ------
        InputError
            If there are no ids, or some are not in 0 … V-1.
        """
        require_ids(ids, self.layers[0].input_dim)
        columns = ids.reshape(len(ids), -1)
        probabilities = softmax(self.forward(columns, self.work(*columns.shape), state))
        return probabilities if ids.ndim == 2 else probabilities[:, 0]

    fit = fit
    evaluate = evaluate


def _stepper_from_forward(layer: Layer, p: Arrays, x: Array, state: dict[str, Array]) -> Stepper:
    """What `layer.stepper(p, x, state)` would return, if it had one."""
    dtype = next(iter(state.values()), x).dtype
    work, y = layer.work(1, x.shape[-1], dtype), np.ones((1 + layer.output_dim, x.shape[-1]), dtype)
    rows = x[None] if x.ndim == 1 else x[1:].T[None]  # the first layer, if it has a state, is given the ids themselves
    for name, h in state.items():
        getattr(work, name)[-1] = h.T

    def step() -> None:
        for name in state:
            buffer = getattr(work, name)
            buffer[0] = buffer[-1]
        y[1:] = layer.forward(p, rows, work)[0].T

    return x, y, step


CELLS: dict[str, Callable[[int, int], Layer]] = {"gru": GRU, "lstm": LSTM, "rnn": SimpleRNN}


def create_char_rnn_model(
    vocabulary_size: int,
    rng: np.random.Generator,
    *,
    embedding_dim: int = 16,
    hidden_dim: int = 128,
    num_layers: int = 1,
    cell: str = "gru",
    tie_weights: bool = False,
    dtype: DType = np.float32,
) -> Model:
    """The standard network: embedding → recurrent layers → dense layer, whose softmax is fused with the loss.

    With `tie_weights` the embedding's table gives the logits too, of which the state is brought to its width.

    Raises
    ------
    InputError
        If a size is not a positive integer or `cell` is unknown.
    """
    if cell not in CELLS:
        raise InputError(f"cell is {cell!r}; it must be one of {', '.join(CELLS)}")
    if not isinstance(num_layers, int | np.integer) or num_layers < 1:
        raise InputError(f"num_layers is {num_layers!r}; it must be an integer of at least 1")
    widths = [embedding_dim] + [hidden_dim] * num_layers
    recurrent = [CELLS[cell](*pair) for pair in pairwise(widths)]
    if tie_weights:
        narrowed = [Dense(hidden_dim, embedding_dim)] if hidden_dim != embedding_dim else []
        outputs: list[Layer] = [*narrowed, TiedDense(embedding_dim, vocabulary_size)]
    else:
        outputs = [Dense(hidden_dim, vocabulary_size)]
    return Model([Embedding(vocabulary_size, embedding_dim, tied=tie_weights), *recurrent, *outputs], rng, dtype)
