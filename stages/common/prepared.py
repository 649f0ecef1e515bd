"""The prepared text that later stages read: ids, vocabulary, and the hash and split of the corpus."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import InputError
from charrnn.preprocessing import TextVectorizer, code_points
from charrnn.storage.archive import DAMAGE
from stages.common.metrics_files import write_json


def write_vocabulary(path: Path, vectorizer: TextVectorizer, data: Mapping[str, Any]) -> None:
    """Write vocabulary.json; `data` is the hash of the corpus and how it was split."""
    write_json(path, {"vocabulary": vectorizer.vocabulary, **data})


def read_vocabulary(path: Path) -> tuple[TextVectorizer, dict[str, Any]]:
    """The vectorizer, and the hash and split of the corpus.

    Raises
    ------
    InputError
        If the file is damaged.
    OSError
        If it can't be read.
    """
    with _damage_named(path):
        contents = json.loads(path.read_text(encoding="utf-8"))
        code_points(contents["vocabulary"])
        return TextVectorizer(contents.pop("vocabulary")), contents


def read_ids(path: Path) -> np.ndarray:
    """The ids of the training, validation or test text, as a memory map; raises the errors of `read_vocabulary`."""
    with _damage_named(path):
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(ids, np.ndarray) or ids.ndim != 1 or ids.dtype.kind != "u":
            raise ValueError("it has no array of ids")
        return ids


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise InputError(f"{path} is damaged ({error}); run `python -m stages.prepare` again") from None
