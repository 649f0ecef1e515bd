"""The network of a page in NumPy, with the same rounded weights, to measure what rounding costs."""

from collections.abc import Callable, Sequence

import numpy as np

from charrnn.arrays import Array
from charrnn.layers import GRU, LSTM, Dense, Embedding, Layer, SimpleRNN
from charrnn.models import Model
from charrnn.network import parameter_count
from playground.layers import PageLayer

LAYERS: dict[str, Callable[..., Layer]] = {"gru": GRU, "lstm": LSTM, "rnn": SimpleRNN, "dense": Dense}


def twin(layers: Sequence[PageLayer]) -> Model:
    """A float32 model that computes what the page computes with these layers.

    If the embedding is folded, the vector of a character is what it adds to the first layer's gates, so the input
    weights of that layer are the identity.
    """
    own: Sequence[PageLayer] = layers
    inputs = [layer.matrices["input"].decoded() for layer in layers if layer.kind != "embedding"]
    if layers[0].kind == "embedding":
        first, *own = layers
        rows = first.matrices["rows"].decoded() if first.matrices else inputs[-1]
    else:
        rows = inputs[0].T
        inputs[0] = np.eye(rows.shape[1], dtype=np.float32)
    described: list[Layer] = [Embedding(*rows.shape)]
    described += [LAYERS[layer.kind](W.shape[1], layer.size, **layer.options) for layer, W in zip(own, inputs)]
    model = Model.from_parameters(described, np.empty(parameter_count(described), np.float32))
    model.p[0].table[...] = rows
    for layer, W, p in zip(own, inputs, model.p[1:]):
        p.kernel[...] = _as_kernel(W, p.kernel)
        if "recurrent" in layer.matrices:
            p.recurrent_kernel[...] = _as_kernel(layer.matrices["recurrent"].decoded(), p.recurrent_kernel)
        for name, vector in layer.vectors.items():
            vars(p)[name].reshape(-1)[...] = vector
    return model


def _as_kernel(rows: Array, kernel: Array) -> Array:
    """A matrix with a row for each output, as a kernel of this shape: (D, H), or (G, D, H) for G gates."""
    *gates, D, H = kernel.shape
    return rows.reshape(*gates, H, D).swapaxes(-1, -2)
