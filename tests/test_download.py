"""Fetching a corpus: from this machine, and from a web server that misbehaves in every way it can."""

import base64
import contextlib
import errno
import gzip
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from email.utils import formatdate
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import pytest

from charrnn.data import download
from charrnn.data import web as web_module
from charrnn.data.download import fetch
from charrnn.data.web import LIMITS, Limits
from charrnn.errors import InputError
from tests.stage_project import ENVIRONMENT, call, set_up

TEXT = "Ein Käse für 3 €\r\n".encode()
SHORT = Limits(pause=0.0, stall=0.3, silent=60)  # for servers that never answer
PATIENT = Limits(pause=0.0, stall=60, silent=60)  # for those that do, on a machine however busy
ABOUT = {"sha256": hashlib.sha256(TEXT).hexdigest(), "bytes": 22, "characters": 18}


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path_factory):
    """No proxy, certificate or password of this machine."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path_factory.mktemp("home") / "netrc"))


@pytest.fixture
def web():
    """A server: `web.pages` maps a path to a function that answers, `web.hits` counts the requests for each path."""
    web = SimpleNamespace(pages={}, hits=Counter(), closing=threading.Event())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            web.hits[self.path] += 1
            web.pages[self.path](self)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        web.url = f"http://127.0.0.1:{server.server_port}"
        server.closing = web.closing
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield web
        web.closing.set()
        server.shutdown()
        thread.join()


@pytest.fixture(params=[None, b"old"], ids=["new", "existing"])
def destination(request, tmp_path):
    """A file in a folder of its own; failures must leave it as it was, whether it is there or not."""
    path = tmp_path / "raw" / "input.txt"
    if request.param:
        path.parent.mkdir()
        path.write_bytes(request.param)
    return path


def answer(handler, status=200, body=TEXT, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def page(web, **response):
    web.pages["/page"] = partial(answer, **response)
    return f"{web.url}/page"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*")}


def fetch_quietly(sources, destination, **options):
    """Fetch; any message fails the test."""
    return fetch(sources, destination, **{"warn": pytest.fail, "announce": pytest.fail, "limits": PATIENT} | options)


def fetched(source, destination):
    """Fetch a good source, and return what `fetch` reports about it."""
    about = fetch_quietly([source], destination)
    assert contents(destination.parent) == {destination.name: TEXT}
    return without_files(about)


def without_files(about):
    """What `fetch` reports about a single uncompressed file, which its list of files repeats."""
    (of_file,) = about.pop("files")
    assert of_file == {"name": about["source"], "sha256": about["sha256"], "bytes": about["bytes"]}
    return about


def reason(source, destination, *, shown_as=None, **options):
    """Fetch a bad source, and return why that failed."""
    before = contents(destination.parent)
    with pytest.raises(InputError) as caught:
        fetch_quietly([source], destination, **options)
    assert contents(destination.parent) == before
    (line,) = str(caught.value).splitlines()
    headline = f"data_url: no source could be read: {(shown_as or source)!r}: "
    assert line.startswith(headline)
    return line.removeprefix(headline)


@pytest.mark.parametrize("headers", [{}, {"Content_Length": "22"}], ids=["until the end", "of known length"])
def test_a_page_is_copied_byte_for_byte(web, destination, headers):
    url = page(web, **headers)
    assert fetched(url, destination) == {"source": url, **ABOUT}
    assert web.hits == {"/page": 1}


def test_a_compressed_page_is_decompressed(web, destination):
    body = gzip.compress(TEXT)
    url = page(web, body=body, Content_Encoding="gzip", Content_Length=str(len(body)))
    assert fetched(url, destination) == {"source": url, **ABOUT}


def test_gzip_may_consist_of_several_members_and_arrive_byte_by_byte():
    body = gzip.compress(TEXT) + gzip.compress(TEXT * 100_000)
    for size in (1, 7, 1000, len(body)):
        pieces = web_module._gunzipped(iter([body[i : i + size] for i in range(0, len(body), size)]))
        assert b"".join(pieces) == TEXT * 100_001


@pytest.mark.parametrize("end", [0, 5, 30, -9, -8, -1], ids=["nothing", "header", "data", "all data", "check", "size"])
def test_gzip_that_is_cut_short_is_an_error(web, destination, end):
    body = gzip.compress(TEXT)[:end]
    for length in ({}, {"Content_Length": str(len(body))}):
        url = page(web, body=body, Content_Encoding="gzip", **length)
        assert reason(url, destination) == "its gzip data are incomplete"


def test_a_gzip_whose_checksum_is_wrong_is_an_error(web, destination):
    body = bytearray(gzip.compress(TEXT))
    body[-8] ^= 1
    url = page(web, body=bytes(body), Content_Encoding="x-gzip")
    assert "incorrect data check" in reason(url, destination)


def test_another_compression_is_refused_by_name(web, destination):
    why = reason(page(web, Content_Encoding="br\x1b[31m"), destination)
    assert why == r"it is compressed with 'br\x1b[31m'; only gzip is supported".replace(r"\\", "\\")


def test_compression_is_declined_so_that_the_length_is_that_of_the_text(web, destination):
    accepted = []

    def compress_if_accepted(handler):
        accepted.append(handler.headers["Accept-Encoding"])
        compressed = dict(body=gzip.compress(TEXT), Content_Encoding="gzip")
        answer(handler, **compressed if "gzip" in accepted[0] else {})

    web.pages["/page"] = compress_if_accepted
    fetched(f"{web.url}/page", destination)
    assert accepted == ["identity"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_followed(web, destination, status):
    page(web)
    web.pages["/old"] = partial(answer, status=status, body=b"moved", Location="/page")
    assert fetched(f"{web.url}/old", destination) == {"source": f"{web.url}/old", **ABOUT}
    assert web.hits == {"/old": 1, "/page": 1}


def test_circular_redirects_are_an_error(web, destination):
    why = reason(page(web, status=302, Location="/page"), destination)
    assert why == "Exceeded 30 redirects."
    assert web.hits == {"/page": 31}


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/text?token=SECRET"])
def test_a_redirect_to_another_scheme_is_an_error(web, destination, location):
    why = reason(page(web, status=302, Location=location), destination)
    assert why.startswith("No connection adapters were found for '") and "SECRET" not in why


def test_the_body_of_a_redirect_is_not_read(web, destination):
    def redirect(handler):
        answer(handler, status=302, body=b"", Location="/page")
        with contextlib.suppress(OSError):  # the reader has gone
            while not web.closing.wait(0.001):
                handler.wfile.write(b"x" * 1000)

    page(web)
    web.pages["/old"] = redirect
    assert fetched(f"{web.url}/old", destination)["characters"] == 18


@pytest.mark.parametrize("status", [201, 203, 204, 206, 299, 300, 304, 302, 399])
def test_any_status_but_200_is_an_error(web, destination, status):
    headers = {"Content_Range": "bytes 0-21/100"} if status == 206 else {}
    assert reason(page(web, status=status, **headers), destination).startswith(f"HTTP {status}")
    assert web.hits == {"/page": 1}


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_the_server_refuses_is_not_tried_again(web, destination, status):
    assert f"HTTP {status}" in reason(page(web, status=status), destination)
    assert web.hits == {"/page": 1}


def test_whatever_a_server_answers_is_reported_in_one_line(web, destination):
    web.pages["/page"] = lambda handler: handler.wfile.write(
        b"HTTP/1.0 404 two\rlines \x1b[31m" + b"x" * 5000 + b"\r\n\r\n"
    )
    line = r"HTTP 404 two\rlines \x1b[31m" + "x" * 5000
    assert reason(f"{web.url}/page", destination) == line[:200] + "..."


@pytest.mark.parametrize("status", [500, 503])
def test_a_passing_error_of_the_server_is_waited_out(web, destination, status):
    web.pages["/page"] = lambda handler: answer(handler, status if web.hits["/page"] <= 2 else 200)
    assert fetched(f"{web.url}/page", destination)["characters"] == 18
    assert web.hits == {"/page": 3}


def test_a_connection_dropped_before_the_answer_is_tried_again(web, destination):
    web.pages["/page"] = lambda handler: answer(handler) if web.hits["/page"] > 1 else None
    assert fetched(f"{web.url}/page", destination)["characters"] == 18
    assert web.hits == {"/page": 2}


def test_a_lasting_error_of_the_server_is_named(web, destination):
    assert "HTTP 500" in reason(page(web, status=500), destination)
    assert web.hits == {"/page": LIMITS.tries}


def test_a_refused_connection_is_named(destination):
    with socket.socket() as not_listening:
        not_listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{not_listening.getsockname()[1]}/"
        assert "refused" in reason(url, destination)


def test_half_a_body_is_an_error(web, destination):
    why = reason(page(web, Content_Length="100"), destination)
    assert why.count("22 bytes read, 78 more expected") == 1


def test_a_body_that_cannot_be_decompressed_is_an_error(web, destination):
    why = reason(page(web, Content_Encoding="gzip"), destination)
    assert why == "it is not valid gzip: Error -3 while decompressing data: incorrect header check"


@pytest.mark.parametrize("length", ["many", "-5", "22, 22", "9" * 5000])
def test_an_invalid_content_length_is_ignored(web, destination, length):
    url = page(web, Content_Length=length)
    assert fetched(url, destination) == {"source": url, **ABOUT}


def trickle(handler):
    while not handler.server.closing.wait(0.01):
        handler.wfile.write(b"x")


def fall_silent(handler):
    handler.server.closing.wait()


@pytest.mark.parametrize("go_on", [trickle, fall_silent])
@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"HTTP/1.0 200 OK\r\nServer: ",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;",
        b"HTTP/1.0 302 Found\r\nLocation: /page\r\nServer: ",
    ],
    ids=["status", "header", "body", "chunk", "redirect"],
)
def test_a_server_that_falls_silent_or_trickles_is_an_error(web, destination, beginning, go_on):
    def answer_slowly(handler):
        with contextlib.suppress(OSError):  # the reader has gone
            handler.wfile.write(beginning)
            go_on(handler)

    web.pages["/page"] = answer_slowly
    why = reason(f"{web.url}/page", destination, limits=SHORT)
    assert why == "the server stalls: fewer than 1,000 bytes arrived in 0.3 s"
    assert web.hits["/page"] <= 1


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves by 20 s whenever the code under test waits for a call, and never otherwise."""
    clock = SimpleNamespace(now=0.0)

    def in_background(function):
        end = clock.now + 20
        return SimpleNamespace(done=lambda: clock.now >= end, result=function)

    def wait(futures, timeout):
        clock.now += min(timeout, 20)

    monkeypatch.setattr(web_module, "monotonic", lambda: clock.now)
    monkeypatch.setattr(web_module, "_in_background", in_background)
    monkeypatch.setattr(web_module, "wait", wait)
    return clock


