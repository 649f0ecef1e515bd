"""Import an optional package, or say how to install it."""

from importlib import import_module
from typing import Any

from charrnn.errors import InputError

EXTRAS = {"onnx": "export", "safetensors": "export", "torch": "pytorch"}  # of pyproject.toml


def optional_package(name: str) -> Any:
    """The package of this name, or one of its modules, such as `onnx` or `safetensors.numpy`.

    Raises
    ------
    InputError
        If it is not installed.
    """
    package = name.partition(".")[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        install = f"python -m pip install -e '.[{EXTRAS[package]}]'"
        raise InputError(f"the package {package} is not installed; `{install}` installs it") from None
