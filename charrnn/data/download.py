"""Fetch the corpus from the first of several sources, on the web or on disk, that has readable texts."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tqdm import tqdm

from charrnn.data.compression import decompressed
from charrnn.data.corpus import decoded, describe_chunks, require_regular
from charrnn.data.sources import files, is_compressed, is_same_file, is_url, public_name
from charrnn.data.web import LIMITS, Limits, open_page, reason
from charrnn.errors import InputError
from charrnn.messages import quoted, shown
from charrnn.storage.files import atomic_write

CHUNK = 1 << 16  # bytes
COMPRESSED_EXCESS_MB = 1  # a compressed file may exceed the size limit of its text by this much

Sources = Sequence[str | Sequence[str]]


def fetch(
    sources: Sources,
    destination: str | Path,
    warn: Callable[[str], object],
    announce: Callable[[str], object],
    max_mb: float = inf,
    limits: Limits = LIMITS,
    separator: str = "\n",
    expected_sha256: str = "",
    record: Callable[[dict[str, Any]], object] = lambda about: None,
) -> dict[str, Any]:
    """Copy the first source that has a readable text to `destination`, atomically.

    A text is UTF-8; it may be compressed with gzip, bzip2 or xz, or be the only file of a zip archive. A byte-order
    mark at its beginning is left out. Memory does not grow with the texts.

    Parameters
    ----------
    sources
        Each an http:// or https:// URL, a file:// URL, or a path: of a file, of a folder of texts, or of a glob
        (`charrnn.data.sources.files`). A sequence of these is one source: all its texts, joined.
    warn
        Called with one line for each source that fails if there is another one to try.
    announce
        Called with one line about each wait of more than a few seconds.
    max_mb
        Size limit in millions of bytes, of all the texts of a source together and decompressed. A larger source fails
        as soon as its size is known.
    limits
        How long to wait for a web server.
    separator
        What is inserted between two texts that are joined.
    expected_sha256
        The SHA-256 that the text must have, in hexadecimal digits; a source with another one fails. Empty allows any.
    record
        Called with the return value, just before the new file replaces `destination`.

    Returns
    -------
    dict
        `source`, `sha256`, `bytes` and `characters` of the text that was written, and a list of its `files`: the
        `name`, `sha256` and `bytes` of each as it is, perhaps compressed. No name and no message has credentials.

    Raises
    ------
    InputError
        If no source could be read, with the reason for each, or `destination` is not a regular file.
    OSError
        If `destination` can't be written.
    """
    if os.path.exists(destination):
        require_regular(destination)  # opening a pipe would block
    failures: list[str] = []
    for source in sources:
        parts = [source] if isinstance(source, str) else source
        name = " + ".join(map(public_name, parts))
        if failures:
            warn(f"can't read {failures[-1]}; trying {quoted(name)}")
        reading = _Reading(parts, Path(destination), announce, max_mb, limits)
        try:
            with atomic_write(destination) as file:
                text, _ = describe_chunks(_saved(reading.joined(separator), file), name="the text")
                if expected_sha256 and text["sha256"] != expected_sha256.lower():
                    raise InputError(f"its SHA-256 is {text['sha256']}, but data_sha256 is {shown(expected_sha256)}")
                about = {"source": name, **text, "files": reading.files}
                record(about)
            return about
        except InputError as error:  # an OSError is about the destination
            failures.append(f"{quoted(name)}: {error}")
    raise InputError(f"data_url: no source could be read: {'; '.join(failures)}")


@dataclass
class _Reading:
    """One attempt to read a source, which may have several parts, each with several files."""

    parts: Sequence[str]
    destination: Path
    announce: Callable[[str], object]
    max_mb: float
    limits: Limits
    files: list[dict[str, Any]] = field(default_factory=list)  # those that have been read to the end

    def joined(self, separator: str) -> Iterator[bytes]:
        """Yield all texts with the separator between them; raises InputError once they exceed the limit together."""
        size = 0
        for chunk in self._texts(separator.encode()):
            size += len(chunk)
            _require_at_most(self.max_mb, size)
            yield chunk

    def _texts(self, separator: bytes) -> Iterator[bytes]:
        for part in self.parts:
            try:
                names = files(part, excluded=self.destination)
            except InputError as error:
                raise InputError(self._blamed(part, error)) from None
            for name in names:
                if self.files:
                    yield separator
                try:
                    yield from self._text(name)
                except InputError as error:
                    raise InputError(self._blamed(name, error)) from None

    def _blamed(self, name: str, error: InputError) -> str:
        """The text of an error, with the name of the file if it is not that of the source."""
        return str(error) if list(self.parts) == [name] else f"{quoted(public_name(name))}: {error}"

    def _text(self, name: str) -> Iterator[bytes]:
        """Yield the text of a file, decompressed and without a byte-order mark, and note the file in `files`."""
        digest, size = sha256(), 0

        def hashed() -> Iterator[bytes]:
            nonlocal size
            for chunk in _readable(name, self._chunks(name)):
                digest.update(chunk)
                size += len(chunk)
                _require_at_most(self.max_mb, size, COMPRESSED_EXCESS_MB)
                yield chunk

        if is_same_file(name, self.destination):
            raise InputError("it is the file that the corpus is copied to; move the text elsewhere")
        of_file = "" if is_url(name) else name  # a server may have decompressed what a URL names
        plain = decompressed(hashed(), self.destination.parent, of_file)
        yield from (text.encode() for text in decoded(plain, "the text"))
        self.files.append({"name": public_name(name), "sha256": digest.hexdigest(), "bytes": size})

    def _chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file as they are; raises InputError at once if its size is known and too large."""
        check_size = partial(
            _require_at_most, self.max_mb, excess_mb=COMPRESSED_EXCESS_MB if is_compressed(name) else 0
        )
        if not is_url(name):
            yield from _file_chunks(os.path.expanduser(name), check_size)
            return
        url = urlsplit(name)
        if url.scheme in ("http", "https"):
            yield from _page_chunks(name, self.announce, self.limits, check_size)
        elif url.scheme == "file":
            if url.netloc.lower() not in ("", "localhost"):
                raise InputError("the host of a file URL must be empty or localhost")
            if url.query or url.fragment:
                raise InputError(
                    "a file URL can't have a query or a fragment; write a ? in the path as %3F, a # as %23"
                )
            yield from _file_chunks(url2pathname(url.path), check_size)
        else:
            scheme = shown(url.scheme)
            raise InputError(f"{scheme}:// is not supported; a source must be an http, https or file URL, or a path")