def received(watch, *sizes):
    for size in sizes:
        assert watch.call(lambda size=size: size) == size
        watch.received(size)


def test_a_slow_but_steady_transfer_is_no_error(clock):
    watch = web_module._Watch(Limits(stall=50, stall_bytes=5, silent=1e9), announce=pytest.fail)
    received(watch, 3, 2, 1, 4, 5, 0, 5)  # 5 bytes in at most 40 s
    with pytest.raises(InputError, match="fewer than 5 bytes arrived in 50 s"):
        received(watch, 2, 2, 9)  # 4 bytes in 40 s, and nothing in the next 10
    assert clock.now == 7 * 20 + 50


def test_a_wait_is_announced_when_it_has_become_long(clock):
    said = []
    watch = web_module._Watch(Limits(stall=1e9, silent=30), announce=lambda: said.append(clock.now))
    received(watch, 1, 1, 1, 5000, 1, 1, 1)
    assert said == [30, 120]  # and again after the bytes that arrived in between


def test_a_wait_is_announced(web, destination):
    """The server answers as soon as the wait for it has been announced."""
    said = []
    announced = threading.Event()
    web.pages["/page?key=SECRET"] = lambda handler: answer(handler) if announced.wait(60) else None

    def announce(message):
        said.append(message)
        announced.set()

    url = f"{web.url}/page?key=SECRET"
    limits = Limits(stall=60.0, silent=0.05)
    assert fetch([url], destination, warn=pytest.fail, announce=announce, limits=limits)["characters"] == 18
    assert set(said) == {f"still waiting for '{web.url}/page?key=***'"}


