"""The layers of a model as the page runs them: matrices with a row for each output, and perhaps a folded embedding.

The network reads one character at a time, so its embedding and the input weights W of the next layer can be multiplied
in advance: W tableᵀ has a column for each character. The embedding is folded if the page gets no larger.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charrnn.arrays import Array, Arrays
from charrnn.errors import InputError
from charrnn.layers import GRU, LSTM, Dense, Embedding, Layer, SimpleRNN, TiedDense
from charrnn.layers.recurrent import Recurrent
from charrnn.messages import quoted
from charrnn.models import Model
from playground.rounding import Rounded, as_finite, base64, rounded

OPTIONS = ("activation", "reset_after")
KINDS: dict[type[Layer], str] = {GRU: "gru", LSTM: "lstm", SimpleRNN: "rnn", Dense: "dense", TiedDense: "dense"}


@dataclass(frozen=True)
class PageLayer:
    """A layer of a page.

    Attributes
    ----------
    kind
        "embedding", "gru", "lstm", "rnn" or "dense".
    size
        The width of its output.
    matrices
        `input` (outputs, inputs), with the rows of one gate after those of another, and `recurrent` likewise. An
        embedding has `rows` (V, E), or none if it is tied: then its rows are the `input` of the last layer.
    vectors
        `bias` and `recurrent_bias`, float32.
    options
        `reset_after` of a GRU, and `mogrifier` if it is on; `activation` of a simple RNN or a dense layer.
    """

    kind: str
    size: int
    matrices: dict[str, Rounded] = field(default_factory=dict)
    vectors: dict[str, Array] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What the page reads."""
        matrices = {name: matrix.as_json() for name, matrix in self.matrices.items()}
        vectors = {name: base64(vector) for name, vector in self.vectors.items()}
        return {"kind": self.kind, "size": self.size, **matrices, **vectors, **self.options}


def page_layers(model: Model, precision: str) -> list[PageLayer]:
    """The layers of a model in a precision of `playground.rounding.BYTES`.

    Raises
    ------
    InputError
        If the model is not an embedding followed by recurrent and dense layers that the page can run, or a parameter is
        too large for the precision.
    """
    require_known(model)
    embedding, *layers = model.layers
    table, weights = model.p[0].table, [_input_weights(layer, p) for layer, p in zip(layers, model.p[1:])]
    first = []
    if folds(model):
        weights[0] = weights[0].astype(np.float64) @ table.T
    else:
        rows = {} if is_tied(model) else {"rows": rounded(table, precision)}
        first = [PageLayer("embedding", embedding.output_dim, rows)]
    return first + [
        _page_layer(layer, p, W, precision) for layer, p, W in zip(layers, model.p[1:], weights, strict=True)
    ]


def require_known(model: Model) -> None:
    """Raise InputError unless the page can run all layers of a model, and one of them has a hidden state."""
    embedding, *layers = model.layers
    unknown = [layer for layer in layers if type(layer) not in KINDS]
    if type(embedding) is not Embedding:
        unknown = [embedding]
    if unknown:
        names = ", ".join(kind.__name__ for kind in KINDS)
        raise InputError(
            f"the model has the layer {quoted(unknown[0])}; a playground can run an Embedding followed by {names}"
        )
    if not any(isinstance(layer, Recurrent) for layer in layers):
        raise InputError("the model has no recurrent layer; a playground shows the hidden state of one or more")


def folds(model: Model) -> bool:
    """Whether the embedding is folded into the first layer after it."""
    V, E = model.layers[0].input_dim, model.layers[0].output_dim
    rows = len(_input_weights(model.layers[1], model.p[1]))
    table = 0 if is_tied(model) else V * E
    return rows * V <= table + rows * E


def is_tied(model: Model) -> bool:
    """Whether the last layer needs the embedding table too."""
    return isinstance(model.layers[-1], TiedDense)


def _page_layer(layer: Layer, p: Arrays, W: Array, precision: str) -> PageLayer:
    matrices, vectors = {"input": rounded(W, precision)}, {"bias": as_finite(p.bias.reshape(-1), "float32")}
    options: dict[str, Any] = {name: value for name, value in vars(layer).items() if name in OPTIONS}
    if vars(layer).get("mogrifier"):
        options["mogrifier"] = True  # absent if off, so that models without it keep their pages and links
    if isinstance(layer, Recurrent):
        matrices["recurrent"] = rounded(as_rows(p.recurrent_kernel), precision)
    if options.get("reset_after"):
        vectors["recurrent_bias"] = as_finite(p.recurrent_bias, "float32")
    return PageLayer(KINDS[type(layer)], layer.output_dim, matrices, vectors, options)


def _input_weights(layer: Layer, p: Arrays) -> Array:
    """The weights of a layer's input, (outputs, inputs)."""
    return p.table if isinstance(layer, TiedDense) else as_rows(p.kernel)


def as_rows(kernel: Array) -> Array:
    """A kernel (D, H), or one for each gate (G, D, H), with a row for each output: (G H, D)."""
    return kernel.swapaxes(-1, -2).reshape(-1, kernel.shape[-2])


def numbers_of(layers: Sequence[PageLayer]) -> Iterator[Array]:
    """All arrays of a page's layers."""
    for layer in layers:
        for matrix in layer.matrices.values():
            yield from (matrix.numbers,) if matrix.scales is None else (matrix.numbers, matrix.scales)
        yield from layer.vectors.values()
