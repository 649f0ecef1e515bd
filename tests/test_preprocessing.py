"""Vectorizer, split, windows and batches, tried on texts that Hypothesis generates."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import InputError
from charrnn.preprocessing import TextVectorizer, batches, split_sizes, streams, windows

texts = st.text(min_size=1)


@given(texts)
def test_round_trip(text):
    vectorizer = TextVectorizer.fit(text)
    assert vectorizer.decode(vectorizer.encode(text)) == text


@pytest.mark.parametrize("ids", [[0, 1, -1], [3], np.array([1.0]), [True]])
def test_decode_refuses_anything_but_ids(ids):
    with pytest.raises(InputError, match="^ids: "):
        TextVectorizer("abc").decode(ids)
    assert TextVectorizer("abc").decode([]) == "" and TextVectorizer("abc").decode([2, 0]) == "ca"


@given(texts)
def test_vocabulary_is_the_sorted_set_of_characters(text):
    vectorizer = TextVectorizer.fit(text)
    assert vectorizer.vocabulary == "".join(sorted(set(text)))
    assert vectorizer.vocabulary_size == len(set(text))


@given(st.lists(texts, min_size=1))
def test_fitting_pieces_equals_fitting_the_whole(pieces):
    assert TextVectorizer.fit(iter(pieces)) == TextVectorizer.fit("".join(pieces))


@given(texts, texts)
def test_unknown_characters_are_named_with_their_positions(known, text):
    vectorizer = TextVectorizer.fit(known)
    unknown = [(character, i) for i, character in enumerate(text) if character not in known]
    if not unknown:
        assert vectorizer.decode(vectorizer.encode(text)) == text
        return
    with pytest.raises(InputError) as error:
        vectorizer.encode(text)
    for character, i in unknown[:5]:
        assert f"{character!r} at position {i}" in str(error.value)
    assert ("more" in str(error.value)) == (len(unknown) > 5)


@pytest.mark.parametrize(
    ("V", "dtype"), [(1, "u1"), (255, "u1"), (256, "u1"), (257, "u2"), (20_000, "u2"), (70_000, "u4")]
)
def test_ids_have_the_smallest_dtype(V, dtype):
    text = "".join(chr(i) for i in range(0x10000, 0x10000 + V))
    vectorizer = TextVectorizer.fit(text)
    ids = vectorizer.encode(text)
    assert ids.dtype == vectorizer.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(ids, np.arange(V))
    with pytest.raises(InputError, match="'a' at position 0"):
        vectorizer.encode("a")


def test_a_lone_surrogate_is_refused_with_its_position():
    with pytest.raises(InputError, match=r"lone surrogate '\\ud800' at position 2"):
        TextVectorizer.fit("ab\ud800")


@pytest.mark.parametrize(("vocabulary", "message"), [("", "vocabulary is empty"), ("aba", "a character twice")])
def test_a_bad_vocabulary_is_refused(vocabulary, message):
    with pytest.raises(InputError, match=message):
        TextVectorizer(vocabulary)


fractions = st.floats(0.01, 0.99)


@given(st.integers(0, 10**9), fractions, fractions)
def test_split_covers_the_text(n, train_size, validation_size):
    try:
        training, validation, test = split_sizes(n, train_size, validation_size)
    except InputError:
        assert min(n * train_size * (1 - validation_size), n * train_size * validation_size, n * (1 - train_size)) < 3
        return
    assert training + validation + test == n
    assert abs(training + validation - n * train_size) <= 1
    assert abs(validation - n * train_size * validation_size) <= 2


def test_split_of_tiny_shakespeare():
    assert split_sizes(1_115_394, 0.8, 0.2) == (713_852, 178_463, 223_079)


def test_shares_that_are_no_whole_number_are_rounded_down():
    assert split_sizes(9, 0.75, 0.45) == (4, 2, 3)  # of 6.75 and 2.7


def test_two_characters_a_part_are_enough():
    assert split_sizes(6, 0.7, 0.5) == (2, 2, 2)


@pytest.mark.parametrize(
    ("sizes", "part"), [((10, 0.5, 0.8), "training"), ((10, 0.5, 0.2), "validation"), ((5, 0.8, 0.5), "test")]
)
def test_one_character_for_a_part_is_refused(sizes, part):
    with pytest.raises(InputError, match=f"the text has {sizes[0]} characters, which leaves 1 for {part} at"):
        split_sizes(*sizes)


def test_a_text_too_short_to_split_is_refused():
    with pytest.raises(InputError, match="the text has 5 characters, which leaves 0 for validation"):
        split_sizes(5, 0.8, 0.2)


sizes = st.integers(1, 12)


@given(st.integers(2, 60), sizes, sizes)
def test_windows_are_views_of_consecutive_ids(n, window_size, stride):
    ids = np.arange(n)
    if n <= window_size:
        with pytest.raises(InputError, match=f"window_size is {window_size}"):
            windows(ids, window_size, stride)
        return
    cut = windows(ids, window_size, stride)
    assert np.shares_memory(cut, ids)
    starts = np.arange(0, n - window_size, stride)
    np.testing.assert_array_equal(cut, starts[:, None] + np.arange(window_size + 1))


@given(st.integers(13, 60), sizes, sizes, sizes)
def test_batches_have_every_window_once_time_major(n, window_size, stride, batch_size):
    cut = windows(np.arange(n), window_size, stride)
    seen = []
    for x, y in batches(cut, batch_size, np.random.default_rng(0)):
        assert x.shape == y.shape and x.shape[0] == window_size and 1 <= x.shape[1] <= batch_size
        np.testing.assert_array_equal(y, x + 1)
        np.testing.assert_array_equal(x, x[0] + np.arange(window_size)[:, None])
        seen += x[0].tolist()
    assert sorted(seen) == cut[:, 0].tolist()


def test_many_windows_are_shuffled_stretch_by_stretch(monkeypatch):
    monkeypatch.setattr(import_module("charrnn.preprocessing.batches"), "SHUFFLED_AT_ONCE", 100)
    pairs = list(batches(np.arange(331)[:, None] + np.arange(2), 32, np.random.default_rng(0)))
    assert [x.shape[1] for x, _ in pairs] == 10 * [32] + [11]
    ids = np.concatenate([x[0] for x, _ in pairs])
    assert sorted(ids) == list(range(331))
    stretches = ids[np.flatnonzero(np.diff(ids // 100, prepend=-1))] // 100
    assert sorted(stretches) == [0, 1, 2, 3] and list(stretches) != [0, 1, 2, 3]
    assert all(np.abs(np.diff(ids[ids // 100 == stretch])).max() > 1 for stretch in stretches)


def mapped_bytes(path):
    """How much of a mapped file is in this process's memory, as Linux tells it."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    sizes = [
        next(line for line in lines if line.startswith("Rss:")) for mapping in lines if mapping.endswith(str(path))
    ]
    return sum(1024 * int(size.split()[1]) for size in sizes)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells what is in memory")
