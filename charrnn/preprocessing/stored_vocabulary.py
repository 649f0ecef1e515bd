"""The vocabulary of a model file or a checkpoint, read without its network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charrnn.errors import InputError
from charrnn.messages import shown
from charrnn.preprocessing.vectorizer import TextVectorizer, code_points
from charrnn.storage.archive import CHECKPOINT_FORMAT, DAMAGE, MODEL_FORMAT, damaged, read_archive


def read_vectorizer(path: str | Path) -> TextVectorizer:
    """The vectorizer of the model in a model file or a checkpoint.

    Raises
    ------
    InputError
        If the file is neither, or is damaged.
    OSError
        If it can't be read.
    """
    description, _ = read_archive(path, MODEL_FORMAT, CHECKPOINT_FORMAT)
    try:
        return stored_vectorizer(model_description(description))
    except InputError as error:
        raise InputError(f"{shown(path)}: {error}") from None
    except DAMAGE as error:
        raise InputError(damaged(path, error)) from None


def model_description(description: Mapping[str, Any]) -> Mapping[str, Any]:
    """The description of the model: that of a model file, or a part of that of a checkpoint."""
    return description["model"] if description["format"] == CHECKPOINT_FORMAT else description


def stored_vectorizer(description: Mapping[str, Any]) -> TextVectorizer:
    """The vectorizer of a model with this description; raises InputError or one of DAMAGE if there can be none."""
    vocabulary = description["vocabulary"]
    code_points(vocabulary)
    return TextVectorizer(vocabulary)