def test_html_is_recognised_after_empty_chunks():
    with pytest.raises(InputError, match="HTML"):
        list(web_module._not_html(iter([b"", b"<ht", b"", b"ml>"])))
    assert b"".join(web_module._not_html(iter([b"", b"text", b"", b" and more"]))) == b"text and more"


@pytest.fixture
def slept(monkeypatch):
    """How long the code under test would have slept between two tries."""
    slept = []
    monkeypatch.setattr(web_module, "sleep", slept.append)
    return slept


def test_the_pauses_between_tries_double(web, destination, slept):
    assert reason(page(web, status=500), destination, limits=LIMITS) == "HTTP 500 Internal Server Error"
    assert slept == [0.5, 1.0, 2.0]
    assert sum(slept) < LIMITS.pauses


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_may_ask_for_a_longer_pause(web, destination, slept, status):
    web.pages["/page"] = lambda handler: (
        answer(handler, status, Retry_After="40") if web.hits["/page"] == 1 else answer(handler)
    )
    said = []
    url = f"{web.url}/page"
    fetch([url], destination, warn=pytest.fail, announce=said.append, limits=Limits(silent=39))
    assert slept == [40.0]
    (line,) = said
    assert line.startswith(f"'{url}': HTTP {status} ") and line.endswith("; the next try is in 40 s")


