"""What exported files hold besides the weights of a model: values that any JSON parser understands."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from charrnn.interop.vocabulary import as_vocabulary
from charrnn.model_file import ModelFile, describe, from_description


def metadata(contents: ModelFile) -> dict[str, Any]:
    """Dtype, layers, vocabulary, params and data. The vocabulary is a list of characters: id 0 is the first one.

    It is a list because some languages count a character such as 🙂 as two when they index a text. All values are those
    that JSON has, because PyTorch does not load NumPy's numbers with `weights_only=True`.
    """
    return json.loads(json.dumps(describe(contents) | {"vocabulary": list(contents.vectorizer.vocabulary)}))


def from_metadata(metadata: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> ModelFile:
    """The model with this metadata and these parameters, by charrnn's names; raises as `from_description`."""
    vocabulary = as_vocabulary(metadata["vocabulary"], "its vocabulary")
    return from_description({**metadata, "vocabulary": vocabulary}, arrays)
