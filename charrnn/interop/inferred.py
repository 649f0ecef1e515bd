"""Infer the layers of a PyTorch char-RNN from the names and shapes of its arrays.

It must consist of an nn.Embedding, one nn.GRU, nn.LSTM or nn.RNN with any number of layers, and an nn.Linear, whatever
these are called. Without an nn.Embedding, it reads one-hot vectors. The names of recurrent weights end in
`weight_ih_l0` and so on, and their shapes give the number of gates.
"""

import re
from collections.abc import Mapping
from itertools import permutations

import numpy as np

from charrnn.arrays import Array
from charrnn.errors import InputError
from charrnn.interop.state_dict import NONLINEARITIES, RNN_WEIGHTS, from_state_dict
from charrnn.layers import GRU, LSTM, Dense, Embedding, Layer, Recurrent, SimpleRNN, TiedDense
from charrnn.messages import quoted, shown

RECURRENT = re.compile(r"(.*\.|)((?:weight|bias)_(?:ih|hh|hr)_l\d+(?:_reverse)?)")
OTHER = re.compile(r"(.*\.|)(weight|bias)")
LIKE_AN_EMBEDDING = re.compile("emb|encoder", re.IGNORECASE)
PROJECTION = "projection"  # what `examples/pytorch_module.py` calls the nn.Linear before a tied output

Modules = dict[str, dict[str, Array]]  # for the path of each module, its parameters by name


def infer(arrays: Mapping[str, Array], nonlinearity: str | None = None) -> tuple[list[Layer], dict[str, Array]]:
    """The layers, and their parameters under charrnn's names.

    `nonlinearity` is that of an nn.RNN, which its file does not record: "tanh", the default, or "relu".

    Raises
    ------
    InputError
        If the arrays are not those of such a network, or if more than one network could have them.
    """
    modules = _modules(arrays)
    recurrent, rnn_arrays = _recurrent(modules, nonlinearity)
    D, H = recurrent[0].input_dim, recurrent[0].hidden_dim
    between = [path for path in modules if path.endswith(PROJECTION + ".")] if len(modules) == 3 else []
    projection = [modules.pop(path) for path in between]
    width = D if projection else H  # of the input of the output layer
    table, output = _ends(modules, D, width)
    V, tied = len(table), np.array_equal(table, output["weight"])

    layers = [Embedding(V, D, tied=tied), *recurrent, *(Dense(H, D) for _ in projection)]
    layers.append(TiedDense(D, V) if tied else Dense(width, V))
    named = {"embedding.weight": table, **rnn_arrays}
    for name, linear in zip(["projection", "output"] if projection else ["output"], [*projection, output]):
        no_bias = np.zeros(len(linear["weight"]), table.dtype)
        named |= {f"{name}.{part}": array for part, array in ({"bias": no_bias} | linear).items()}
    return layers, from_state_dict(layers, named)


def _modules(arrays: Mapping[str, Array]) -> Modules:
    modules: Modules = {}
    for name, array in arrays.items():
        match = RECURRENT.fullmatch(name) or OTHER.fullmatch(name)
        if not match or array.dtype.kind != "f":
            raise InputError(f"{shown(name)} belongs to no nn.Embedding, nn.GRU, nn.LSTM, nn.RNN or nn.Linear")
        modules.setdefault(match[1], {})[match[2]] = array
    return modules


def _recurrent(modules: Modules, nonlinearity: str | None) -> tuple[list[Recurrent], dict[str, Array]]:
    """The recurrent layers, and their arrays as `state_dict` names them. Removes their module."""
    paths = [path for path, arrays in modules.items() if not arrays.keys() <= {"weight", "bias"}]
    if len(paths) != 1:
        found = ", ".join(quoted(path.removesuffix(".")) for path in modules)
        count = len(paths) or "none"
        raise InputError(f"it must have one nn.GRU, nn.LSTM or nn.RNN, but it has {count} among its modules: {found}")
    path, arrays = paths[0], modules.pop(paths[0])
    if unusual := [name for name in arrays if name.endswith("_reverse") or "_hr_" in name]:
        raise InputError(f"it has {shown(path + unusual[0])}; charrnn has neither bidirectional layers nor proj_size")
    W_x, W_h = (arrays.get(f"{name}_l0", np.empty(0)) for name in RNN_WEIGHTS[:2])
    gates = W_h.shape[0] / W_h.shape[1] if W_h.ndim == 2 and W_h.size else 0
    if W_x.ndim != 2 or gates not in (1, 3, 4):
        shapes = f"{shown(W_x.shape)} and {shown(W_h.shape)}"
        raise InputError(f"{shown(path)}weight_ih_l0 and weight_hh_l0 have the shapes {shapes}, as in no nn.GRU")

    D, H = W_x.shape[1], W_h.shape[1]
    depth = sum(name.startswith("weight_hh_") for name in arrays)
    layers = [_cell(int(gates), D if k == 0 else H, H, nonlinearity) for k in range(depth)]
    no_biases = {f"{name}_l{k}": np.zeros(len(W_h), W_h.dtype) for k in range(depth) for name in RNN_WEIGHTS[2:]}
    return layers, {f"rnn.{name}": array for name, array in (no_biases | arrays).items()}


def _cell(gates: int, D: int, H: int, nonlinearity: str | None) -> Recurrent:
    if gates == 1:
        return SimpleRNN(D, H, activation=nonlinearity or NONLINEARITIES[0])
    if nonlinearity:
        raise InputError(f"nonlinearity is {quoted(nonlinearity)}, but the file has no nn.RNN, which alone has one")
    return GRU(D, H, reset_after=True) if gates == 3 else LSTM(D, H)


def _ends(modules: Modules, D: int, width: int) -> tuple[Array, dict[str, Array]]:
    """The table (V, D) of the embedding, and the nn.Linear (V, width) of the output."""
    weights = {path: arrays.get("weight", np.empty(0)) for path, arrays in modules.items()}
    if [weight.shape for weight in weights.values()] == [(D, width)]:
        (linear,) = modules.values()
        return np.eye(D, dtype=linear["weight"].dtype), linear  # x_t is a one-hot vector, a row of the identity
    fits = [
        (first, second)
        for first, second in permutations(modules, 2)
        if len(modules) == 2 and modules[first].keys() == {"weight"} and weights[first].shape[1:] == (D,)
        and weights[second].shape == (len(weights[first]), width)
    ]  # fmt: skip
    if not fits:
        found = ", ".join(f"{shown(path)}weight {shown(weight.shape)}" for path, weight in weights.items())
        needed = f"an nn.Embedding (V, {D}) and an nn.Linear (V, {width})"
        raise InputError(f"besides recurrent layers it must have {needed}, but it has {found or 'nothing'}")
    first, second = (weights[path] for path in fits[0])
    if len(fits) == 2 and not np.array_equal(first, second):  # shapes and biases don't tell them apart
        fits = [fit for fit in fits if [bool(LIKE_AN_EMBEDDING.search(path)) for path in fit] == [True, False]]
        if not fits:
            both = " or ".join(f"{shown(path)}weight" for path in modules)
            raise InputError(f"the embedding may be {both}; give it a name with 'embedding' in it")
    embedding, output = fits[0]
    return weights[embedding], modules[output]
