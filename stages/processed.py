"""What `prepare` leaves for later stages: ids, the vocabulary, and what tells these data from others."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import InputError
from charrnn.preprocessing import TextVectorizer
from stages.files import write_json


def write_vocabulary(path: Path, vectorizer: TextVectorizer, data: Mapping[str, Any]) -> None:
    """Write vocabulary.json; `data` is the hash of the corpus and how it was split."""
    write_json(path, {"vocabulary": vectorizer.vocabulary, **data})


def read_vocabulary(path: Path) -> tuple[TextVectorizer, dict[str, Any]]:
    """The vectorizer and the data, as they were written.

    Raises
    ------
    InputError
        If the file is damaged.
    OSError
        If it can't be read.
    """
    with _damage_named(path):
        contents = json.loads(path.read_text(encoding="utf-8"))
        return TextVectorizer(contents.pop("vocabulary")), contents


def read_ids(path: Path) -> np.ndarray:
    """The ids of one part of the text, as a memory map; raises as `read_vocabulary` does."""
    with _damage_named(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, EOFError) as error:
        raise InputError(f"{path} is damaged ({error}); run `python -m stages.prepare` again") from None
