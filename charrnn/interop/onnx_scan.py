"""A GRU with `mogrifier` as ONNX's operator Scan, which runs a small graph for each time step.

The names are those of `charrnn.layers.gru`. What depends only on x, which is x W + b and m, is computed for all time
steps before the Scan. Its body is the rest:

    ĥ = m ∘ h_before
    r = σ(a_r + ĥ U_r),  z = σ(a_z + ĥ U_z)
    c = tanh(a_c + (r ∘ ĥ) U_c),  or with `reset_after`  c = tanh(a_c + r ∘ (ĥ U_c + u))
    h = c + z ∘ (h_before - c)
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np

from charrnn.arrays import Array
from charrnn.interop.onnx_builder import Graph
from charrnn.layers import GRU, Layer
from charrnn.layers.recurrent import side_by_side

RECURRENT = ("U_r", "U_z", "U_c")


def needs_scan(layer: Layer) -> TypeGuard[GRU]:
    """Whether ONNX has no operator for this layer, but this module does."""
    return isinstance(layer, GRU) and layer.mogrifier


def scan_weights(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters of a layer in the form that `mogrifier_gru` needs."""
    weights = {"W": side_by_side(arrays["kernel"]), "b": arrays["bias"].ravel()}
    weights |= zip(RECURRENT, arrays["recurrent_kernel"])
    return weights | {"u": arrays["recurrent_bias"]} if "recurrent_bias" in arrays else weights


def scan_parameters(layer: GRU, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The parameters of a layer, from what `scan_weights` returned."""
    G, D, H = layer.shapes()["kernel"]
    parameters = {
        "kernel": weights["W"].reshape(D, G, H).swapaxes(0, 1),
        "recurrent_kernel": np.stack([weights[name] for name in RECURRENT]),
        "bias": weights["b"].reshape(G, H),
    }
    return parameters | {"recurrent_bias": weights["u"]} if layer.reset_after else parameters


def mogrifier_gru(graph: Graph, layer: GRU, name: str, constants: Mapping[str, str], x: str) -> str:
    """Append a layer with these constants, whose input is called x; returns the name of its output."""
    product = graph.node("MatMul", [x, constants["W"]], f"{name}.product")
    gates = graph.node("Add", [product, constants["b"]], f"{name}.gates")
    a_r, a_z, a_c, a_m, m = (f"{name}.{each}" for each in ("a_r", "a_z", "a_c", "a_m", "m"))
    graph.node("Split", [gates], a_r, a_z, a_c, a_m, axis=2)
    half = graph.node("Sigmoid", [a_m], f"{name}.half_m")
    graph.node("Mul", [half, graph.constant("two", np.array([2], np.float32))], m)
    (h,) = graph.add_states(layer.state_dims)
    body = _body(Graph(graph.onnx), layer, f"{name}.step", constants)
    per_step = [a_r, a_z, a_c, m]
    graph.node("Scan", [h, *per_step], f"{h}_next", f"{name}.y", body=body, num_scan_inputs=len(per_step))
    return f"{name}.y"


def _body(step: Graph, layer: GRU, name: str, constants: Mapping[str, str]) -> Any:
    """The body, from h_before, a_r, a_z, a_c and m to h, once as the next state and once as an output."""

    def compute(operator: str, *inputs: str) -> str:
        return step.node(operator, [*inputs], f"{name}.{len(step.nodes)}")

    inputs = h_before, a_r, a_z, a_c, m = [f"{name}.{each}" for each in ("h_before", "a_r", "a_z", "a_c", "m")]
    U_r, U_z, U_c = (constants[each] for each in RECURRENT)

    scaled = compute("Mul", m, h_before)
    r, z = (compute("Sigmoid", compute("Add", a, compute("MatMul", scaled, U))) for a, U in ((a_r, U_r), (a_z, U_z)))
    if layer.reset_after:
        recalled = compute("Mul", r, compute("Add", compute("MatMul", scaled, U_c), constants["u"]))
    else:
        recalled = compute("MatMul", compute("Mul", r, scaled), U_c)
    c = compute("Tanh", compute("Add", a_c, recalled))
    h = compute("Add", c, compute("Mul", z, compute("Sub", h_before, c)))
    outputs = [h, compute("Identity", h)]
    return step.step_proto(name, *(dict.fromkeys(names, layer.hidden_dim) for names in (inputs, outputs)))
