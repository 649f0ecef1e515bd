"""Layers as operators of ONNX, which https://onnx.ai/onnx/operators/ defines.

Their equations are those of charrnn's layers; `linear_before_reset` of the operator GRU is charrnn's `reset_after`. The
operator GRU has no `mogrifier`, so `charrnn.interop.onnx_scan` builds such a layer from smaller operators.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from charrnn.arrays import Array
from charrnn.errors import InputError
from charrnn.interop.gates import ONNX, pack, unpack
from charrnn.interop.onnx_builder import Graph
from charrnn.interop.onnx_scan import mogrifier_gru, needs_scan, scan_parameters, scan_weights
from charrnn.layers import GRU, LSTM, Dense, Embedding, Layer, Recurrent, SimpleRNN, TiedDense

OPERATORS: dict[type[Recurrent], str] = {GRU: "GRU", LSTM: "LSTM", SimpleRNN: "RNN"}
ACTIVATIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "softmax": "Softmax"}


def weights(layer: Layer, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters of a layer in the form that its operators need."""
    if not isinstance(layer, Recurrent):
        return {name: arrays[name] for name in layer.shapes()}
    if needs_scan(layer):
        return scan_weights(arrays)
    W, R, *biases = pack(layer, arrays, ONNX)
    return {"W": W[None], "R": R[None], "B": np.concatenate(biases)[None]}  # [None]: there is one direction


def parameters(layer: Layer, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters of a layer, from what `weights` returned."""
    if not isinstance(layer, Recurrent):
        return dict(weights)
    if needs_scan(layer):
        return scan_parameters(layer, weights)
    b_x, b_h = np.split(weights["B"][0], 2)
    return unpack(layer, (weights["W"][0], weights["R"][0], b_x, b_h), ONNX)


def add_layer(graph: Graph, layer: Layer, name: str, arrays: Mapping[str, Array], x: str) -> str:
    """Append a layer with these parameters, whose input is called x; returns the name of its output.

    Raises
    ------
    InputError
        If ONNX can't express it.
    """
    if type(layer) not in NODES:
        kinds = ", ".join(kind.__name__ for kind in NODES)
        raise InputError(f"{name} is not a layer that ONNX can express; it must be one of {kinds}")
    constants = {key: graph.constant(f"{name}.{key}", array) for key, array in weights(layer, arrays).items()}
    return NODES[type(layer)](graph, layer, name, constants, x)


def _embedding(graph: Graph, layer: Embedding, name: str, constants: Mapping[str, str], x: str) -> str:
    return graph.node("Gather", [constants["table"], x], f"{name}.y")


def _dense(graph: Graph, layer: Dense, name: str, constants: Mapping[str, str], x: str) -> str:
    return _affine(graph, name, x, constants["kernel"], constants["bias"], layer.activation)


def _tied_dense(graph: Graph, layer: TiedDense, name: str, constants: Mapping[str, str], x: str) -> str:
    kernel = graph.node("Transpose", ["0.embedding.table"], f"{name}.kernel")
    return _affine(graph, name, x, kernel, constants["bias"], "linear")


def _affine(graph: Graph, name: str, x: str, kernel: str, bias: str, activation: str) -> str:
    product = graph.node("MatMul", [x, kernel], f"{name}.product")
    y = graph.node("Add", [product, bias], f"{name}.sum")
    return y if activation == "linear" else graph.node(ACTIVATIONS[activation], [y], f"{name}.y")


def _gru(graph: Graph, layer: GRU, name: str, constants: Mapping[str, str], x: str) -> str:
    add = mogrifier_gru if needs_scan(layer) else _recurrent
    return add(graph, layer, name, constants, x)


def _recurrent(graph: Graph, layer: Recurrent, name: str, constants: Mapping[str, str], x: str) -> str:
    states = graph.add_states(layer.state_dims)
    befores = [graph.node("Unsqueeze", [state, graph.axis(0)], f"{state}.before") for state in states]
    afters = [f"{state}.after" for state in states]
    no_lengths = ""  # all sequences are equally long
    y = graph.node(
        OPERATORS[type(layer)],
        [x, *(constants[key] for key in "WRB"), no_lengths, *befores],
        f"{name}.directions",
        *afters,
        hidden_size=layer.hidden_dim,
        **_options(layer, name),
    )
    for state, after in zip(states, afters):
        graph.node("Squeeze", [after, graph.axis(0)], f"{state}_next")
    return graph.node("Squeeze", [y, graph.axis(1)], f"{name}.y")


def _options(layer: Recurrent, name: str) -> dict[str, Any]:
    """The attributes of an operator that are not defaults."""
    if isinstance(layer, GRU):
        return {"linear_before_reset": int(layer.reset_after)}
    if not isinstance(layer, SimpleRNN):
        return {}
    if layer.activation == "linear":
        return {"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]}  # alpha x + beta
    if layer.activation == "softmax":
        raise InputError(f"{name} has the activation softmax, which ONNX does not have inside a recurrent layer")
    return {"activations": [ACTIVATIONS[layer.activation]]}


NODES: dict[type[Layer], Callable[..., str]] = {
    Embedding: _embedding, GRU: _gru, LSTM: _recurrent, SimpleRNN: _recurrent, Dense: _dense,
    TiedDense: _tied_dense,
}  # fmt: skip
