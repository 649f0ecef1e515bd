"""Fetch the corpus from the first of several sources, on the web or on disk, that has a readable text."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tqdm import tqdm

from charrnn.data.corpus import describe_chunks, require_regular
from charrnn.data.credentials import public
from charrnn.data.web import LIMITS, Limits, open_page, reason
from charrnn.errors import InputError
from charrnn.messages import quoted, shown
from charrnn.storage.files import atomic_write

CHUNK = 1 << 16  # bytes


def fetch(
    sources: Sequence[str],
    destination: str | Path,
    warn: Callable[[str], object],
    announce: Callable[[str], object],
    max_mb: float = inf,
    limits: Limits = LIMITS,
) -> dict[str, Any]:
    """Copy the first source that has a readable text to `destination`, atomically.

    Parameters
    ----------
    sources
        Each an http:// or https:// URL, a file:// URL, or the path of a regular file.
    warn
        Called with one line for each source that fails if there is another one to try.
    announce
        Called with one line about each wait of more than a few seconds.
    max_mb
        Size limit in millions of bytes. A larger source fails as soon as its size is known.
    limits
        How long to wait for a web server.

    Returns
    -------
    dict
        `source`, `sha256`, `bytes` and `characters` of the text. Neither `source` nor any message has credentials.

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
        name = quoted(public(source))
        if failures:
            warn(f"can't read {failures[-1]}; trying {name}")
        try:
            with atomic_write(destination) as file:
                chunks = _readable(source, _chunks(source, announce, max_mb, limits), max_mb)
                about, _ = describe_chunks(_saved(chunks, file), name="the text")
            return {"source": public(source), **about}
        except InputError as error:  # an OSError is about the destination
            failures.append(f"{name}: {error}")
    raise InputError(f"data_url: no source could be read: {'; '.join(failures)}")


def _readable(source: str, chunks: Iterator[bytes], max_mb: float) -> Iterator[bytes]:
    """Yield the same chunks, and turn any error in reading them into an InputError."""
    size = 0
    try:
        for chunk in chunks:
            size += len(chunk)
            _require_at_most(max_mb, size)
            yield chunk
    except Exception as error:
        raise InputError(reason(error, source)) from None


def _saved(chunks: Iterable[bytes], file: BinaryIO) -> Iterator[bytes]:
    for chunk in chunks:
        file.write(chunk)
        yield chunk


def _chunks(source: str, announce: Callable[[str], object], max_mb: float, limits: Limits) -> Iterator[bytes]:
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        yield from _page_chunks(source, announce, max_mb, limits)
    elif parts.scheme == "file":
        if parts.netloc.lower() not in ("", "localhost"):
            raise InputError("the host of a file URL must be empty or localhost")
        if parts.query or parts.fragment:
            raise InputError("a file URL can't have a query or a fragment; write a ? in the path as %3F, a # as %23")
        yield from _file_chunks(url2pathname(parts.path), max_mb)
    elif len(parts.scheme) <= 1:  # none, or the drive letter of a Windows path
        yield from _file_chunks(source, max_mb)
    else:
        scheme = shown(parts.scheme)
        raise InputError(f"{scheme}:// is not supported; a source must be an http, https or file URL, or a path")


def _file_chunks(path: str, max_mb: float) -> Iterator[bytes]:
    try:
        require_regular(path, "it")
        with open(path, "rb") as file:
            _require_at_most(max_mb, os.fstat(file.fileno()).st_size)
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise InputError(error.strerror) from None  # without the path, which is named anyway


def _page_chunks(url: str, announce: Callable[[str], object], max_mb: float, limits: Limits) -> Iterator[bytes]:
    with open_page(url, announce, limits) as (size, chunks):
        _require_at_most(max_mb, size or 0)
        # disable=None: no bar where the output is not a terminal
        with tqdm(total=size, unit="B", unit_scale=True, desc="download", disable=None) as bar:
            for chunk in chunks:
                yield chunk
                bar.update(len(chunk))


def _require_at_most(max_mb: float, size: int) -> None:
    if size > max_mb * 1e6:
        raise InputError(f"it is larger than {max_mb:g} MB, the limit that max_corpus_mb sets")
