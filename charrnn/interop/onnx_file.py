"""ONNX: one file with the graph of a network and its weights, which many runtimes execute.

Its inputs are `ids` (time, batch) int64 and, for the recurrent layers 0, 1, …, their states `h0`, `h1`, … (batch, H)
and the cells `c0`, `c1`, … of an LSTM. Its outputs are `logits` (time, batch, V), whose softmax gives the probabilities
of the next id, and the states after the last time step: `h0_next`, … All numbers are float32. Time and batch may have
any size. The metadata of the file has a JSON text for each name of `charrnn.interop.description.metadata`.
"""

import json
from pathlib import Path

import numpy as np

from charrnn.errors import InputError
from charrnn.interop.description import from_metadata, metadata
from charrnn.interop.onnx_builder import Graph
from charrnn.interop.onnx_graph import add_layer, parameters
from charrnn.interop.packages import optional_package
from charrnn.messages import counted
from charrnn.model_file import ModelFile, described_layers
from charrnn.network import layer_name
from charrnn.storage.files import open_regular

OPSET, IR = 17, 8  # of June 2022; onnxruntime supports them from version 1.12 on
LARGEST = 2**31 - 2**20  # bytes of weights: a file must stay below 2 GiB, as a message of Protocol Buffers
PRODUCER = "charrnn"


def onnx_file(contents: ModelFile) -> bytes:
    """The content of an ONNX file with this model.

    Raises
    ------
    InputError
        If the model is too large or has a layer that ONNX can't express, or the package onnx is not installed.
    """
    onnx, model, x = optional_package("onnx"), contents.model, "ids"
    size = model.parameters.size * np.dtype(np.float32).itemsize
    if size > LARGEST:
        raise InputError(f"the weights have {counted(size, 'byte')}, and an ONNX file can hold {LARGEST:,}")
    graph = Graph(onnx)
    for i, (layer, p) in enumerate(zip(model.layers, model.p)):
        arrays = {name: array.astype(np.float32) for name, array in vars(p).items()}
        x = add_layer(graph, layer, layer_name(i, layer), arrays, x)
    graph.node("Identity", [x], "logits")
    proto = onnx.helper.make_model(
        graph.proto("ids", "logits", model.output_dim),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name=PRODUCER,
    )
    about = metadata(contents) | {"dtype": "float32"}
    onnx.helper.set_model_props(proto, {name: json.dumps(value) for name, value in about.items()})
    return proto.SerializeToString()


def read_onnx(path: str | Path) -> ModelFile:
    """Read the model in a file that `onnx_file` made.

    Raises
    ------
    InputError
        If it is not such a file, or the package onnx is not installed.
    OSError
        If it can't be read.
    """
    onnx = optional_package("onnx")
    with open_regular(path) as file:
        content = file.read()
    try:
        proto = onnx.load_model_from_string(content)
    except Exception:  # of Protocol Buffers
        raise InputError("it is not an ONNX file, or is damaged") from None
    about = {prop.key: prop.value for prop in proto.metadata_props}
    if proto.producer_name != PRODUCER or "layers" not in about:
        raise InputError("charrnn did not write this ONNX file; it can import only its own")
    described = {name: json.loads(value) for name, value in about.items()}
    if any(tensor.external_data for tensor in proto.graph.initializer):
        raise ValueError("it refers to another file")
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    arrays: dict[str, np.ndarray] = {}
    for i, layer in enumerate(described_layers(described)):
        name = layer_name(i, layer)
        own = {key.removeprefix(f"{name}."): array for key, array in stored.items() if key.startswith(f"{name}.")}
        arrays |= {f"{name}.{key}": array for key, array in parameters(layer, own).items()}
    return from_metadata(described, arrays)
