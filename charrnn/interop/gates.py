"""The weights of a recurrent layer as other tools arrange them: one matrix for all gates, and two biases.

    gates = x W_xᵀ + b_x + h W_hᵀ + b_h,  W_x (G H, D), W_h (G H, H), b_x (G H,), b_h (G H,)

The rows of one gate follow those of another, in an order that differs from tool to tool. One bias would do, except in
the candidate of a GRU with `reset_after`, where the reset gate multiplies b_h, but not b_x. Everywhere else, b_h is 0.
A GRU with `mogrifier` has no such form: its fourth gate, m, has a W and a b, but no U.
"""

from collections.abc import Mapping

import numpy as np

from charrnn.arrays import Array
from charrnn.layers import GRU, LSTM, Recurrent, SimpleRNN

Orders = Mapping[type[Recurrent], list[int]]  # for each gate of the tool, its index in charrnn
Packed = tuple[Array, Array, Array, Array]  # W_x, W_h, b_x, b_h

# charrnn has r, z, c in a GRU and o, i, f, g in an LSTM.
ONNX: Orders = {GRU: [1, 0, 2], LSTM: [1, 0, 2, 3], SimpleRNN: [0]}  # z, r, h and i, o, f, c
PYTORCH: Orders = {GRU: [0, 1, 2], LSTM: [1, 2, 3, 0], SimpleRNN: [0]}  # r, z, n and i, f, g, o


def pack(layer: Recurrent, arrays: Mapping[str, Array], orders: Orders) -> Packed:
    """W_x, W_h, b_x and b_h of a layer with these parameters, for a tool with these orders of gates."""
    H, order = layer.hidden_dim, orders[type(layer)]
    G = len(order)
    matrices = (arrays[name].reshape(G, -1, H)[order] for name in ("kernel", "recurrent_kernel"))
    W_x, W_h = (matrix.swapaxes(1, 2).reshape(G * H, -1) for matrix in matrices)
    b_x = arrays["bias"].reshape(G, H)
    b_h = np.zeros_like(b_x)
    if "recurrent_bias" in arrays:
        b_h[-1] = arrays["recurrent_bias"]
    return W_x, W_h, b_x[order].ravel(), b_h[order].ravel()


def unpack(layer: Recurrent, packed: Packed, orders: Orders) -> dict[str, Array]:
    """The parameters of a layer from a tool's weights, the inverse of `pack`; where possible, the biases are added.

    Raises
    ------
    ValueError
        If a weight has another size than the layer needs.
    """
    H, shapes = layer.hidden_dim, layer.shapes()
    places = np.argsort(orders[type(layer)])
    W_x, W_h, b_x, b_h = (weight.reshape(len(places), H, -1)[places].swapaxes(1, 2) for weight in packed)
    b_x, b_h = b_x[:, 0], b_h[:, 0]
    arrays = {"kernel": W_x, "recurrent_kernel": W_h}
    if "recurrent_bias" in shapes:
        arrays["recurrent_bias"] = b_h[-1].copy()
        b_h[-1] = 0
    arrays["bias"] = b_x + b_h
    return {name: arrays[name].reshape(shape) for name, shape in shapes.items()}
