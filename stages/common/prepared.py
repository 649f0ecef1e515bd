"""The prepared text that later stages read: ids, vocabulary, and the hash and split of the corpus."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import InputError
from charrnn.messages import shown
from charrnn.preprocessing import TextVectorizer, code_points
from charrnn.storage.archive import DAMAGE, read_array_header
from charrnn.storage.files import open_regular
from stages.common.metrics_files import write_json
from stages.common.paths import Paths, made_by_earlier_stages

HASHED = "_sha256"  # vocabulary.json has the hash of each part under its name with this suffix


@dataclass(frozen=True)
class PreparedText:
    """The vocabulary of a prepared text, what identifies the text in a model, and the hashes of its parts."""

    paths: Paths
    vectorizer: TextVectorizer
    data: Mapping[str, Any]
    hashes: Mapping[str, str]

    def ids(self, part: str) -> np.ndarray:
        """The ids of the training, validation or test text, as a memory map.

        Raises
        ------
        InputError
            If the file is missing or damaged, or does not belong to this vocabulary.
        OSError
            If it can't be read.
        """
        path = self.paths.part(part)
        with _problems_named(path), open_regular(path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.hashes[part]:
                raise ValueError(f"it is not the file that was written with {self.paths.vocabulary.name}")
            file.seek(0)
            shape, dtype = read_array_header(file, "the array")
            if len(shape) != 1 or dtype.kind != "u":
                raise ValueError("it has no array of ids")
            return np.memmap(file, dtype, "r", file.tell(), shape)


def write_vocabulary(
    path: Path, vectorizer: TextVectorizer, data: Mapping[str, Any], hashes: Mapping[str, str]
) -> None:
    """Write vocabulary.json; `data` is the hash of the corpus and how it was split, `hashes` are those of the parts."""
    write_json(
        path, {"vocabulary": vectorizer.vocabulary, **data, **{part + HASHED: value for part, value in hashes.items()}}
    )


def read_prepared(paths: Paths) -> PreparedText:
    """Read the vocabulary and the hashes of the prepared text. `PreparedText.ids` reads and checks the ids.

    Raises
    ------
    InputError
        If vocabulary.json is missing or damaged.
    OSError
        If it can't be read.
    """
    with _problems_named(paths.vocabulary):
        with open_regular(paths.vocabulary) as file:
            contents = json.loads(file.read().decode())
        hashes = {part: contents.pop(part + HASHED) for part in ("train", "validation", "test")}
        code_points(contents["vocabulary"])
        return PreparedText(paths, TextVectorizer(contents.pop("vocabulary")), contents, hashes)


@contextlib.contextmanager
def _problems_named(path: Path) -> Iterator[None]:
    with made_by_earlier_stages():
        try:
            yield
        except DAMAGE as error:
            raise InputError(f"{path} is damaged ({shown(error)}); run `python -m stages.prepare` again") from None
