"""What the files for other tools say about a model beside its weights: values that any JSON parser understands."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from charrnn.interop.vocabulary import as_vocabulary
from charrnn.model_file import ModelFile, describe, from_description


def metadata(contents: ModelFile) -> dict[str, Any]:
    """Dtype, layers, vocabulary, params and data. The vocabulary is a list of characters: id 0 is the first one.

    Not every language counts a character such as 🙂 as one when it indexes a text. PyTorch would store a number of
    NumPy's as an object that is not loaded with `weights_only=True`, so all values are those of a JSON text.
    """
    return json.loads(json.dumps(describe(contents) | {"vocabulary": list(contents.vectorizer.vocabulary)}))


def from_metadata(metadata: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> ModelFile:
    """The model with this metadata and these parameters, under charrnn's names; raises as `from_description`."""
    vocabulary = as_vocabulary(metadata["vocabulary"], "its vocabulary")
    return from_description({**metadata, "vocabulary": vocabulary}, arrays)
