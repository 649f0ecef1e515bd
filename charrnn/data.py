"""Fetching the corpus: the first of several sources that holds a readable text, on the web or on this machine."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

from charrnn.corpus import describe
from charrnn.errors import InputError
from charrnn.files import replacing

TIMEOUTS = (5, 30)  # seconds: to connect, and between two pieces of the body
RETRIES = Retry(total=3, backoff_factor=0.5, status_forcelist=range(500, 600), raise_on_status=False)
UNPACKED = {"Accept-Encoding": "identity"}  # so that Content-Length is that of the text
PIECE = 1 << 16  # bytes


def fetch(sources: Sequence[str], destination: str | Path, warn: Callable[[str], None]) -> dict[str, str | int]:
    """Bring the first source that holds a readable text to `destination`, whole or not at all.

    Parameters
    ----------
    sources
        Each an http:// or https:// URL, a file:// URL, or a path.
    warn
        Called with one line for each source that failed and is followed by another.

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
            warn(f"can't read {failures[-1]}; trying {source}")
        try:
            with replacing(destination) as temporary:
                _copy(source, temporary)
                about, _ = describe(temporary, name="the text")
            return {"source": source, **about}
        except ValueError as error:  # an InputError, or what urllib says of a malformed URL or path
            failures.append(f"{source}: {error}")
    raise InputError("\n  ".join(["data_url: no source could be read", *failures]))


def _copy(source: str, destination: Path) -> None:
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        _download(source, destination)
    elif parts.scheme == "file":
        _copy_file(url2pathname(parts.path), destination)
    elif len(parts.scheme) <= 1:  # none, or the drive letter of a Windows path
        _copy_file(source, destination)
    else:
        raise InputError(f"{parts.scheme}:// is not supported; a source is an http, https or file URL, or a path")


def _copy_file(path: str, destination: Path) -> None:
    try:
        source = open(path, "rb")
    except OSError as error:
        raise InputError(error.strerror) from None
    with source, open(destination, "wb") as target:
        shutil.copyfileobj(source, target)


def _download(url: str, destination: Path) -> None:
    with requests.Session() as session, open(destination, "wb") as target:
        session.mount("http://", HTTPAdapter(max_retries=RETRIES))
        session.mount("https://", HTTPAdapter(max_retries=RETRIES))
        try:
            with session.get(url, stream=True, timeout=TIMEOUTS, headers=UNPACKED) as response:
                if not response.ok:
                    raise InputError(f"HTTP {response.status_code} {response.reason}")
                size = response.headers.get("Content-Length", "")
                total = int(size) if size.isdecimal() else None
                # disable=None: no bar where the output is not a terminal
                with tqdm(total=total, unit="B", unit_scale=True, desc="download", disable=None) as bar:
                    for piece in response.iter_content(PIECE):
                        target.write(piece)
                        bar.update(len(piece))
        except requests.RequestException as error:
            raise InputError(_reason(error)) from None


def _reason(error: requests.RequestException) -> str:
    """What went wrong, without the layers of exceptions around it."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUTS[0]} s to connect or {TIMEOUTS[1]} s to read"
    cause = error.args[0] if error.args else error
    cause = getattr(cause, "reason", cause)  # urllib3 wraps what ended the last retry
    text = str(cause.args[0] if getattr(cause, "args", ()) else cause)
    return re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): ", "", text)