@pytest.mark.parametrize(
    ("asked", "seconds", "pauses"),
    [
        ("100000", "100,000", []),
        ("61", "61", []),
        ("9" * 5000, "inf", []),
        ("31", "31", [31.0]),  # twice is longer than the limit
        (formatdate(4e9, usegmt=True), None, []),
    ],
)
def test_a_server_that_asks_for_too_long_a_pause_is_an_error(web, destination, slept, asked, seconds, pauses):
    url = page(web, status=503, Retry_After=asked)
    why = reason(url, destination, limits=Limits(silent=60), announce=lambda message: None)
    assert why.startswith(f"HTTP 503 Service Unavailable; the next try would be in {seconds or ''}")
    assert why.endswith(" s, but all pauses together may take at most 60 s")
    assert slept == pauses


@pytest.mark.parametrize("asked", ["soon", "-5", "", "Thu, 99 Foo 2026 99:99:99 GMT", formatdate(0)])
def test_a_pause_that_makes_no_sense_is_ignored(web, destination, slept, asked):
    reason(page(web, status=503, Retry_After=asked), destination, limits=LIMITS)
    assert slept == [0.5, 1.0, 2.0]


def test_the_default_limits_are_reasonable():
    assert 2 <= LIMITS.tries <= 10
    assert 1 <= LIMITS.silent <= 5 <= LIMITS.connect + 1 <= LIMITS.stall <= LIMITS.pauses <= 120


@pytest.mark.parametrize(
    "body, why",
    [
        (b"", "the text is empty; a corpus must have characters"),
        (b"x", "the text has no character but 'x'; a corpus must have at least two different ones"),
        (b"caf\xe9 noir", "the text is not UTF-8: invalid continuation byte at byte 3"),
        (b"caf\xc3", "the text is not UTF-8: unexpected end of data at byte 3"),
        ("café".encode("utf-16"), "the text is not UTF-8: invalid start byte at byte 0"),
    ],
)
def test_what_is_not_a_text_is_refused(web, destination, tmp_path, body, why):
    assert reason(page(web, body=body), destination) == why
    path = tmp_path / "local.txt"
    path.write_bytes(body)
    assert reason(str(path), destination) == why


