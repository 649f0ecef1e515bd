"""Reading and vectorizing text files in pieces gives what doing it at once gives."""

import hashlib

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from charrnn import corpus
from charrnn.corpus import describe, read_text, vectorize
from charrnn.errors import InputError
from charrnn.preprocessing import TextVectorizer

TEXT = "a é € 🎭\r\nb\n\rc\r"  # characters of 1 to 4 bytes, and every line end
PIECES = st.integers(1, 9)
TEXTS = st.text(st.sampled_from(sorted(set(TEXT))) | st.characters(codec="utf-8"))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("corpus") / "text.txt"


def in_pieces(piece):
    """A context in which files are read that many bytes at a time."""
    context = pytest.MonkeyPatch.context()
    patch = context.__enter__()
    patch.setattr(corpus, "PIECE", piece)
    return patch


@pytest.fixture
def piece(request, monkeypatch):
    monkeypatch.setattr(corpus, "PIECE", request.param)
