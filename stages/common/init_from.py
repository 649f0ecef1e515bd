"""The model file that the hyperparameter `init_from` names."""

import os
from pathlib import Path

from charrnn.errors import InputError
from charrnn.messages import quoted
from stages.common.params import RANDOM_WEIGHTS


def init_path(init_from: str) -> Path | None:
    """The path of the model file that training starts from, or None if it starts from random weights.

    Raises
    ------
    InputError
        If there is no such file.
    """
    path = Path(init_from)
    if not init_from or path == Path(RANDOM_WEIGHTS):
        return None
    if not os.path.exists(path):
        raise InputError(
            f"init_from is {quoted(init_from)}, but there is no such file; {RANDOM_WEIGHTS} starts from random weights"
        )
    return path