@pytest.mark.parametrize("name", ["plain.txt", "two words.txt", "100%25 #1?.txt", "Größe.txt"])
def test_paths_and_file_urls_are_read(tmp_path, destination, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(TEXT)
    monkeypatch.chdir(tmp_path)
    for source in (name, str(path), path.as_uri(), path.as_uri().replace("file://", "file://LocalHost")):
        assert fetched(source, destination) == {"source": source, **ABOUT}


@pytest.mark.parametrize(
    "source, why",
    [
        ("nowhere.txt", "No such file or directory"),
        ("file:///nowhere.txt", "No such file or directory"),
        ("folder", "it is a folder; a corpus must be a regular file"),
        ("file://example.org/etc/hostname", "the host of a file URL must be empty or localhost"),
        ("file://localhost:80/etc/hostname", "the host of a file URL must be empty or localhost"),
        ("ftp://127.0.0.1/text", "ftp:// is not supported; a source must be an http, https or file URL, or a path"),
        ("s3://bucket/text", "s3:// is not supported; a source must be an http, https or file URL, or a path"),
        ("http://", "No host supplied"),
        pytest.param(
            "/proc/self/mem",
            "Input/output error",
            marks=pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a Linux file that opens but fails"),
        ),
    ],
)
def test_a_source_that_cannot_be_read_is_named(tmp_path, destination, monkeypatch, source, why):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert why in reason(source, destination)


@pytest.mark.parametrize(
    "source",
    [
        "http://[::1",
        "http://two..dots/",
        "nul\0character",
        "two\nlines",
        "lone\ud800",
        "http://h:99999/",
        "://",
        " ",
    ],
    ids=["IPv6", "host", "nul", "newline", "surrogate", "port", "scheme", "space"],
)
def test_a_malformed_source_is_an_error_like_any_other(destination, source):
    assert reason(source, destination)


@pytest.mark.parametrize("end", ["?x", "#x"])
def test_a_file_url_has_nothing_after_its_path(destination, tmp_path, end):
    (tmp_path / "local.txt").write_bytes(TEXT)
    url = (tmp_path / "local.txt").as_uri() + end
    why = reason(url, destination, shown_as=url[:-1] + "***")
    assert why == "a file URL can't have a query or a fragment; write a ? in the path as %3F, a # as %23"


@pytest.mark.parametrize(
    "content_type", ["text/html", "text/html; charset=utf-8", " TEXT/HTML", "application/xhtml+xml"]
)
def test_an_html_page_is_refused(web, destination, content_type):
    url = page(web, body=b"<html>Sign in to read this</html>", Content_Type=content_type)
    assert reason(url, destination) == "it is an HTML page; a corpus must be plain text"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"<HTML lang=en><body>Sign in",
        b"<!doctype html>",
        b"\xef\xbb\xbf\r\n \t<!DOCTYPE\nHtml PUBLIC>",
        b" " * 900 + b"<html>" + b"x" * 10**6,
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Content_Type": ""}, {"Content_Encoding": "gzip"}])
def test_html_without_a_content_type_is_recognised(web, destination, body, headers):
    url = page(web, body=gzip.compress(body) if "Content_Encoding" in headers else body, **headers)
    assert reason(url, destination) == "it is an HTML page; a corpus must be plain text"


@pytest.mark.parametrize("size", [1, 6, 999, 1000, 1001])
def test_html_is_recognised_however_it_arrives(size):
    body = b" " * 990 + b"<html>" + b" and more" * 100
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    with pytest.raises(InputError, match="HTML"):
        next(web_module._not_html(iter(pieces)))
    assert b"".join(web_module._not_html(iter([b"x", *pieces]))) == b"x" + body


@pytest.mark.parametrize("body", [b"<htmlish> ab", b"In <html>", b"<!doctype>", b"<", b" " * 996 + b"<html>"])
@pytest.mark.parametrize("content_type", [None, "text/plain"])
def test_what_only_resembles_html_is_read(web, destination, body, content_type):
    body += b" is a text"
    fetch_quietly([page(web, body=body, **({"Content_Type": content_type} if content_type else {}))], destination)
    assert contents(destination.parent) == {destination.name: body}


@pytest.mark.parametrize("content_type", ["text/plain; charset=utf-8", "application/octet-stream", ""])
def test_any_other_type_is_read(web, destination, content_type):
    assert fetched(page(web, Content_Type=content_type), destination)


TOO_LARGE = "it is larger than 2.1e-05 MB, the limit that max_corpus_mb sets"


@pytest.mark.parametrize("headers", [{}, {"Content_Length": "22"}], ids=["until the end", "of known length"])
def test_a_source_may_be_as_large_as_the_limit_and_no_larger(web, destination, tmp_path, headers):
    path, url = tmp_path / "local.txt", page(web, **headers)
    path.write_bytes(TEXT)
    for source in (url, str(path), path.as_uri()):
        assert reason(source, destination, max_mb=21e-6) == TOO_LARGE
    for source in (url, str(path), path.as_uri()):
        assert without_files(fetch_quietly([source], destination, max_mb=22e-6)) == {"source": source, **ABOUT}


def test_a_content_length_above_the_limit_is_refused_before_the_body(web, destination):
    assert reason(page(web, body=b"", Content_Length="23"), destination, max_mb=21e-6) == TOO_LARGE


def test_the_limit_is_that_of_the_decompressed_text(web, destination):
    body = gzip.compress(bytes(1_000_000))
    url = page(web, body=body, Content_Encoding="gzip", Content_Length=str(len(body)))
    assert "larger than 0.5 MB" in reason(url, destination, max_mb=0.5)


def test_an_endless_body_is_left_and_the_next_source_tried(web, destination, tmp_path):
    def never_end(handler):
        answer(handler, body=b"")
        with contextlib.suppress(OSError):  # the reader has gone
            for piece in repeat(b"abcdefgh" * 1000):
                handler.wfile.write(piece)

    (tmp_path / "local.txt").write_bytes(TEXT)
    web.pages["/endless"] = never_end
    warnings = []
    about = fetch_quietly(
        [f"{web.url}/endless", str(tmp_path / "local.txt")], destination, warn=warnings.append, max_mb=0.5
    )
    assert about["characters"] == 18
    assert contents(destination.parent) == {destination.name: TEXT}
    assert len(warnings) == 1 and "larger than 0.5 MB" in warnings[0]


def test_a_large_file_is_refused_before_it_is_read(destination, tmp_path, monkeypatch):
    (tmp_path / "local.txt").write_bytes(TEXT)
    monkeypatch.setattr(download, "CHUNK", "nothing is read")
    assert reason(str(tmp_path / "local.txt"), destination, max_mb=21e-6) == TOO_LARGE


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_anything_but_a_regular_file_is_refused_before_it_is_opened(destination, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for source, kind in {"/dev/zero": "a device", "pipe": "a pipe", "socket": "a special file"}.items():
            why = reason(str(tmp_path / source), destination)
            assert why == f"it is {kind}; a corpus must be a regular file"


def test_the_first_good_source_wins(web, destination):
    web.pages["/gone"] = partial(answer, status=404)
    web.pages["/never"] = partial(answer, body=b"not this one")
    gone, good, never = f"{web.url}/gone", page(web), f"{web.url}/never"
    warnings = []
    about = fetch_quietly([gone, good, never], destination, warn=warnings.append)
    assert without_files(about) == {"source": good, **ABOUT}
    assert contents(destination.parent) == {destination.name: TEXT}
    assert warnings == [f"can't read {gone!r}: HTTP 404 Not Found; trying {good!r}"]
    assert web.hits == {"/gone": 1, "/page": 1}


def test_a_source_that_breaks_off_leaves_no_trace_in_the_next(web, destination, tmp_path):
    (tmp_path / "local.txt").write_bytes(TEXT)
    broken = page(web, body=TEXT * 9, Content_Length="1000")
    warnings = []
    fetch_quietly([broken, str(tmp_path / "local.txt")], destination, warn=warnings.append)
    assert contents(destination.parent) == {destination.name: TEXT}
    assert len(warnings) == 1


def test_every_source_that_failed_is_listed_with_its_reason(web, destination):
    url = page(web, status=404)
    before = contents(destination.parent)
    warnings = []
    with pytest.raises(InputError) as caught:
        fetch_quietly([url, "nowhere.txt", "gopher://hole"], destination, warn=warnings.append)
    failures = [
        f"'{url}': HTTP 404 Not Found",
        "'nowhere.txt': No such file or directory",
        "'gopher://hole': gopher:// is not supported; a source must be an http, https or file URL, or a path",
    ]
    assert str(caught.value) == f"data_url: no source could be read: {'; '.join(failures)}"
    assert len(warnings) == 2
    assert contents(destination.parent) == before


def test_a_destination_that_cannot_be_written_is_not_blamed_on_the_source(tmp_path):
    source = tmp_path / "local.txt"
    source.write_bytes(TEXT)
    with pytest.raises(OSError):
        fetch_quietly([str(source)], source / "input.txt")
    assert contents(tmp_path) == {"local.txt": TEXT}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_pipe_as_destination_does_not_block(tmp_path):
    (tmp_path / "local.txt").write_bytes(TEXT)
    os.mkfifo(tmp_path / "input.txt")
    with pytest.raises(InputError) as caught:
        fetch_quietly([str(tmp_path / "local.txt")], tmp_path / "input.txt")
    assert str(caught.value) == f"{tmp_path / 'input.txt'} is a pipe; a corpus must be a regular file"


def test_a_full_disk_is_not_blamed_on_the_source(tmp_path, monkeypatch):
    (tmp_path / "local.txt").write_bytes(TEXT)

    def no_space(chunks, file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_saved", no_space)
    with pytest.raises(OSError, match="No space left") as caught:
        fetch_quietly([str(tmp_path / "local.txt")] * 2, tmp_path / "raw" / "input.txt")
    assert caught.value.filename == str(tmp_path / "raw" / "input.txt")
    assert contents(tmp_path / "raw") == {}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("REQUESTS_CA_BUNDLE", "/nowhere/some.pem", "invalid path: /nowhere/some.pem"),
        ("HTTPS_PROXY", "http://me:SECRET@", "the proxy is 'http://***@'"),
        ("HTTPS_PROXY", "http://me:SECRET@127.0.0.1:port", "the proxy is 'http://***@127.0.0.1:port'"),
        ("HTTPS_PROXY", "gopher://me:SECRET@127.0.0.1", "the proxy is 'gopher://***@127.0.0.1'"),
    ],
)
def test_a_setting_that_cannot_work_is_named_and_the_next_source_tried(
    destination, tmp_path, monkeypatch, name, value, why
):
    monkeypatch.setenv(name, value)
    (tmp_path / "local.txt").write_bytes(TEXT)
    warnings = []
    sources = ["https://127.0.0.1:1/text", str(tmp_path / "local.txt")]
    assert fetch_quietly(sources, destination, warn=warnings.append)["source"] == sources[1]
    (line,) = warnings
    assert why in line and "SECRET" not in line


def test_the_file_of_certificates_is_named(destination, tmp_path, monkeypatch):
    """Reading the certificates fails first, so the server need not speak TLS."""
    bundle = tmp_path / "not.pem"
    bundle.write_text("no certificate")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        why = reason(f"https://127.0.0.1:{listening.getsockname()[1]}/", destination)
    assert why.endswith(f"; the trusted certificates are in {str(bundle)!r}")


def test_whatever_goes_wrong_in_a_source_the_next_one_is_tried(destination, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("an error of \x1b[31mtheirs")

    monkeypatch.setattr(web_module.requests.Session, "get", fail)
    (tmp_path / "local.txt").write_bytes(TEXT)
    warnings = []
    fetch_quietly(["http://127.0.0.1/", str(tmp_path / "local.txt")], destination, warn=warnings.append)
    assert contents(destination.parent) == {destination.name: TEXT}
    assert warnings[0].startswith(r"can't read 'http://127.0.0.1/': RuntimeError: an error of \x1b[31mtheirs; trying ")


def test_a_password_is_sent_but_neither_shown_nor_recorded(web, destination, slept):
    """Whatever the server answers."""
    sent = []
    web.pages["/page?token=TOKEN"] = lambda handler: (
        sent.append(handler.headers["Authorization"]),
        answer(handler, 503 if len(sent) == 1 else 200, Retry_After="1"),
    )
    url = web.url.replace("//", "//me:SECRET@") + "/page?token=TOKEN"
    public = web.url.replace("//", "//***@") + "/page?token=***"
    said = []
    about = fetch_quietly([url], destination, announce=said.append, limits=Limits(silent=0.5))
    assert without_files(about) == {"source": public, **ABOUT}
    assert sent == ["Basic " + base64.b64encode(b"me:SECRET").decode()] * 2
    assert f"{public!r}: HTTP 503 Service Unavailable; the next try is in 1 s" in said
    assert "SECRET" not in str(said) and "TOKEN" not in str(said)


def test_a_server_that_repeats_the_password_gives_nothing_away(web, destination):
    web.pages["/page?token=TOKEN"] = lambda handler: handler.wfile.write(
        b"HTTP/1.0 404 No SECRET and no TOKEN at http://me:SECRET@127.0.0.1/page?token=TOKEN here\r\n\r\n"
    )
    url = web.url.replace("//", "//me:SECRET@") + "/page?token=TOKEN"
    public = web.url.replace("//", "//***@") + "/page?token=***"
    why = reason(url, destination, shown_as=public)
    assert why == "HTTP 404 No *** and no *** at http://***@127.0.0.1/page?token=*** here"


def test_a_password_may_be_in_the_file_that_netrc_names(web, destination):
    Path(os.environ["NETRC"]).write_text("machine 127.0.0.1 login me password SECRET\n")
    sent = []
    web.pages["/page"] = lambda handler: (sent.append(handler.headers["Authorization"]), answer(handler))
    url = f"{web.url}/page"
    assert fetched(url, destination) == {"source": url, **ABOUT}
    assert sent == ["Basic " + base64.b64encode(b"me:SECRET").decode()]


def test_the_stage_says_how_to_get_the_first_source_later(tmp_path):
    set_up(tmp_path)
    ended = call(tmp_path, "download", "--data-url", "nowhere.txt", "corpus.txt")
    assert ended.returncode == 0
    later = "`dvc repro --force download` tries all sources again"
    assert ended.stderr == (
        f"warning: can't read 'nowhere.txt': No such file or directory; trying 'corpus.txt'; {later}\n"
    )


@pytest.mark.parametrize("folder", [".dvc/tmp/exps/tmpabc", ".dvc/tmp/exps/standalone/tmpabc"])
def test_a_text_that_an_experiment_does_not_see(tmp_path, folder):
    hint = "; with --temp or --queue, Git must track a text in the project, or its path must be absolute"
    inside = tmp_path / folder
    inside.mkdir(parents=True)
    set_up(inside)
    missing = "'my.txt': No such file or directory"
    ended = call(inside, "download", "--data-url", "my.txt")
    assert ended.stderr == f"error: data_url: no source could be read: {missing}{hint}\n"
    ended = call(inside, "download", "--data-url", "my.txt", "corpus.txt")
    assert ended.returncode == 0 and ended.stderr.endswith(f"{hint}\n")
    for source in ("/nowhere/my.txt", "file:///nowhere/my.txt", "ftp://my.txt", "corpus.txt"):
        assert hint not in call(inside, "download", "--data-url", source).stderr
    set_up(tmp_path)
    assert hint not in call(tmp_path, "download", "--data-url", "my.txt").stderr


def test_the_stage_writes_no_password(tmp_path, web):
    set_up(tmp_path)
    web.pages["/gone?token=TOKEN"] = partial(answer, status=404)
    web.pages["/page?token=TOKEN"] = answer
    gone, found = (web.url.replace("//", "//me:SECRET@") + f"/{name}?token=TOKEN" for name in ("gone", "page"))
    ended = call(tmp_path, "download", "--data-url", gone, found)
    assert ended.stdout == f"18 characters from {web.url.replace('//', '//***@')}/page?token=***\n"
    recorded = (tmp_path / "metrics/data.json").read_text(encoding="utf-8")
    assert '/page?token=***"' in recorded
    ended_in_error = call(tmp_path, "download", "--data-url", gone)
    assert ended_in_error.returncode == 1
    for text in (ended.stdout, ended.stderr, recorded, ended_in_error.stderr):
        assert "SECRET" not in text and "TOKEN" not in text


def test_a_program_ends_although_a_server_holds_its_thread(tmp_path, web):
    set_up(tmp_path)

    def answer_slowly(handler):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nServer: ")
        with contextlib.suppress(OSError):  # the program has ended
            trickle(handler)

    web.pages["/page"] = answer_slowly
    code = (
        "from charrnn.data.download import fetch; from charrnn.data.web import Limits\n"
        f"fetch(['{web.url}/page', 'corpus.txt'], 'text', warn=print, announce=print, limits=Limits(stall=0.2))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, encoding="utf-8", timeout=120
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    (line,) = ended.stdout.splitlines()
    assert line.endswith("the server stalls: fewer than 1,000 bytes arrived in 0.2 s; trying 'corpus.txt'")
