"""The state dict of a PyTorch module with the same layers, both ways; `examples/pytorch_module.py` has the module.

    embedding   nn.Embedding(V, E)
    rnn         nn.GRU, nn.LSTM or nn.RNN, for all recurrent layers
    projection  nn.Linear(H, E), only if the output uses the embedding's weights and H is not E
    output      nn.Linear(H, V)

The weight of an nn.Linear is a transposed kernel; `charrnn.interop.gates` arranges the weights of the recurrent layers.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from charrnn.arrays import Array
from charrnn.errors import InputError
from charrnn.interop.gates import PYTORCH, pack, unpack
from charrnn.layers import GRU, LSTM, Dense, Embedding, Layer, Recurrent, SimpleRNN, TiedDense
from charrnn.messages import quoted, shown
from charrnn.network import Network, layer_name

RNN_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
NONLINEARITIES = ("tanh", "relu")  # of nn.RNN
LETTERS: dict[type[Layer], str] = {Embedding: "E", GRU: "R", LSTM: "R", SimpleRNN: "R", Dense: "D", TiedDense: "T"}
OTHER_FORMATS = "use ONNX or safetensors"


def to_state_dict(network: Network) -> dict[str, Array]:
    """The parameters under their names in the state dict, as contiguous arrays.

    Raises
    ------
    InputError
        If the module can't have such layers.
    """
    require_expressible(network.layers)
    arrays: dict[str, Array] = {}
    for layer, p, names in zip(network.layers, network.p, _names(network.layers)):
        if isinstance(layer, Recurrent):
            values: Sequence[Array] = pack(layer, vars(p), PYTORCH)
        elif isinstance(layer, Embedding):
            values = [p.table]
        else:
            values = [p.table if isinstance(layer, TiedDense) else p.kernel.T, p.bias]
        arrays |= zip(names, map(np.ascontiguousarray, values))
    return arrays


def from_state_dict(layers: Sequence[Layer], arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters of these layers under charrnn's names, the inverse of `to_state_dict`.

    Raises
    ------
    InputError
        If an array is missing, has another shape or belongs to no layer, the output should have the embedding's weights
        but has others, or the module can't have such layers.
    """
    require_expressible(layers)
    expected = {
        name: shape for layer, names in zip(layers, _names(layers)) for name, shape in zip(names, _shapes(layer))
    }
    if unknown := sorted(arrays.keys() - expected.keys()):
        raise InputError(f"it has {shown(unknown[0])}, which does not belong to its layers")
    parameters: dict[str, Array] = {}
    for i, (layer, names) in enumerate(zip(layers, _names(layers))):
        for name in names:
            if name not in arrays or arrays[name].shape != expected[name]:
                found = f"has shape {shown(arrays[name].shape)}" if name in arrays else "is missing"
                raise InputError(f"{name} {found}; its shape must be {expected[name]}")
        own = _parameters(layer, [arrays[name] for name in names])
        parameters |= {f"{layer_name(i, layer)}.{name}": array for name, array in own.items()}
    if isinstance(layers[-1], TiedDense) and not np.array_equal(arrays["output.weight"], arrays["embedding.weight"]):
        raise InputError("output.weight and embedding.weight differ, but its layers share them")
    return parameters


def require_expressible(layers: Sequence[Layer]) -> None:
    """Raise InputError unless the module can have these layers."""
    letters = "".join(LETTERS.get(type(layer), "?") for layer in layers)
    if not re.fullmatch("ER+D?[DT]", letters):
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise InputError(
            f"the layers are {shown(names)}; for PyTorch they must be an Embedding, recurrent layers, and a Dense or "
            f"TiedDense with at most one Dense before it; {OTHER_FORMATS}"
        )
    first, *others = [layer for layer in layers if isinstance(layer, Recurrent)]
    for other in others:
        if (type(other), other.hidden_dim, _options(other)) != (type(first), first.hidden_dim, _options(first)):
            raise InputError(
                f"{quoted(other)} is above {quoted(first)}; for PyTorch all recurrent layers must be of one kind and "
                f"width; {OTHER_FORMATS}"
            )
    for layer in layers:
        if isinstance(layer, Dense) and layer.activation != "linear":
            raise InputError(
                f"the Dense has the activation {layer.activation}; for PyTorch it must be linear; {OTHER_FORMATS}"
            )
        if isinstance(layer, GRU) and layer.mogrifier:
            raise InputError(f"the GRU has mogrifier true, which PyTorch's nn.GRU does not have; {OTHER_FORMATS}")
        if isinstance(layer, GRU) and not layer.reset_after:
            raise InputError(
                "the GRU has reset_after false, and PyTorch's nn.GRU is the one with reset_after true; use ONNX, "
                "which has both, or train with reset_after true"
            )
        if isinstance(layer, SimpleRNN) and layer.activation not in NONLINEARITIES:
            allowed = " or ".join(NONLINEARITIES)
            raise InputError(f"the SimpleRNN has the activation {layer.activation}; PyTorch's nn.RNN has {allowed}")


def _options(layer: Recurrent) -> object:
    if isinstance(layer, SimpleRNN):
        return layer.activation
    return layer.reset_after if isinstance(layer, GRU) else None


def _names(layers: Sequence[Layer]) -> list[list[str]]:
    """For each layer, the names of its parameters in the state dict."""
    names, depth = [], 0
    for i, layer in enumerate(layers, start=1):
        if isinstance(layer, Embedding):
            names.append(["embedding.weight"])
        elif isinstance(layer, Recurrent):
            names.append([f"rnn.{weight}_l{depth}" for weight in RNN_WEIGHTS])
            depth += 1
        else:
            module = "output" if i == len(layers) else "projection"
            names.append([f"{module}.weight", f"{module}.bias"])
    return names


def _shapes(layer: Layer) -> list[tuple[int, ...]]:
    """The shapes that belong to `_names`."""
    if isinstance(layer, Embedding):
        return [(layer.input_dim, layer.output_dim)]
    if not isinstance(layer, Recurrent):
        return [(layer.output_dim, layer.input_dim), (layer.output_dim,)]
    H = layer.hidden_dim
    rows = len(PYTORCH[type(layer)]) * H
    return [(rows, layer.input_dim), (rows, H), (rows,), (rows,)]


def _parameters(layer: Layer, values: Sequence[Array]) -> dict[str, Array]:
    """The parameters of a layer from the arrays that belong to its `_names`."""
    if isinstance(layer, Embedding):
        return {"table": values[0]}
    if isinstance(layer, Recurrent):
        W_x, W_h, b_x, b_h = values
        return unpack(layer, (W_x, W_h, b_x, b_h), PYTORCH)
    kernel, bias = values
    return {"bias": bias} if isinstance(layer, TiedDense) else {"kernel": kernel.T, "bias": bias}
