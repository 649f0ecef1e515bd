"""Credentials in a URL: none is shown, wherever it is and however an error quotes it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.data.credentials import HIDDEN, public, without_credentials

PASSWORDS = (
    st.text(st.characters(codec="utf-8"))
    .filter(lambda text: not re.search("@.*[/?#]", text, re.DOTALL))  # where a host could begin and end
    .map(lambda text: f"SECRET{text}SECRET")
)
TOKENS = st.text(st.characters(codec="utf-8", exclude_characters="/?#&;=@")).map(lambda text: f"SECRET{text}SECRET")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("https://example.org/a/b.txt", "https://example.org/a/b.txt"),
        ("https://example.org:8080/@user/b.txt", "https://example.org:8080/@user/b.txt"),
        ("http://[::1]:80/@user", "http://[::1]:80/@user"),
        ("https://me:pw@example.org/a", "https://***@example.org/a"),
        ("https://me@example.org", "https://***@example.org"),
        ("HTTPS://me:p@w@example.org:80/a", "HTTPS://***@example.org:80/a"),
        ("https://me:p/w@example.org/a", "https://***@example.org/a"),
        ("https://me:p?w#@example.org/a", "https://***@example.org/a"),
        ("https://example.org/a?b=1&c=&key;d=2#e", "https://example.org/a?b=***&***&***;d=***#***"),
        ("https://example.org?token", "https://example.org?***"),
        (" \nhttps://me:pw@example.org", "https://***@example.org"),
        ("ht\ttps://me:pw@example.org", "https://***@example.org"),
        ("'https://me:pw@example.org'", "'https://***@example.org'"),
        ("//me:pw@example.org/a", "//***@example.org/a"),
        ("me:pw@example.org/a", "me:***@example.org/a"),
        ("file:///a/b@c.txt", "file:///a/b@c.txt"),
        ("ftp://me:pw@host/a", "ftp://***@host/a"),
        ("data/me@home/text.txt", "data/me@home/text.txt"),
        (r"C:\me@home\text?.txt", r"C:\me@home\text?.txt"),
        ("C:/me@home/text.txt", "C:/me@home/text.txt"),
        ("/a ?b=c#d.txt", "/a ?b=c#d.txt"),
        ("", ""),
    ],
)
def test_the_public_form_of_a_source(source, expected):
    assert public(source) == expected


@given(PASSWORDS, TOKENS)
def test_no_password_is_in_the_public_form(password, token):
    for source in (f"http://me:{password}@h:80/a", f"http://{token}@h/", f"s3://h/a?x=1&token={token}&y"):
        assert "SECRET" not in public(source)


@given(PASSWORDS, TOKENS)
def test_no_password_is_in_an_error(password, token):
    source = f"http://me:{password}@host/text?token={token}"
    for text in (source, f"Invalid URL {source!r}", f"netloc 'me:{password}@host'", f"in {token}, {token!r}"):
        assert "SECRET" not in without_credentials(text, source)


def test_the_rest_of_an_error_is_kept():
    source = "http://me:p%20w@host/a?page=4&x=SECRET"
    for text in ("HTTP 404 Not Found at 4a", "host:80 names nothing", "No SECRETS"):
        assert without_credentials(text, source) == text
    assert without_credentials("it is 'p w' or p%20w", source) == f"it is '{HIDDEN}' or {HIDDEN}"


def test_a_url_that_is_no_source_is_masked_too():
    text = "moved to https://you:pw@other/a?key=1 and 'ftp://me@host/b#c'."
    assert without_credentials(text) == "moved to https://***@other/a?key=*** and 'ftp://***@host/b#***'."


@given(st.text(st.characters(exclude_categories=()), max_size=40), st.text(max_size=40))
def test_odd_texts_raise_no_error(source, text):
    without_credentials(text + source, source, f"http://{source}")
    assert public(source) == source or ":" in source or "//" in source


def test_long_texts_do_not_take_long():
    """If the time grew with the square of the length, this test would not end."""
    for source in ("a" * 10**6, ":" * 10**6, "http://" + "a:@" * 10**5, "/" * 10**6, "http://h?" + "a" * 10**6):
        without_credentials(public(source), "http://me:pw@host")


def test_a_secret_that_begins_with_another_one_is_hidden_completely():
    assert without_credentials("it is ab-cd", "http://ab:ab-cd@host") == f"it is {HIDDEN}"
