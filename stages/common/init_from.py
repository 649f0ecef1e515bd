"""The model file that the hyperparameter `init_from` names."""

import os
from pathlib import Path

from charrnn.errors import InputError
from charrnn.messages import quoted
from stages.common.params import RANDOM_WEIGHTS


def starts_from_model(init_from: str) -> bool:
    """Whether training starts from a model file rather than from random weights."""
    return bool(init_from) and Path(init_from) != Path(RANDOM_WEIGHTS)


def init_path(init_from: str) -> Path | None:
    """The path of the model file that training starts from, or None if it starts from random weights.

    Raises
    ------
    InputError
        If there is no such file.
    """
    if not starts_from_model(init_from):
        return None
    path = Path(init_from)
    if not os.path.exists(path):
        raise InputError(
            f"init_from is {quoted(init_from)}, but there is no such file; {RANDOM_WEIGHTS} starts from random weights"
        )
    return path
