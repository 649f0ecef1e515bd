"""The model file: everything that using a trained model needs, in one .npz archive without pickles.

It holds one array for each named parameter, and under `description` a JSON text with the layers, the vocabulary, the
hyperparameters, and what tells the training text from others. Equal models make equal files, byte for byte.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import InputError
from charrnn.files import replacing
from charrnn.gru import GRU
from charrnn.layers import Dense, Embedding, LastStep, TiedDense
from charrnn.lstm import LSTM
from charrnn.models import Layer, Model, parameter_count
from charrnn.preprocessing import TextVectorizer
from charrnn.simple_rnn import SimpleRNN

FORMAT = 1
DESCRIPTION = "description"
# What NumPy, zipfile and json raise for files that are cut, altered or something else.
DAMAGE = (ValueError, KeyError, TypeError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile)
LAYERS = (Embedding, SimpleRNN, GRU, LSTM, Dense, TiedDense, LastStep)


@dataclass(frozen=True)
class ModelFile:
    """What a model file holds: the model and its vocabulary, and the hyperparameters and text it was trained with."""

    model: Model
    vectorizer: TextVectorizer
    params: Mapping[str, Any]
    data: Mapping[str, Any]


def save_model(path: str | Path, contents: ModelFile) -> None:
    """Write a model file, whole or not at all.

    Raises
    ------
    OSError
        If it can't be written.
    """
    description = {
        "format": FORMAT,
        "dtype": contents.model.dtype.name,
        "layers": [_describe(layer) for layer in contents.model.layers],
        "vocabulary": contents.vectorizer.vocabulary,
        "params": dict(contents.params),
        "data": dict(contents.data),
    }
    arrays = {DESCRIPTION: np.array(json.dumps(description)), **dict(contents.model.named_parameters())}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load_model(path: str | Path, own_layers: Sequence[type[Layer]] = ()) -> ModelFile:
    """Read a model file; `own_layers` names the layer classes that the library does not know.

    Raises
    ------
    InputError
        If the file is not a model file, or needs a layer that is not known.
    OSError
        If it can't be read.
    """
    known = {layer.__name__: layer for layer in (*LAYERS, *own_layers)}
    try:
        with np.load(path, allow_pickle=False) as archive:
            description = json.loads(archive[DESCRIPTION].item())
            if description["format"] != FORMAT:
                raise InputError(f"{path} has format {description['format']}; this version reads format {FORMAT}")
            layers = [_layer(d, known, path) for d in description["layers"]]
            model = Model.from_parameters(layers, np.empty(parameter_count(layers), description["dtype"]))
            for name, view in model.named_parameters():
                stored = archive[name]
                if stored.shape != view.shape:
                    raise InputError(f"{path}: {name} has shape {stored.shape}; its layer needs {view.shape}")
                view[...] = stored
            vectorizer = TextVectorizer(description["vocabulary"])
            if not layers[0].input_dim == layers[-1].output_dim == vectorizer.vocabulary_size:
                raise InputError(
                    f"{path}: the vocabulary has {vectorizer.vocabulary_size} characters; its layers differ"
                )
            return ModelFile(model, vectorizer, description["params"], description["data"])
    except InputError:
        raise
    except DAMAGE as error:
        reason = str(error).partition(". ")[0]  # NumPy goes on with advice to trust the file
        raise InputError(f"{path} is not a charrnn model file, or is damaged ({reason})") from None


def _describe(layer: Layer) -> dict[str, Any]:
    """The class and the plain fields of a layer, defaults left out, and initializers, which have done their work."""
    values = {field.name: getattr(layer, field.name) for field in fields(layer)}
    defaults = {field.name: field.default for field in fields(layer)}
    told = {name: value for name, value in values.items() if not callable(value) and value != defaults[name]}
    return {"class": type(layer).__name__, **told}


def _layer(description: dict[str, Any], known: Mapping[str, type[Layer]], path: str | Path) -> Layer:
    name = description.pop("class")
    if name not in known:
        raise InputError(f"{path} has a layer {name!r}; known are {', '.join(known)}")
    return known[name](**description)
