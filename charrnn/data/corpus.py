"""Text files of any size, read and vectorized piece by piece so that memory does not grow with them."""

import codecs
import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import InputError
from charrnn.preprocessing import TextVectorizer
from charrnn.storage.files import atomic_write

PIECE = 1 << 20  # bytes read at a time


def read_text(
    path: str | Path | int, name: str | None = None, on_piece: Callable[[bytes], object] | None = None
) -> Iterator[str]:
    """The text of a UTF-8 file in pieces, line ends as they are. Errors call the file `name`, or by its path.
    An open file's descriptor may stand for its path.

    `on_piece` is called with the bytes of each piece before they are decoded; the last piece is empty.

    Raises
    ------
    InputError
        If the file is not UTF-8; it names the byte offset.
    OSError
        If the file can't be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    for piece in chain(_pieces(path, str(name or path)), [b""]):
        if on_piece:
            on_piece(piece)
        pending = len(decoder.getstate()[0])  # bytes of a character that the piece before has begun
        try:
            yield decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            position = offset - pending + error.start
            raise InputError(f"{name or path} is not UTF-8: {error.reason} at byte {position}") from None
        offset += len(piece)


def _pieces(path: str | Path | int, name: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except OSError as error:
        error.filename = name  # which a failed read does not tell
        raise


def describe(path: str | Path, name: str | None = None) -> tuple[dict[str, Any], TextVectorizer]:
    """What one reading tells of a corpus: how to know it again, and the vectorizer of all its characters.

    The former is the `sha256` and size in `bytes` of the file, and its `characters`. Errors call the file `name`, or by
    its path.

    Raises
    ------
    InputError
        If the file is not UTF-8, or has fewer than two different characters, of which there is nothing to learn.
    OSError
        If the file can't be read.
    """
    digest, num_bytes, num_characters = hashlib.sha256(), 0, 0

    def hash_and_count(piece: bytes) -> None:
        nonlocal num_bytes
        digest.update(piece)
        num_bytes += len(piece)

    def counted(pieces: Iterator[str]) -> Iterator[str]:
        nonlocal num_characters
        for piece in pieces:
            num_characters += len(piece)
            yield piece
        if not num_characters:
            raise InputError(f"{name or path} is empty; a corpus must have characters")

    vectorizer = TextVectorizer.fit(counted(read_text(path, name, hash_and_count)))
    if vectorizer.vocabulary_size < 2:
        only = f"no character but {vectorizer.vocabulary!r}"
        raise InputError(f"{name or path} has {only}; a corpus must have at least two different ones")
    return {"sha256": digest.hexdigest(), "bytes": num_bytes, "characters": num_characters}, vectorizer


def vectorize(path: str | Path, vectorizer: TextVectorizer, parts: Sequence[tuple[Path, int]]) -> None:
    """Write the ids of a text file into consecutive .npy files: `parts` gives the path and the length of each.

    The lengths must add up to the number of characters in the file.
    """
    pieces = (vectorizer.encode(piece) for piece in read_text(path))
    ids = np.empty(0, vectorizer.dtype)
    for part_path, length in parts:
        with atomic_write(part_path) as temporary, open(temporary, "wb") as file:
            header = {"descr": vectorizer.dtype.str, "fortran_order": False, "shape": (length,)}
            np.lib.format.write_array_header_1_0(file, header)
            while length:
                if not len(ids):
                    ids = next(pieces)
                file.write(ids[:length].tobytes())
                written = min(length, len(ids))
                ids, length = ids[written:], length - written
