"""Read and vectorize text files of any size, chunk by chunk, so that memory does not grow with the file."""

import codecs
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import InputError
from charrnn.preprocessing import TextVectorizer
from charrnn.storage.files import atomic_write

CHUNK = 1 << 20  # bytes read at a time


def read_text(
    path: str | Path | int, name: str | None = None, on_chunk: Callable[[bytes], object] | None = None
) -> Iterator[str]:
    """Yield the text of a UTF-8 file in chunks, with its line ends unchanged.

    The path may be the descriptor of an open file. Error messages call the file `name`, by default its path. `on_chunk`
    is called with the bytes of each chunk before they are decoded; the last chunk is empty.

    Raises
    ------
    InputError
        If the file is not UTF-8; the message names the byte offset.
    OSError
        If the file can't be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset = 0
    for chunk in chain(_chunks(path, str(name or path)), [b""]):
        if on_chunk:
            on_chunk(chunk)
        pending = len(decoder.getstate()[0])  # bytes of a character that began in the previous chunk
        try:
            yield decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            position = offset - pending + error.start
            raise InputError(f"{name or path} is not UTF-8: {error.reason} at byte {position}") from None
        offset += len(chunk)


def _chunks(path: str | Path | int, name: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        error.filename = name  # a failed read does not set it
        raise


def describe(path: str | Path | int, name: str | None = None) -> tuple[dict[str, Any], TextVectorizer]:
    """Read a corpus once, and return what identifies it and the vectorizer of all its characters.

    It is identified by the `sha256` and size in `bytes` of the file, and its number of `characters`. Error messages
    call the file `name`, by default its path.

    Raises
    ------
    InputError
        If the file is not UTF-8, or has fewer than two different characters, from which nothing can be learned.
    OSError
        If the file can't be read.
    """
    digest, num_bytes, num_characters = hashlib.sha256(), 0, 0

    def hash_and_count(chunk: bytes) -> None:
        nonlocal num_bytes
        digest.update(chunk)
        num_bytes += len(chunk)

    def counted(chunks: Iterator[str]) -> Iterator[str]:
        nonlocal num_characters
        for chunk in chunks:
            num_characters += len(chunk)
            yield chunk
        if not num_characters:
            raise InputError(f"{name or path} is empty; a corpus must have characters")

    vectorizer = TextVectorizer.fit(counted(read_text(path, name, hash_and_count)))
    if vectorizer.vocabulary_size < 2:
        only = f"no character but {vectorizer.vocabulary!r}"
        raise InputError(f"{name or path} has {only}; a corpus must have at least two different ones")
    return {"sha256": digest.hexdigest(), "bytes": num_bytes, "characters": num_characters}, vectorizer


def vectorize(path: str | Path, vectorizer: TextVectorizer, parts: Sequence[tuple[Path, int]]) -> list[str]:
    """Write the ids of a text file into consecutive .npy files: `parts` gives the path and the length of each.

    The lengths must add up to the number of characters in the file. Returns the SHA-256 of each file written.

    Raises
    ------
    InputError
        If the text has another length, or a character that the vectorizer does not know.
    OSError
        If a file can't be read or written.
    """
    chunks = filter(len, map(vectorizer.encode, read_text(path)))
    ids, hashes = np.empty(0, vectorizer.dtype), []
    for part_path, length in parts:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": vectorizer.dtype.str, "fortran_order": False, "shape": (length,)}
        )
        digest = hashlib.sha256(header.getvalue())
        with atomic_write(part_path) as file:
            file.write(header.getvalue())
            while length:
                if not len(ids):
                    ids = next(chunks, ids)
                if not len(ids):
                    raise _changed(path)
                piece = ids[:length].tobytes()
                digest.update(piece)
                file.write(piece)
                written = min(length, len(ids))
                ids, length = ids[written:], length - written
        hashes.append(digest.hexdigest())
    if len(ids) or any(True for _ in chunks):
        raise _changed(path)
    return hashes


def _changed(path: str | Path) -> InputError:
    return InputError(f"{path} has changed since its characters were counted; try again")
