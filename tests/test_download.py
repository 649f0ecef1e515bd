"""Fetching a corpus: from this machine, and from a web server that misbehaves in every way it can."""

import contextlib
import gzip
import hashlib
import socket
import threading
from collections import Counter
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests

from charrnn.data import download
from charrnn.data.download import fetch
from charrnn.errors import InputError

TEXT = "Ein Käse für 3 €\r\n".encode()
RETRIES, TIMEOUTS = download.RETRIES, download.TIMEOUTS
ABOUT = {"sha256": hashlib.sha256(TEXT).hexdigest(), "bytes": 22, "characters": 18}


@pytest.fixture(autouse=True)
def no_waiting_between_retries(monkeypatch):
    monkeypatch.setattr(download, "RETRIES", download.RETRIES.new(backoff_factor=0))


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


def fetched(source, destination):
    """Fetch a good source, and return what `fetch` reports about it."""
    about = fetch([source], destination, warn=pytest.fail)
    assert contents(destination.parent) == {destination.name: TEXT}
    return about


def reason(source, destination, **options):
    """Fetch a bad source, and return why that failed."""
    before = contents(destination.parent)
    with pytest.raises(InputError) as caught:
        fetch([source], destination, warn=pytest.fail, **options)
    assert contents(destination.parent) == before
    (line,) = str(caught.value).splitlines()
    headline = f"data_url: no source could be read: {source!r}: "
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


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_the_server_refuses_is_not_tried_again(web, destination, status):
    assert f"HTTP {status}" in reason(page(web, status=status), destination)
    assert web.hits == {"/page": 1}


def test_whatever_a_server_answers_is_reported_in_one_line(web, destination):
    web.pages["/page"] = lambda handler: handler.wfile.write(
        b"HTTP/1.0 404 two\rlines \x1b[31m" + b"x" * 5000 + b"\r\n\r\n"
    )
    assert reason(f"{web.url}/page", destination) == "HTTP 404 two lines  [31m" + "x" * 476


@pytest.mark.parametrize("status", [500, 503])
def test_a_passing_error_of_the_server_is_waited_out(web, destination, status):
    web.pages["/page"] = lambda handler: answer(handler, status if web.hits["/page"] <= 2 else 200)
    assert fetched(f"{web.url}/page", destination)["characters"] == 18
    assert web.hits == {"/page": 3}


def test_a_connection_dropped_before_the_answer_is_tried_again(web, destination):
    web.pages["/page"] = lambda handler: answer(handler) if web.hits["/page"] > 1 else None
    assert fetched(f"{web.url}/page", destination)["characters"] == 18
    assert web.hits == {"/page": 2}


def test_nothing_is_tried_or_waited_for_without_end():
    assert 1 <= RETRIES.total <= 10
    assert RETRIES.connect is RETRIES.read is RETRIES.status is None  # only the total counts
    assert 0.1 <= RETRIES.backoff_factor <= 2
    assert set(range(500, 600)) == set(RETRIES.status_forcelist)
    to_connect, to_read = TIMEOUTS
    assert 1 <= to_connect <= to_read <= 60


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_both_schemes_are_retried_and_timed(destination, monkeypatch, scheme):
    requested = []

    def refuse(session, url, **options):
        requested.append((session.get_adapter(url).max_retries, options["timeout"]))
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(requests.Session, "get", refuse)
    assert reason(f"{scheme}://127.0.0.1/", destination) == "refused"
    assert requested == [(download.RETRIES, TIMEOUTS)]


def test_a_lasting_error_of_the_server_is_named(web, destination):
    assert "HTTP 500" in reason(page(web, status=500), destination)
    assert web.hits == {"/page": download.RETRIES.total + 1}


def test_a_refused_connection_is_named(destination):
    with socket.socket() as not_listening:
        not_listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{not_listening.getsockname()[1]}/"
        assert "refused" in reason(url, destination)


def test_half_a_body_is_an_error(web, destination):
    why = reason(page(web, Content_Length="100"), destination)
    assert why.count("22 bytes read, 78 more expected") == 1


def test_a_body_that_can_not_be_decompressed_is_an_error(web, destination):
    assert "failed to decode" in reason(page(web, Content_Encoding="gzip"), destination)


def test_a_content_length_that_is_no_number_does_no_harm(web, destination):
    url = page(web, Content_Length="many")
    assert fetched(url, destination) == {"source": url, **ABOUT}


@pytest.mark.parametrize(
    "beginning", [b"", b"HTTP/1.0 200 OK\r\nContent-Length: 22\r\n\r\nEin"], ids=["no answer", "half a body"]
)
def test_a_server_that_falls_silent_is_given_up(web, destination, monkeypatch, beginning):
    def fall_silent(handler):
        handler.wfile.write(beginning)
        if not web.closing.wait(20):
            answer(handler)

    web.pages["/page"] = fall_silent
    monkeypatch.setattr(download, "TIMEOUTS", (5, 0.1))
    assert "timed out" in reason(f"{web.url}/page", destination)


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
    for source in (name, str(path), path.as_uri()):
        assert fetched(source, destination) == {"source": source, **ABOUT}


