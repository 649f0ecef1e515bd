"""Read a page from a web server that may be slow, busy or broken, without waiting for it endlessly."""

import os
import re
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from math import inf
from threading import Thread
from time import monotonic, sleep, time
from typing import Any, TypeVar

import requests
from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3.exceptions import HTTPError

from charrnn.data.credentials import public, without_credentials
from charrnn.errors import InputError
from charrnn.messages import quoted, shown

CHUNK = 1 << 20  # bytes
UNCOMPRESSED = {"Accept-Encoding": "identity"}  # so that Content-Length is the length of the text
BUSY = {429, *range(500, 600)}  # statuses of temporary failures
HTML = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
NO_HTML = "it is an HTML page; a corpus must be plain text"
HTML_WITHIN = 1000  # bytes at the beginning of a page that are searched

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """How long to wait for a server; times are in seconds."""

    tries: int = 4
    pause: float = 0.5  # before the second try; it doubles from try to try
    pauses: float = 60.0  # all of them together, even if the server asks for longer ones
    connect: float = 5.0
    stall: float = 30.0  # a transfer fails if fewer than `stall_bytes` arrive in this time
    stall_bytes: int = 1000
    silent: float = 3.0  # a longer wait is announced


LIMITS = Limits()


@contextmanager
def open_page(
    url: str, announce: Callable[[str], object], limits: Limits = LIMITS
) -> Iterator[tuple[int | None, Iterator[bytes]]]:
    """Yield the size of a page, if the server gives it, and its bytes, decompressed, in chunks.

    `announce` is called with one line, without credentials, when a wait takes longer than `limits.silent`. A password
    for the host is read from ~/.netrc, or from the file that the environment variable NETRC names.

    Raises
    ------
    InputError
        If the server can't be reached or stalls, the reply is not 200 or is HTML, or the body is not complete.
    Exception
        Any other error that Requests or urllib3 raises while the body is read; `reason` describes it.
    """
    watch = _Watch(limits, partial(announce, f"still waiting for {quoted(public(url))}"))
    with requests.Session() as session:
        response = _reply(session, url, watch, announce)
        try:
            kind = response.headers.get("Content-Type", "").lower().strip()
            if kind.startswith(("text/html", "application/xhtml")):
                raise InputError(NO_HTML)
            encoding = response.headers.get("Content-Encoding", "").lower().strip()
            if encoding not in ("", "identity", "gzip", "x-gzip"):
                raise InputError(f"it is compressed with {quoted(encoding)}; only gzip is supported")
            compressed = encoding.endswith("gzip")
            chunks = _gunzipped(_body(response, watch)) if compressed else _body(response, watch)
            yield None if compressed else response.raw.length_remaining, chunks if kind else _not_html(chunks)
        finally:
            _in_background(response.close)  # it waits for a read that was abandoned


def reason(error: Exception, url: str) -> str:
    """Why `url` could not be read, in one line without credentials."""
    if isinstance(error, InputError):
        return str(error)
    cause = _innermost(error)
    text = f"{type(cause).__name__}: {cause}"
    if isinstance(cause, OSError) and cause.strerror:
        text = f"{cause.filename}: {cause.strerror}" if cause.filename else cause.strerror
    elif isinstance(cause, OSError | ValueError | HTTPError):
        text = re.sub(r"^HTTPS?Connection(Pool)?\(.*?\): ", "", str(cause))
    return shown(without_credentials(text, url, _proxy(url) or ""))


def _innermost(error: BaseException) -> BaseException:
    """The error that Requests and urllib3 have wrapped in others."""
    for wrapped in (getattr(error, "reason", None), *error.args):
        if isinstance(wrapped, BaseException):
            return _innermost(wrapped)
    return error


class _Watch:
    """Calls functions that may never return, and abandons them when a transfer stalls."""

    def __init__(self, limits: Limits, announce: Callable[[], object]) -> None:
        self.limits = limits
        self._announce = announce
        self.restart()

    def restart(self) -> None:
        """Start the time limit again."""
        self._until_stalled, self._missing = self.limits.stall, self.limits.stall_bytes
        self._until_announced = self.limits.silent

    def received(self, num_bytes: int) -> None:
        """Record that bytes have arrived."""
        self._missing -= num_bytes
        if self._missing <= 0:
            self.restart()

    def call(self, function: Callable[[], T]) -> T:
        """Return the function's result. A socket's timeout is not enough, because every byte restarts it.

        Raises
        ------
        InputError
            If fewer than `limits.stall_bytes` have arrived in `limits.stall` seconds. The function then continues in
            its thread.
        """
        future = _in_background(function)
        while not future.done():
            started = monotonic()
            wait([future], min(self._until_stalled, self._until_announced))
            elapsed = monotonic() - started
            self._until_stalled -= elapsed
            self._until_announced -= elapsed
            if self._until_announced <= 0:
                self._until_announced = inf
                self._announce()
            if self._until_stalled <= 0 and not future.done():
                few = f"fewer than {self.limits.stall_bytes:,} bytes arrived in {self.limits.stall:g} s"
                raise InputError(f"the server stalls: {few}")
        return future.result()


