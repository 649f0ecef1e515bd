"""Read and vectorize text files of any size, chunk by chunk, so that memory does not grow with the file."""

import codecs
import hashlib
import io
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import InputError
from charrnn.messages import quoted, shown
from charrnn.preprocessing import TextVectorizer
from charrnn.storage.files import atomic_write

CHUNK = 1 << 20  # bytes read at a time
BYTE_ORDER_MARK = "\ufeff"
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def read_text(path: str | Path | int, name: str | None = None) -> Iterator[str]:
    """Yield the text of a UTF-8 file in chunks, with its line ends unchanged, but without a byte-order mark.

    The path may be the descriptor of an open file. Error messages call the file `name`, by default its path.

    Raises
    ------
    InputError
        If the file is not UTF-8; the message names the byte offset.
    OSError
        If the file can't be read.
    """
    return decoded(_chunks(path, str(name or path)), str(name or path))


def describe(path: str | Path) -> tuple[dict[str, Any], TextVectorizer]:
    """Read a corpus once, and return what identifies it and the vectorizer of all its characters.

    It is identified by the `sha256` and size in `bytes` of the file, and its number of `characters`.

    Raises
    ------
    InputError
        If the file is not a regular file or not UTF-8, or has fewer than two different characters, from which nothing
        can be learned.
    OSError
        If the file can't be read.
    """
    require_regular(path)
    return describe_chunks(_chunks(path, str(path)), str(path))


def describe_chunks(chunks: Iterable[bytes], name: str) -> tuple[dict[str, Any], TextVectorizer]:
    """The same as `describe` for the bytes of a corpus, which error messages call `name`."""
    digest, num_bytes, num_characters = hashlib.sha256(), 0, 0

    def hashed() -> Iterator[bytes]:
        nonlocal num_bytes
        for chunk in chunks:
            digest.update(chunk)
            num_bytes += len(chunk)
            yield chunk

    def counted() -> Iterator[str]:
        nonlocal num_characters
        for text in decoded(hashed(), name):
            num_characters += len(text)
            yield text
        if not num_characters:
            raise InputError(f"{shown(name)} is empty; a corpus must have characters")

    vectorizer = TextVectorizer.fit(counted())
    if vectorizer.vocabulary_size < 2:
        only = f"no character but {quoted(vectorizer.vocabulary)}"
        raise InputError(f"{shown(name)} has {only}; a corpus must have at least two different ones")
    return {"sha256": digest.hexdigest(), "bytes": num_bytes, "characters": num_characters}, vectorizer


def require_regular(path: str | Path, name: str | None = None) -> None:
    """Check that a path leads to a regular file, which, unlike a pipe, has an end and can be read twice.

    Raises
    ------
    InputError
        If it leads to something else. The message calls it `name`, by default its path.
    OSError
        If the path does not exist.
    """
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind != stat.S_IFREG:
        raise InputError(
            f"{name or shown(path)} is {KINDS.get(kind, 'a special file')}; a corpus must be a regular file"
        )


def _chunks(path: str | Path | int, name: str) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        error.filename = name  # a failed read does not set it
        raise


def decoded(chunks: Iterable[bytes], name: str) -> Iterator[str]:
    """Decode the chunks of a text, as `read_text` does; error messages call it `name`."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    offset, at_start = 0, True
    for chunk in chain(chunks, [b""]):
        pending = len(decoder.getstate()[0])  # bytes of a character that began in the previous chunk
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            position = offset - pending + error.start
            raise InputError(f"{shown(name)} is not UTF-8: {error.reason} at byte {position}") from None
        yield text.removeprefix(BYTE_ORDER_MARK) if at_start else text
        at_start = at_start and not text
        offset += len(chunk)


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
    return InputError(f"{shown(path)} has changed since its characters were counted; try again")
