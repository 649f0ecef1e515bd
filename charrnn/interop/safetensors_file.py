"""safetensors: plain named arrays, and one JSON text that describes them (https://github.com/huggingface/safetensors).

The arrays have charrnn's own names and shapes, as in the model file, so any model can be stored, and comes back as it
was.
"""

import json
from pathlib import Path

import numpy as np

from charrnn.arrays import Array
from charrnn.errors import InputError
from charrnn.interop.description import from_metadata, metadata
from charrnn.interop.packages import optional_package
from charrnn.messages import shown
from charrnn.model_file import ModelFile
from charrnn.storage.files import open_regular

KEY = "charrnn"  # one JSON text, because the order of several would vary, and equal models should give equal files
READABLE = ("F16", "F32", "F64")


def safetensors_file(contents: ModelFile) -> bytes:
    """The content of a safetensors file with this model; raises InputError if the package is not installed."""
    arrays = {name: np.ascontiguousarray(array) for name, array in contents.model.named_parameters()}
    return optional_package("safetensors.numpy").save(arrays, metadata={KEY: json.dumps(metadata(contents))})


def read_safetensors(path: str | Path) -> ModelFile | dict[str, Array]:
    """The model in a file that `safetensors_file` made, or the arrays in any other one.

    Raises
    ------
    InputError
        If it is not a safetensors file, is damaged, has numbers of a type other than `READABLE`, or the package is not
        installed.
    OSError
        If it can't be read.
    """
    safetensors = optional_package("safetensors")
    open_regular(path).close()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            names = file.keys()
            for name in names:
                dtype = file.get_slice(name).get_dtype()
                if dtype not in READABLE:
                    raise InputError(f"{shown(name)} has dtype {shown(dtype)}; it must be one of {', '.join(READABLE)}")
            arrays = {name: file.get_tensor(name) for name in names}
    except safetensors.SafetensorError as error:
        raise InputError(f"it is not a safetensors file, or is damaged ({shown(error)})") from None
    return from_metadata(json.loads(about[KEY]), arrays) if KEY in about else arrays
