"""Corpora: reading and vectorizing a file in chunks gives the same as doing it at once."""

import argparse
import contextlib
import hashlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from charrnn.data import corpus
from charrnn.data.corpus import describe, describe_chunks, read_text, vectorize
from charrnn.errors import InputError
from charrnn.preprocessing import TextVectorizer
from stages.common.prompt import start_string

BOM = b"\xef\xbb\xbf"
TEXT = "a é € 🎭\r\nb\n\rc\r"  # characters of 1 to 4 bytes, and every line end
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\ufeff")  # which is dropped at the beginning
TEXTS = st.text(st.sampled_from(sorted(set(TEXT))) | CHARACTERS, min_size=1)
CHUNK_SIZES = st.integers(1, 9)


@contextlib.contextmanager
def in_chunks(size):
    """Files are read that many bytes at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "CHUNK", size)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("corpus") / "text.txt"


@given(TEXTS, CHUNK_SIZES)
@example(TEXT, 1)
@example(TEXT, 2)
@example("€" * 5, 4)
def test_chunks_put_together_are_the_text(path, text, size):
    path.write_bytes(text.encode())
    with in_chunks(size):
        chunks = list(read_text(path))
    assert "".join(chunks) == text
    assert max(map(len, chunks)) <= size


def test_an_empty_file_has_no_text(path):
    path.write_bytes(b"")
    assert "".join(read_text(path)) == ""


@pytest.mark.parametrize("size", [1, 2, 3, 4, 1 << 20])
@pytest.mark.parametrize(
    "content, why",
    [
        (b"\xff", "invalid start byte at byte 0"),
        (b"abcdefgh\xffij", "invalid start byte at byte 8"),
        ("ä€".encode() + b"\x80", "invalid start byte at byte 5"),
        (b"abcd\xe2\x82efg", "invalid continuation byte at byte 4"),
        (b"abc\xc3", "unexpected end of data at byte 3"),
        (b"abcdef\xf0\x9f\x8e", "unexpected end of data at byte 6"),
        (b"abc\xed\xa0\xbd\xed\xb8\x80", "invalid continuation byte at byte 3"),  # CESU-8: the surrogates of an emoji
        (b"ab\xed\xb0\x80", "invalid continuation byte at byte 2"),
        (b"a\xc0\x80", "invalid start byte at byte 1"),  # a NUL of two bytes
        ("ab".encode("utf-16"), "invalid start byte at byte 0"),
        (BOM + b"abc\xff", "invalid start byte at byte 6"),
        (BOM[:2], "unexpected end of data at byte 0"),
        ("aé".encode("utf-16-le"), "invalid continuation byte at byte 2"),
    ],
)
def test_the_first_byte_that_is_not_utf8_is_named(path, content, why, size):
    path.write_bytes(content)
    with in_chunks(size):
        with pytest.raises(InputError) as by_path:
            list(read_text(path))
        with pytest.raises(InputError) as by_name:
            describe_chunks([content[i : i + size] for i in range(0, len(content), size)], "the text")
    assert str(by_path.value) == f"{path} is not UTF-8: {why}"
    assert str(by_name.value) == f"the text is not UTF-8: {why}"


@given(st.text(max_size=12), st.binary(min_size=1, max_size=4), st.text(max_size=12), CHUNK_SIZES)
def test_chunks_do_not_change_where_utf8_ends(path, before, broken, after, size):
    content = before.encode() + broken + after.encode()
    try:
        content.decode()
    except UnicodeDecodeError as error:
        position = error.start
    else:
        assume(False)
    path.write_bytes(content)
    with in_chunks(size), pytest.raises(InputError, match=f" at byte {position}$"):
        list(read_text(path))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 1 << 20])
@pytest.mark.parametrize("text", ["ab", "\ufeffab", "a\ufeffb"])
def test_a_byte_order_mark_at_the_beginning_is_dropped(path, text, size):
    content = BOM + text.encode()
    path.write_bytes(content)
    with in_chunks(size):
        assert "".join(read_text(path)) == text
        about, vectorizer = describe(path)
        vectorize(path, vectorizer, [(path.with_name("ids.npy"), len(text))])
    assert vectorizer.vocabulary == "".join(sorted(set(text)))
    assert about == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "characters": len(text),
    }
    assert vectorizer.decode(np.load(path.with_name("ids.npy"))) == text


@given(TEXTS.filter(lambda text: len(set(text)) > 1), CHUNK_SIZES)
@example(TEXT, 3)
def test_a_text_is_described_by_its_hash_and_sizes(path, text, size):
    content = text.encode()
    path.write_bytes(content)
    with in_chunks(size):
        about, vectorizer = describe(path)
    assert vectorizer.vocabulary == "".join(sorted(set(text)))
    assert about == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "characters": len(text),
    }


@pytest.mark.parametrize("content", [b"", BOM])
def test_an_empty_file_is_no_corpus(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        describe(path)
    assert str(caught.value) == f"{path} is empty; a corpus must have characters"


@pytest.mark.parametrize("read", [describe, lambda path: list(read_text(path))])
def test_a_missing_file_is_an_os_error(tmp_path, read):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nowhere.txt")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_only_a_regular_file_can_be_a_corpus(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    kinds = {"pipe": "a pipe", "/dev/zero": "a device", ".": "a folder"}
    for name, kind in kinds.items():
        with pytest.raises(InputError) as caught:
            describe(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name} is {kind}; a corpus must be a regular file"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a Linux file that can be opened but not read")
@pytest.mark.parametrize(("name", "shown"), [(None, "/proc/self/mem"), ("the text", "the text")])
def test_a_file_that_cannot_be_read_is_named(name, shown):
    with pytest.raises(OSError) as caught:
        list(read_text("/proc/self/mem", name))
    assert caught.value.filename == shown


@pytest.mark.parametrize("content", ["x", "aaaa", "🎭" * 9, "\n\n"])
def test_one_and_the_same_character_is_no_corpus(content):
    with pytest.raises(InputError) as caught:
        describe_chunks([content.encode()], "the text")
    only = f"no character but {content[0]!r}"
    assert str(caught.value) == f"the text has {only}; a corpus must have at least two different ones"


def vectorized(path, text, lengths, size):
    """What lies in the files of the parts, which have the given lengths."""
    path.write_bytes(text.encode())
    vectorizer = TextVectorizer.fit(text)
    parts = [(path.parent / "parts" / f"{i}.npy", length) for i, length in enumerate(lengths)]
    with in_chunks(size):
        vectorize(path, vectorizer, parts)
    assert {file.name for file in (path.parent / "parts").iterdir()} >= {part.name for part, _ in parts}
    return vectorizer, [np.load(part, mmap_mode="r") for part, _ in parts]


@given(TEXTS, CHUNK_SIZES, st.data())
@example(TEXT, 2, None)
def test_parts_put_together_are_the_ids_of_the_text(path, text, size, data):
    borders = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3))) if data else [1, 7]
    lengths = [end - start for start, end in zip([0, *borders], [*borders, len(text)])]
    lengths = [length for length in lengths if length]
    vectorizer, parts = vectorized(path, text, lengths, size)
    assert [part.shape for part in parts] == [(length,) for length in lengths]
    np.testing.assert_array_equal(np.concatenate(parts), vectorizer.encode(text))
    assert vectorizer.decode(np.concatenate(parts)) == text


@pytest.mark.parametrize(
    "vocabulary_size, dtype", [(1, "u1"), (2, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")]
)
def test_ids_are_stored_in_the_smallest_unsigned_type(path, vocabulary_size, dtype):
    text = "".join(map(chr, range(0x10000, 0x10000 + vocabulary_size)))
    _, parts = vectorized(path, text, [vocabulary_size - vocabulary_size // 2, vocabulary_size // 2], 1 << 10)
    assert [part.dtype for part in parts] == [np.dtype(dtype)] * 2
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(vocabulary_size))


def test_the_hash_of_each_part_is_that_of_its_file(path):
    path.write_text(TEXT, encoding="utf-8", newline="")
    parts = [(path.parent / f"part{i}.npy", length) for i, length in enumerate((4, 1, len(TEXT) - 5))]
    hashes = vectorize(path, TextVectorizer.fit(TEXT), parts)
    assert hashes == [hashlib.sha256(part.read_bytes()).hexdigest() for part, _ in parts]


@pytest.mark.parametrize("length", [6, 8])
def test_a_text_that_has_changed_since_it_was_counted_is_refused(tmp_path, length):
    text = tmp_path / "text.txt"
    text.write_text("abcabca")
    with in_chunks(2), pytest.raises(InputError, match="text.txt has changed since its characters were counted"):
        vectorize(text, TextVectorizer("abc"), [(tmp_path / "part.npy", length)])


def test_a_text_that_cannot_be_vectorized_leaves_the_old_part(tmp_path):
    text, part = tmp_path / "text.txt", tmp_path / "part.npy"
    text.write_text("abcabcx")
    part.write_bytes(b"old")
    with in_chunks(2), pytest.raises(InputError, match="'x'"):
        vectorize(text, TextVectorizer("abc"), [(part, 7)])
    assert part.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part.npy", "text.txt"]


@pytest.mark.parametrize("content", ["ab\n", "\ufeffab\r\n"])
def test_a_prompt_file_is_read_like_a_corpus(tmp_path, content):
    (tmp_path / "prompt.txt").write_bytes(content.encode())
    assert prompt_in(tmp_path / "prompt.txt") == "ab"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
def test_a_prompt_may_come_through_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"ab\n",))
    writer.start()
    assert prompt_in(tmp_path / "pipe") == "ab"
    writer.join()


def prompt_in(path):
    return start_string(argparse.Namespace(start=None, start_string=None, prompt_file=str(path)))
