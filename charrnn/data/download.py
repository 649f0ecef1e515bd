"""Fetch the corpus from the first of several sources, on the web or on disk, that has a readable text."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from charrnn.data.corpus import describe
from charrnn.errors import InputError
from charrnn.storage.files import atomic_write

TIMEOUTS = (5, 30)  # seconds: to connect, and between two chunks of the body
RETRIES = Retry(total=3, backoff_factor=0.5, status_forcelist=range(500, 600), raise_on_status=False)
UNCOMPRESSED = {"Accept-Encoding": "identity"}  # so that Content-Length is the length of the text
CHUNK = 1 << 16  # bytes
LONGEST_REASON = 500  # characters


def fetch(
    sources: Sequence[str], destination: str | Path, warn: Callable[[str], None], max_mb: float = inf
) -> dict[str, str | int]:
    """Copy the first source that has a readable text to `destination`, atomically.

    Parameters
    ----------
    sources
        Each an http:// or https:// URL, a file:// URL, or a path.
    warn
        Called with one line for each source that fails if there is another one to try.
    max_mb
        Size limit in millions of bytes. A larger source fails as soon as its size is known.

    Returns
    -------
    dict
        `source`, `sha256`, `bytes` and `characters` of the text.

    Raises
    ------
    InputError
        If no source could be read, with the reason for each.
    OSError
        If `destination` can't be written.
    """
    failures: list[str] = []
    for source in sources:
        if failures:
            warn(f"can't read {failures[-1]}; trying {source!r}")
        try:
            with atomic_write(destination) as file:
                _copy(source, file, max_mb)
                file.seek(0)
                about, _ = describe(os.dup(file.fileno()), name="the text")
            return {"source": source, **about}
        except ValueError as error:  # an InputError, or urllib's error about a malformed URL or path
            failures.append(f"{source!r}: {_line(error)}")
    raise InputError(f"data_url: no source could be read: {'; '.join(failures)}")


def _line(error: ValueError) -> str:
    """The printable characters of an error, on one line: a server may answer with anything."""
    return "".join(c if c.isprintable() else " " for c in str(error))[:LONGEST_REASON]


def _copy(source: str, target: BinaryIO, max_mb: float) -> None:
    size = 0
    for chunk in _chunks(source, max_mb):
        size += len(chunk)
        _require_at_most(max_mb, size)
        target.write(chunk)


def _chunks(source: str, max_mb: float) -> Iterator[bytes]:
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        return _page_chunks(source, max_mb)
    if parts.scheme == "file":
        return _file_chunks(url2pathname(parts.path), max_mb)
    if len(parts.scheme) <= 1:  # none, or the drive letter of a Windows path
        return _file_chunks(source, max_mb)
    raise InputError(f"{parts.scheme}:// is not supported; a source is an http, https or file URL, or a path")


def _file_chunks(path: str, max_mb: float) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            _require_at_most(max_mb, os.fstat(file.fileno()).st_size)
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise InputError(error.strerror) from None


def _page_chunks(url: str, max_mb: float) -> Iterator[bytes]:
    with requests.Session() as session:
        session.mount("http://", HTTPAdapter(max_retries=RETRIES))
        session.mount("https://", HTTPAdapter(max_retries=RETRIES))
        try:
            with session.get(url, stream=True, timeout=TIMEOUTS, headers=UNCOMPRESSED) as response:
                if not response.ok:
                    raise InputError(f"HTTP {response.status_code} {response.reason}")
                if response.headers.get("Content-Type", "").lower().startswith("text/html"):
                    raise InputError("it is an HTML page; a corpus must be plain text")
                size = response.headers.get("Content-Length", "")
                total = int(size) if size.isdecimal() else None
                _require_at_most(max_mb, total or 0)
                # disable=None: no bar where the output is not a terminal
                with tqdm(total=total, unit="B", unit_scale=True, desc="download", disable=None) as bar:
                    for chunk in response.iter_content(CHUNK):
                        yield chunk
                        bar.update(len(chunk))
        except requests.RequestException as error:
            raise InputError(_reason(error)) from None


def _require_at_most(max_mb: float, size: int) -> None:
    if size > max_mb * 1e6:
        raise InputError(f"it is larger than {max_mb:g} MB, the limit that max_corpus_mb sets")


def _reason(error: requests.RequestException) -> str:
    """The cause of the error, without the exceptions that wrap it."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUTS[0]} s to connect or {TIMEOUTS[1]} s to read"
    cause = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)  # urllib3 wraps what ended the last retry
    text = str(cause.args[0] if getattr(cause, "args", ()) else cause)
    return re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): ", "", text)
