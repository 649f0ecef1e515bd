"""Memorisation, compared with Python's own search for substrings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.memorisation import copied, longest_copy, new_share

texts = st.text("ab", min_size=1, max_size=60)


def ids(text):
    return np.frombuffer(text.encode(), np.uint8)


@given(texts, texts, st.integers(1, 12))
def test_copied(sample, source, n):
    if n > len(sample):
        return
    expected = [sample[i : i + n] in source for i in range(len(sample) - n + 1)]
    assert copied(ids(sample), ids(source), n).tolist() == expected
    np.testing.assert_allclose(new_share(ids(sample), ids(source), n), 1 - np.mean(expected), atol=1e-12)


@given(texts, texts)
def test_longest_copy(sample, source):
    lengths = [
        n for n in range(len(sample) + 1) if any(sample[i : i + n] in source for i in range(len(sample) - n + 1))
    ]
    assert longest_copy(ids(sample), ids(source)) == max(lengths)


@pytest.mark.parametrize("chunk", [1, 3, 10])
def test_the_size_of_chunks_changes_nothing(chunk, monkeypatch, rng):
    sample, source = rng.integers(3, size=200), rng.integers(3, size=300)
    expected = [copied(sample, source, n).tolist() for n in (1, 3, 5, 8)]
    monkeypatch.setattr("charrnn.memorisation.CHUNK", chunk)
    assert [copied(sample, source, n).tolist() for n in (1, 3, 5, 8)] == expected


def test_a_planted_passage_is_found(rng):
    source = rng.integers(60, size=100_000).astype(np.uint8)
    sample = rng.integers(60, size=5000).astype(np.uint8)
    sample[1234:1271] = source[77:114]
    assert 37 <= longest_copy(sample, source) <= 39
    assert copied(sample, source, 37)[1234] and copied(sample, source, 37).sum() <= 3
    assert 1 - new_share(sample, source, 10) == pytest.approx(28 / 4991, abs=1e-3)


def test_memory_does_not_grow_with_an_id_that_the_sample_lacks():
    """As in a damaged file: a table of random numbers for all smaller ids would take 32 GB."""
    source = np.array([1, 2, 2**32 - 1, 3, 1, 2, 7, 3], np.uint32)
    assert longest_copy(np.array([1, 2, 3], np.uint8), source) == 2
    assert copied(np.array([3, 1, 2, 3]), source, 2).tolist() == [True, True, False]