def test_batches_of_a_mapped_file_leave_no_more_than_one_of_it_in_memory(tmp_path):
    path, n = tmp_path / "ids.npy", 1 << 22
    np.save(path, np.arange(n, dtype=np.uint32))
    ids = np.load(path, mmap_mode="r")
    for pairs in (batches(windows(ids, 100, 100), 32, np.random.default_rng(0)), streams(ids, 32, 100)):
        for number, (x, y) in enumerate(pairs):
            if number % 100 == 0:
                np.testing.assert_array_equal(y, x + 1)
                assert mapped_bytes(path) == 0
    assert ids.sum(dtype=np.int64) == n * (n - 1) // 2 and mapped_bytes(path) >= path.stat().st_size


def test_changes_to_a_copy_on_write_map_are_kept(tmp_path):
    np.save(tmp_path / "ids.npy", np.zeros(10_000))
    ids = np.load(tmp_path / "ids.npy", mmap_mode="c")
    ids[:] = 1
    for x, y in [*batches(windows(ids, 100, 100), 32), *streams(ids, 4, 100)]:
        assert x.all() and y.all()
    assert ids.all()


def test_batches_are_shuffled_by_the_generator_only():
    cut = windows(np.arange(1000), 10, 1)

    def order(rng):
        return np.concatenate([x[0] for x, _ in batches(cut, 32, rng)]).tolist()

    assert order(None) == cut[:, 0].tolist()
    assert order(np.random.default_rng(1)) == order(np.random.default_rng(1))
    assert order(np.random.default_rng(1)) != order(np.random.default_rng(2)) != order(None)


@given(st.integers(2, 200), sizes, sizes)
def test_streams_read_stretches_side_by_side(n, num_streams, window_size):
    pairs = list(streams(np.arange(n), num_streams, window_size))
    assert all(part.flags.c_contiguous for pair in pairs for part in pair)
    x, y = (np.concatenate(parts) for parts in zip(*pairs))
    num_streams = min(num_streams, n - 1)
    assert x.shape == ((n - 1) // num_streams, num_streams)
    assert all(len(part) == window_size for part, _ in pairs[:-1])
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(x.T.ravel(), np.arange(x.size))
    assert n - 1 - x.size < num_streams
