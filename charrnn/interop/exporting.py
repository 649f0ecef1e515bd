"""Export a model to a file for another tool."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import InputError
from charrnn.interop.onnx_file import onnx_file
from charrnn.interop.pytorch_file import pytorch_file
from charrnn.interop.safetensors_file import safetensors_file
from charrnn.messages import quoted
from charrnn.model_file import ModelFile
from charrnn.storage.files import atomic_write


@dataclass(frozen=True)
class Format:
    """A format: the suffix of its files, their content for a model, and how Python opens one; {} is the path."""

    suffix: str
    content: Callable[[ModelFile], bytes]
    opened_by: str


FORMATS: Mapping[str, Format] = {
    "onnx": Format(".onnx", onnx_file, "onnxruntime.InferenceSession({})"),
    "pytorch": Format(".pt", pytorch_file, "torch.load({}, weights_only=True)"),
    "safetensors": Format(".safetensors", safetensors_file, "safetensors.numpy.load_file({})"),
}


def export_model(contents: ModelFile, format: str, path: str | Path) -> int:
    """Write a model to a file in one of `FORMATS`, atomically; returns its size in bytes.

    Raises
    ------
    InputError
        If there is no such format, the path has another suffix, the format can't express the model, or the package
        that writes it is not installed.
    OSError
        If the file can't be written.

    >>> num_bytes = export_model(load_model("models/char_rnn.npz"), "onnx", "models/char_rnn.onnx")
    """
    if format not in FORMATS:
        raise InputError(f"format is {quoted(format)}; it must be one of {', '.join(FORMATS)}")
    if Path(path).suffix.lower() != FORMATS[format].suffix:
        raise InputError(f"{quoted(str(path))} can't be the name of this file; it must end in {FORMATS[format].suffix}")
    content = FORMATS[format].content(contents)
    with atomic_write(path) as file:
        file.write(content)
    return len(content)