def _in_background(function: Callable[[], T]) -> Future[T]:
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()  # a pool's threads would keep the program from ending
    return future


class _Unavailable(InputError):
    """A temporary failure; `after` is the number of seconds that the server asks to wait."""

    def __init__(self, why: str, after: float = 0.0) -> None:
        super().__init__(why)
        self.after = after


def _reply(session: requests.Session, url: str, watch: _Watch, announce: Callable[[str], object]) -> requests.Response:
    """The reply with status 200; after a temporary failure, tries again."""
    limits = watch.limits
    pause, left = limits.pause, limits.pauses
    for tries_left in reversed(range(limits.tries)):
        try:
            return _attempt(session, url, watch)
        except _Unavailable as error:
            if not tries_left:
                raise
            delay = max(pause, error.after)
            if delay > left:
                most = f"all pauses together may take at most {limits.pauses:g} s"
                raise InputError(f"{error}; the next try would be in {delay:,.0f} s, but {most}") from None
            if delay > limits.silent:
                announce(f"{quoted(public(url))}: {error}; the next try is in {delay:,.0f} s")
            sleep(delay)
            left -= delay
            pause *= 2
    raise AssertionError("unreachable: the last try returns or raises")


def _attempt(session: requests.Session, url: str, watch: _Watch) -> requests.Response:
    limits = watch.limits
    timeouts = (limits.connect, 2 * limits.stall)  # the second one ends the thread of an abandoned call
    hooks = {"response": _leave_body_of_redirect}
    watch.restart()
    try:
        response = watch.call(
            lambda: session.get(url, stream=True, timeout=timeouts, headers=UNCOMPRESSED, hooks=hooks)
        )
    except InputError:
        raise
    except Exception as error:
        kind = _Unavailable if isinstance(error, requests.ConnectionError | requests.Timeout) else InputError
        raise kind(reason(error, url) + _settings(error, url)) from None
    if response.status_code == 200:
        return response
    response.close()
    why = shown(without_credentials(f"HTTP {response.status_code} {response.reason}", url))
    raise _Unavailable(why, _retry_after(response)) if response.status_code in BUSY else InputError(why)


def _leave_body_of_redirect(response: requests.Response, **options: Any) -> None:
    if response.is_redirect:
        response.close()  # Requests would read all of it, however long it is


def _retry_after(response: requests.Response) -> float:
    """The number of seconds that a server asks to wait; 0 if it asks for none, or not by a number or a date."""
    asked = response.headers.get("Retry-After", "")
    try:
        return float(asked) if asked.isdecimal() else parsedate_to_datetime(asked).timestamp() - time()
    except (ValueError, OverflowError, OSError):  # the last two if the date is out of range
        return 0.0


def _settings(error: Exception, url: str) -> str:
    """The settings of the environment that may have caused an error."""
    proxy = _proxy(url)
    text = f"; the proxy is {quoted(public(proxy))}" if proxy else ""
    if isinstance(error, requests.exceptions.SSLError):
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
        text += f"; the trusted certificates are in {quoted(bundle)}"
    return text


def _proxy(url: str) -> str | None:
    """The proxy that Requests takes from the environment."""
    try:
        return select_proxy(url, get_environ_proxies(url)) if url.lower().startswith("http") else None
    except ValueError:  # the URL is malformed
        return None


def _body(response: requests.Response, watch: _Watch) -> Iterator[bytes]:
    """The bytes of a body as they arrive. urllib3 raises an error if they end too early."""
    while chunk := watch.call(lambda: response.raw.read1(CHUNK, decode_content=False)):
        watch.received(len(chunk))
        yield chunk


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress gzip. Requests would not notice a missing end."""
    member = zlib.decompressobj(wbits=31)  # with the header of gzip
    try:
        for chunk in chunks:
            while chunk:
                if member.eof:
                    member = zlib.decompressobj(wbits=31)
                yield member.decompress(chunk, CHUNK)
                chunk = member.unused_data or member.unconsumed_tail
    except zlib.error as error:
        raise InputError(f"it is not valid gzip: {error}") from None
    if not member.eof:
        raise InputError("its gzip data are incomplete")


def _not_html(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same chunks; raises InputError if they begin like HTML."""
    beginning = b""
    for chunk in chunks:  # some may be empty
        beginning += chunk
        if len(beginning) >= HTML_WITHIN:
            break
    if HTML.match(beginning, 0, HTML_WITHIN):
        raise InputError(NO_HTML)
    yield beginning
    yield from chunks
