"""An ONNX graph while it is built: its nodes, constants and states."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from charrnn.arrays import Array


class Graph:
    """A graph without nodes at first; `onnx` is the package.

    >>> graph = Graph(optional_package("onnx"))
    >>> graph.node("Relu", ["ids"], "y")
    'y'
    """

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.states: list[dict[str, int]] = []  # of each recurrent layer: the width of each state

    def node(self, operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Append a node; returns the name of its first output."""
        self.nodes.append(self.onnx.helper.make_node(operator, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, name: str, array: Array) -> str:
        """Keep an array under a name, which is returned."""
        self.constants[name] = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def axis(self, axis: int) -> str:
        """An axis as a constant, which the operators Squeeze and Unsqueeze need."""
        return self.constant(f"axis_{axis}", np.array([axis]))

    def add_states(self, dims: Mapping[str, int]) -> list[str]:
        """Add the states of the next recurrent layer, with these widths; returns their names, such as h0 and c0."""
        numbered = {f"{name}{len(self.states)}": H for name, H in dims.items()}
        self.states.append(numbered)
        return list(numbered)

    def proto(self, input_name: str, output_name: str, V: int) -> Any:
        """The graph from ids (time, batch) and states (batch, H) to logits (time, batch, V) and the next states."""
        TensorProto = self.onnx.TensorProto
        states = {name: H for each in self.states for name, H in each.items()}
        nexts = {f"{name}_next": H for name, H in states.items()}
        ids = self._value(input_name, TensorProto.INT64, "time", "batch")
        logits = self._value(output_name, TensorProto.FLOAT, "time", "batch", V)
        return self._message("char_rnn", [ids, *self._rows(states)], [logits, *self._rows(nexts)])

    def step_proto(self, name: str, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Any:
        """The graph as the body of a Scan, from inputs to outputs (batch, width), whose widths are given."""
        return self._message(name, self._rows(inputs), self._rows(outputs))

    def _rows(self, widths: Mapping[str, int]) -> list[Any]:
        return [self._value(name, self.onnx.TensorProto.FLOAT, "batch", width) for name, width in widths.items()]

    def _value(self, name: str, kind: int, *shape: str | int) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, kind, shape)

    def _message(self, name: str, inputs: list[Any], outputs: list[Any]) -> Any:
        return self.onnx.helper.make_graph(self.nodes, name, inputs, outputs, list(self.constants.values()))
