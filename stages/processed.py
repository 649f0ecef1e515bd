"""What `prepare` leaves for later stages: ids, and the vocabulary with the hash of the text they come from."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from charrnn.errors import InputError
from charrnn.preprocessing import TextVectorizer
from stages.files import write_json


def write_vocabulary(path: Path, vectorizer: TextVectorizer, corpus_sha256: str) -> None:
    """Write vocabulary.json."""
    write_json(path, {"vocabulary": vectorizer.vocabulary, "corpus_sha256": corpus_sha256})


def read_vocabulary(path: Path) -> tuple[TextVectorizer, str]:
    """The vectorizer and the SHA-256 of the corpus.

    Raises
    ------
    InputError
        If the file is damaged.
    OSError
        If it can't be read.
    """
    with _damage_named(path):
        contents = json.loads(path.read_text(encoding="utf-8"))
        return TextVectorizer(contents["vocabulary"]), contents["corpus_sha256"]


def read_ids(path: Path) -> np.ndarray:
    """The ids of one part of the text, as a memory map; raises as `read_vocabulary` does."""
    with _damage_named(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} is missing; run the stages before this one first, or `dvc repro`") from None
    except (ValueError, TypeError, KeyError, EOFError) as error:
        raise InputError(f"{path} is damaged ({error}); run `python -m stages.prepare` again") from None
