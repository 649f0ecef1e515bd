"""Decompress a text as a stream, so that memory grows neither with the text nor with its compressed file."""

import bz2
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any
from zipfile import ZipFile

from charrnn.errors import InputError
from charrnn.messages import counted, shown

CHUNK = 1 << 16  # bytes
# No text begins like this: each has a byte that is not in UTF-8 or not in a text or, for bzip2, the digits of pi.
BEGINNINGS = {
    "gzip": re.compile(rb"\x1f\x8b"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    "zip": re.compile(rb"PK(\x03\x04|\x05\x06)"),
}
ENDINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
LONGEST_BEGINNING = 10  # bytes
TAR, TAR_AT = b"ustar", 257  # what marks a tar archive, and its position
ENCRYPTED = 1  # the flag of a file in a zip archive


def decompressed(chunks: Iterator[bytes], folder: str | Path, name: str = "") -> Iterator[bytes]:
    """Yield a file's bytes, decompressed if it is gzip, bzip2, xz, or a zip archive of one file.

    Parameters
    ----------
    chunks
        The bytes of the file, which are read to the end.
    folder
        Where a zip archive is kept, in a temporary file: its list of files is at its end.
    name
        The name of the file. If it ends in .gz, .bz2, .xz or .zip, the file must have that format. Without a name,
        the first bytes alone decide.

    Raises
    ------
    InputError
        If the file is damaged, is a tar archive, or is a zip archive of no file or of several.
    """
    beginning, chunks = _peek(chunks, LONGEST_BEGINNING)
    kind = next((kind for kind, pattern in BEGINNINGS.items() if pattern.match(beginning)), None)
    kind = kind or ENDINGS.get(Path(name).suffix.lower())
    beginning, plain = _peek(_undamaged(kind, chunks, folder) if kind else chunks, TAR_AT + len(TAR))
    if beginning[TAR_AT:].startswith(TAR):
        raise InputError("it is a tar archive; unpack it, and use the folder")
    yield from plain


def _peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, at least `size` of them unless there are fewer, and all chunks, these included."""
    beginning = b""
    for chunk in chunks:
        beginning += chunk
        if len(beginning) >= size:
            break

    def all_chunks() -> Iterator[bytes]:
        yield beginning
        yield from chunks

    return beginning, all_chunks()


def _undamaged(kind: str, chunks: Iterator[bytes], folder: str | Path) -> Iterator[bytes]:
    """Decompress, and turn any error except those of `chunks`, which are InputErrors, into one line."""
    with _copy(chunks, folder) if kind == "zip" else io.BufferedReader(_Stream(chunks), CHUNK) as file:
        try:
            with OPEN[kind](file) as plain:
                while chunk := plain.read(CHUNK):
                    yield chunk
            for _ in chunks:  # `decompressed` reads the file to the end
                pass
        except InputError:
            raise
        except EOFError:
            raise InputError(f"its {kind} data are incomplete") from None
        except Exception as error:  # a damaged zip archive may raise one of any type
            raise InputError(f"it is not valid {kind}: {shown(error)}") from None


def _copy(chunks: Iterator[bytes], folder: str | Path) -> IO[bytes]:
    copy = TemporaryFile(dir=folder)
    for chunk in chunks:
        copy.write(chunk)
    copy.seek(0)
    return copy


def _open_zip(file: IO[bytes]) -> IO[bytes]:
    """Open the only file of a zip archive."""
    archive = ZipFile(file)
    # macOS adds its own files in a folder of this name.
    files = [info for info in archive.infolist() if not info.is_dir() and "__MACOSX/" not in info.filename]
    if len(files) != 1:
        raise InputError(f"it is a zip archive of {counted(len(files), 'file')}; it must contain exactly one")
    if files[0].flag_bits & ENCRYPTED:
        raise InputError("it is a zip archive with a password; unpack it first")
    return archive.open(files[0])


OPEN: dict[str, Callable[[Any], Any]] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open, "zip": _open_zip}


class _Stream(io.RawIOBase):
    """Chunks as a file that can be read once, from beginning to end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size
