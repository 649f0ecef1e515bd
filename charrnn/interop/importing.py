"""Import a model from the file of another tool."""

from pathlib import Path

import numpy as np

from charrnn.arrays import Array
from charrnn.errors import InputError
from charrnn.interop.description import from_metadata
from charrnn.interop.inferred import infer
from charrnn.interop.onnx_file import read_onnx
from charrnn.interop.pytorch_file import read_pytorch
from charrnn.interop.safetensors_file import read_safetensors
from charrnn.interop.state_dict import NONLINEARITIES
from charrnn.messages import counted, quoted, shown
from charrnn.model_file import ModelFile, describe_layer
from charrnn.storage.archive import DAMAGE

READERS = {
    ".onnx": read_onnx,
    ".safetensors": read_safetensors,
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), read_pytorch),
}


def import_model(path: str | Path, vocabulary: str | None = None, nonlinearity: str | None = None) -> ModelFile:
    """The model in an ONNX, PyTorch or safetensors file.

    Parameters
    ----------
    vocabulary
        The characters in the order of their ids, for a file that charrnn did not write. Such a file must hold the
        state dict of a network as `charrnn.interop.inferred` describes it.
    nonlinearity
        That of an nn.RNN, "tanh" (the default) or "relu", also for such a file.

    Raises
    ------
    InputError
        If the file holds anything else, does not fit the vocabulary, or the package that reads it is not installed.
    OSError
        If it can't be read.

    >>> trained = import_model("char_rnn.pt", vocabulary="\\n abc")
    >>> save_model("char_rnn.npz", trained)
    """
    if nonlinearity not in (None, *NONLINEARITIES):
        allowed = " or ".join(NONLINEARITIES)
        raise InputError(f"nonlinearity is {quoted(nonlinearity)}; it must be {allowed}")
    reader = READERS.get(Path(path).suffix.lower())
    if reader is None:
        raise InputError(f"{shown(path)}: the name of a file to import must end in one of {', '.join(READERS)}")
    try:
        read = reader(path)
        return _complete(read, vocabulary, nonlinearity)
    except InputError as error:
        raise InputError(f"{shown(path)}: {error}") from None
    except DAMAGE as error:
        raise InputError(f"{shown(path)} is damaged ({shown(error)})") from None


def _complete(read: ModelFile | dict[str, Array], vocabulary: str | None, nonlinearity: str | None) -> ModelFile:
    """The model that was read, or the one that has these arrays."""
    if isinstance(read, ModelFile):
        for name, given in {"vocabulary": vocabulary, "nonlinearity": nonlinearity}.items():
            if given is not None:
                raise InputError(f"charrnn wrote this file, so its {name} is known and can't be given")
        return read
    if vocabulary is None:
        raise InputError("it has no vocabulary; give one with --vocabulary")
    floats = {name: array for name, array in read.items() if array.dtype.kind == "f"}
    dtype = np.result_type(np.float32, *floats.values())
    layers, parameters = infer(read | {name: array.astype(dtype) for name, array in floats.items()}, nonlinearity)
    if len(vocabulary) != layers[0].input_dim:
        characters = counted(len(vocabulary), "character")
        raise InputError(f"it knows {counted(layers[0].input_dim, 'character')}, but the vocabulary has {characters}")
    about = {
        "dtype": dtype.name,
        "layers": [describe_layer(layer) for layer in layers],
        "vocabulary": list(vocabulary),
        "params": {},
        "data": {},
    }
    return from_metadata(about, parameters)
