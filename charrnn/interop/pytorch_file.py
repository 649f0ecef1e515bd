"""PyTorch: a file of `torch.save` with a state dict and what is needed to use it.

It is a dictionary: `state_dict` is for the module in `examples/pytorch_module.py`, and the rest is the metadata of
`charrnn.interop.description`. A file is only read with `weights_only=True`, which runs no code from it.
"""

import io
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

from charrnn.arrays import Array
from charrnn.errors import InputError
from charrnn.interop.description import from_metadata, metadata
from charrnn.interop.packages import optional_package
from charrnn.interop.state_dict import from_state_dict, to_state_dict
from charrnn.messages import quoted, shown
from charrnn.model_file import ModelFile, described_layers
from charrnn.storage.archive import DAMAGE
from charrnn.storage.files import open_regular

STATE_DICT = "state_dict"


def pytorch_file(contents: ModelFile) -> bytes:
    """The content of a file with this model for `torch.load`.

    Raises
    ------
    InputError
        If the model has layers that PyTorch's modules can't express, or the package torch is not installed.
    """
    arrays, torch, file = to_state_dict(contents.model), optional_package("torch"), io.BytesIO()
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    torch.save({STATE_DICT: tensors, **metadata(contents)}, file)
    return file.getvalue()


def read_pytorch(path: str | Path) -> ModelFile | dict[str, Array]:
    """The model in a file that `pytorch_file` made, or the arrays of the state dict in any other one.

    Raises
    ------
    InputError
        If it is not such a file, is damaged, holds objects other than tensors, or the package torch is not installed.
    OSError
        If it can't be read.
    """
    torch = optional_package("torch")
    with open_regular(path) as file:
        content = io.BytesIO(file.read())  # in memory, a damaged offset does not raise an OSError
    try:
        with warnings.catch_warnings(action="ignore"):
            loaded = torch.load(content, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *DAMAGE):
        raise InputError(
            "it is damaged, or holds more than the tensors of a state dict, which is not loaded because it could run "
            "code; save it with torch.save(model.state_dict(), PATH)"
        ) from None
    arrays = {name: _array(name, tensor) for name, tensor in _state_dict(loaded, torch.Tensor).items()}
    if not (isinstance(loaded, dict) and "layers" in loaded):
        return arrays
    about = json.loads(json.dumps({name: value for name, value in loaded.items() if name != STATE_DICT}))
    return from_metadata(about, from_state_dict(described_layers(about), arrays))


def _state_dict(loaded: object, Tensor: type) -> dict[str, Any]:
    """The state dict in what was loaded: its value `state_dict`, or itself, or the only one among its values."""
    values = loaded if isinstance(loaded, dict) else {}
    found = [value for value in (loaded, *values.values()) if _is_state_dict(value, Tensor)]
    if _is_state_dict(values.get(STATE_DICT), Tensor):
        return values[STATE_DICT]
    if len(found) != 1:
        what = f"{len(found)} state dicts" if found else "no state dict, a mapping from names to tensors,"
        raise InputError(f"it has {what} in {quoted(type(loaded).__name__)}; it must have one")
    return found[0]


def _is_state_dict(value: object, Tensor: type) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )


def _array(name: str, tensor: Any) -> Array:
    """A tensor as an array; bfloat16, which NumPy lacks, becomes float32."""
    try:
        return (tensor.float() if tensor.is_floating_point() and tensor.itemsize == 2 else tensor).detach().numpy()
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{shown(name)} is not an array of numbers: {shown(error)}") from None