def _readable(source: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same chunks, and turn any error in reading them into an InputError."""
    try:
        yield from chunks
    except Exception as error:
        raise InputError(reason(error, source)) from None


def _saved(chunks: Iterable[bytes], file: BinaryIO) -> Iterator[bytes]:
    for chunk in chunks:
        file.write(chunk)
        yield chunk


def _file_chunks(path: str, check_size: Callable[[int], None]) -> Iterator[bytes]:
    try:
        require_regular(path, "it")
        with open(path, "rb") as file:
            check_size(os.fstat(file.fileno()).st_size)
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise InputError(error.strerror) from None  # without the path, which is named anyway


def _page_chunks(
    url: str, announce: Callable[[str], object], limits: Limits, check_size: Callable[[int], None]
) -> Iterator[bytes]:
    with open_page(url, announce, limits) as (size, chunks):
        check_size(size or 0)
        # disable=None: no bar where the output is not a terminal
        with tqdm(total=size, unit="B", unit_scale=True, desc="download", disable=None) as bar:
            for chunk in chunks:
                yield chunk
                bar.update(len(chunk))


def _require_at_most(max_mb: float, size: int, excess_mb: float = 0) -> None:
    if size > (max_mb + excess_mb) * 1e6:
        raise InputError(f"it is larger than {max_mb:g} MB, the limit that max_corpus_mb sets")