@pytest.mark.parametrize(
    "source, why",
    [
        ("nowhere.txt", "No such file or directory"),
        ("file:///nowhere.txt", "No such file or directory"),
        ("folder", "Is a directory"),
        ("ftp://127.0.0.1/text", "ftp:// is not supported; a source is an http, https or file URL, or a path"),
        ("s3://bucket/text", "s3:// is not supported; a source is an http, https or file URL, or a path"),
        ("http://", "No host supplied"),
        pytest.param(
            "/proc/self/mem",
            "Input/output error",
            marks=pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a Linux file that opens but fails"),
        ),
    ],
)
def test_a_source_that_can_not_be_read_is_named(tmp_path, destination, monkeypatch, source, why):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert why in reason(source, destination)


@pytest.mark.parametrize(
    "source",
    ["http://[::1", "http://two..dots/", "nul\0character", "two\nlines", "lone\ud800", "http://h:99999/", "://", " "],
    ids=["IPv6", "host", "nul", "newline", "surrogate", "port", "scheme", "space"],
)
def test_a_malformed_source_is_an_error_like_any_other(destination, source):
    assert reason(source, destination)


@pytest.mark.parametrize("content_type", ["text/html", "text/html; charset=utf-8", "TEXT/HTML"])
def test_an_html_page_is_refused(web, destination, content_type):
    url = page(web, body=b"<html>Sign in to read this</html>", Content_Type=content_type)
    assert reason(url, destination) == "it is an HTML page; a corpus must be plain text"


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
        assert fetch([source], destination, warn=pytest.fail, max_mb=22e-6) == {"source": source, **ABOUT}


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
    about = fetch([f"{web.url}/endless", str(tmp_path / "local.txt")], destination, warnings.append, max_mb=0.5)
    assert about["characters"] == 18
    assert contents(destination.parent) == {destination.name: TEXT}
    assert len(warnings) == 1 and "larger than 0.5 MB" in warnings[0]


def test_a_large_file_is_refused_before_it_is_read(destination, tmp_path, monkeypatch):
    (tmp_path / "local.txt").write_bytes(TEXT)
    monkeypatch.setattr(download, "CHUNK", "nothing is read")
    assert reason(str(tmp_path / "local.txt"), destination, max_mb=21e-6) == TOO_LARGE


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a file without end")
def test_an_endless_file_is_refused(destination):
    assert "larger than 0.5 MB" in reason("/dev/zero", destination, max_mb=0.5)


def test_the_first_good_source_wins(web, destination):
    web.pages["/gone"] = partial(answer, status=404)
    web.pages["/never"] = partial(answer, body=b"not this one")
    gone, good, never = f"{web.url}/gone", page(web), f"{web.url}/never"
    warnings = []
    assert fetch([gone, good, never], destination, warnings.append) == {"source": good, **ABOUT}
    assert contents(destination.parent) == {destination.name: TEXT}
    assert warnings == [f"can't read {gone!r}: HTTP 404 Not Found; trying {good!r}"]
    assert web.hits == {"/gone": 1, "/page": 1}


def test_a_source_that_breaks_off_leaves_no_trace_in_the_next(web, destination, tmp_path):
    (tmp_path / "local.txt").write_bytes(TEXT)
    broken = page(web, body=TEXT * 9, Content_Length="1000")
    warnings = []
    fetch([broken, str(tmp_path / "local.txt")], destination, warnings.append)
    assert contents(destination.parent) == {destination.name: TEXT}
    assert len(warnings) == 1


def test_every_source_that_failed_is_listed_with_its_reason(web, destination):
    url = page(web, status=404)
    before = contents(destination.parent)
    warnings = []
    with pytest.raises(InputError) as caught:
        fetch([url, "nowhere.txt", "gopher://hole"], destination, warnings.append)
    failures = [
        f"'{url}': HTTP 404 Not Found",
        "'nowhere.txt': No such file or directory",
        "'gopher://hole': gopher:// is not supported; a source is an http, https or file URL, or a path",
    ]
    assert str(caught.value) == f"data_url: no source could be read: {'; '.join(failures)}"
    assert len(warnings) == 2
    assert contents(destination.parent) == before


def test_a_destination_that_can_not_be_written_is_not_blamed_on_the_source(tmp_path):
    source = tmp_path / "local.txt"
    source.write_bytes(TEXT)
    with pytest.raises(OSError):
        fetch([str(source)], source / "input.txt", warn=pytest.fail)
    assert contents(tmp_path) == {"local.txt": TEXT}
