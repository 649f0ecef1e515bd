"""The model file: everything needed to use a trained model, in one .npz archive without pickles.

It holds an array for each named parameter, and under `description` a JSON text with the layers, the vocabulary, the
hyperparameters, and what identifies the training text. Equal models give byte-identical files. The checkpoint of an
unfinished run holds the same description, so its model can be used too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np

from charrnn.errors import InputError
from charrnn.layers import GRU, LSTM, Dense, Embedding, LastStep, Layer, SimpleRNN, TiedDense
from charrnn.messages import counted, quoted, shown
from charrnn.models import Model
from charrnn.network import parameter_count
from charrnn.preprocessing import TextVectorizer, model_description, stored_vectorizer
from charrnn.storage.archive import (
    CHECKPOINT_FORMAT,
    DAMAGE,
    MODEL_FORMAT,
    damaged,
    read_archive,
    write_archive,
)
from charrnn.training import best_epoch

DTYPES = ("float32", "float64")
LAYERS: tuple[type[Layer], ...] = (Embedding, SimpleRNN, GRU, LSTM, Dense, TiedDense, LastStep)


@dataclass(frozen=True)
class ModelFile:
    """The contents of a model file: model, vocabulary, hyperparameters, and what identifies the training text.

    Attributes
    ----------
    init_sha256
        The SHA-256 of the model file that training started from; None if it started from random weights.
    unfinished
        Which weights these are, in words, if they are from the checkpoint of an unfinished run; else empty.
    """

    model: Model
    vectorizer: TextVectorizer
    params: Mapping[str, Any]
    data: Mapping[str, Any]
    init_sha256: str | None = None
    unfinished: str = ""


def save_model(path: str | Path, contents: ModelFile) -> None:
    """Write a model file atomically.

    Raises
    ------
    OSError
        If it can't be written.
    """
    write_archive(path, MODEL_FORMAT, describe(contents), dict(contents.model.named_parameters()))


def load_model(path: str | Path, own_layers: Sequence[type[Layer]] = ()) -> ModelFile:
    """Read a model file, or the best weights of a checkpoint; `own_layers` are your own layer classes in it.

    Raises
    ------
    InputError
        If the file is neither, is damaged, has another format version or parameters that are not finite, or
        contains an unknown layer or layers that do not make a model. The model that is returned can evaluate,
        predict and generate.
    OSError
        If it can't be read.
    """
    description, arrays = read_archive(path, MODEL_FORMAT, CHECKPOINT_FORMAT)
    try:
        unfinished = ""
        if description["format"] == CHECKPOINT_FORMAT:
            arrays, unfinished = _best_weights(description["now"], arrays)
        return from_description(model_description(description), arrays, own_layers, unfinished)
    except InputError as error:
        raise InputError(f"{shown(path)}: {error}") from None
    except DAMAGE as error:
        raise InputError(damaged(path, error)) from None


def _best_weights(now: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], str]:
    """The best parameters in a checkpoint as one vector, and which ones they are."""
    if now["history"]:
        epoch = best_epoch(now["history"])["epoch"]
        return {"parameters": arrays["best_parameters"]}, f"its best weights, from epoch {epoch:d}"
    return {"parameters": arrays["parameters"]}, f"its weights after {counted(now['batch'], 'batch')} of epoch 1"


def describe(contents: ModelFile) -> dict[str, Any]:
    """Everything but the parameters, as values that JSON can hold."""
    description = {
        "dtype": contents.model.dtype.name,
        "layers": [describe_layer(layer) for layer in contents.model.layers],
        "vocabulary": contents.vectorizer.vocabulary,
        "params": dict(contents.params),
        "data": dict(contents.data),
    }
    return description | ({"init_sha256": contents.init_sha256} if contents.init_sha256 else {})


def described_layers(description: Mapping[str, Any], own_layers: Sequence[type[Layer]] = ()) -> list[Layer]:
    """The layers of a description; raises InputError or one of `DAMAGE` if it is not one that `describe` makes."""
    known: dict[str, type[Layer]] = {layer.__name__: layer for layer in (*LAYERS, *own_layers)}
    return [_layer(described, known) for described in description["layers"]]


def from_description(
    description: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    own_layers: Sequence[type[Layer]] = (),
    unfinished: str = "",
) -> ModelFile:
    """The model with this description and these parameters, which are copied.

    If it is from an unfinished run, the parameters are one vector, called "parameters".

    Raises
    ------
    InputError
        As in `load_model`; or one of `DAMAGE`, if the description is not one that `describe` makes or lacks an array.
    """
    if description["dtype"] not in DTYPES:
        raise InputError(f"the dtype is {quoted(description['dtype'])}; it must be one of {', '.join(DTYPES)}")
    vectorizer = stored_vectorizer(description)
    layers = described_layers(description, own_layers)
    size, stored_size = parameter_count(layers), sum(array.size for array in arrays.values())
    if size != stored_size:
        raise InputError(f"there are {stored_size} parameters; the layers need {quoted(size)}")
    model = Model.from_parameters(layers, np.empty(size, description["dtype"]))
    for name, view in [("parameters", model.parameters)] if unfinished else model.named_parameters():
        stored = arrays[name]
        if (stored.dtype, stored.shape) != (view.dtype, view.shape):
            raise InputError(
                f"{name} has dtype {shown(stored.dtype)} and shape {shown(stored.shape)}; "
                f"its layer needs {view.dtype} and {view.shape}"
            )
        view[...] = stored
    if not layers[0].input_dim == layers[-1].output_dim == vectorizer.vocabulary_size:
        characters = counted(vectorizer.vocabulary_size, "character")
        raise InputError(f"the vocabulary has {characters}; the layers do not fit it")
    if not np.isfinite(model.parameters).all():
        raise InputError("some parameters are not finite")
    init_sha256 = description.get("init_sha256")
    if not isinstance(init_sha256, str | None):
        raise InputError(f"its init_sha256 is {quoted(init_sha256)}; it must be a text")
    params, data = _mapping(description, "params"), _mapping(description, "data")
    return ModelFile(model, vectorizer, params, data, init_sha256, unfinished)


def _mapping(description: Mapping[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(description[name], dict):
        raise InputError(f"its {name} are {quoted(description[name])}; they must be a mapping")
    return description[name]


def describe_layer(layer: Any) -> dict[str, Any]:
    """The class and the fields of a layer, except defaults and initializers, which a stored model does not need."""
    values = {field.name: getattr(layer, field.name) for field in fields(layer)}
    defaults = {field.name: field.default for field in fields(layer)}
    stored = {name: value for name, value in values.items() if not callable(value) and value != defaults[name]}
    return {"class": type(layer).__name__, **stored}


def _layer(description: dict[str, Any], known: Mapping[str, type[Layer]]) -> Layer:
    name, settings = description["class"], {key: value for key, value in description.items() if key != "class"}
    if name not in known:
        raise InputError(f"unknown layer {quoted(name)}; it must be one of {', '.join(known)}")
    for field in fields(cast(Any, known[name])):
        if callable(field.default) and field.name in settings:
            raise InputError(f"{name}: {field.name} is {quoted(settings[field.name])}; a file can't store it")
    return known[name](**settings)
