"""Where the loss is: groups and comparisons by hand, and the n-gram models of the same text."""

import unicodedata

import numpy as np
import pytest

from charrnn.evaluation import LN2
from charrnn.ngrams import NGramModel, predictions
from report import baselines
from report.characters import visible
from report.losses import (
    by_kind,
    by_line_place,
    by_word_place,
    compare,
    groups,
    most_ahead,
    where_the_loss_is,
)
from tests.report_subject import PLAY, subject_of


def as_tuples(found):
    return [(group.name, group.characters, group.network, group.ngrams, group.share) for group in found]


def test_groups_have_the_means_of_their_characters():
    found = groups("abab", np.array([1.0, 6, 3, 0]), np.array([2.0, 1, 0, 5]))
    assert as_tuples(found) == [("b", 2, 3, 3, 0.6), ("a", 2, 2, 1, 0.4)]
    assert [group.name for group in groups("abab", np.arange(4), np.arange(4), order="ab")] == ["a", "b"]


def test_kinds_of_characters():
    text = "Aa1 \n,+א\u0301\x00\t"
    found = {group.name: group.characters for group in by_kind(text, np.ones(len(text)), np.ones(len(text)))}
    assert found == {
        "upper-case letters": 1,
        "lower-case letters": 1,
        "digits and numbers": 1,
        "spaces": 2,
        "ends of lines": 1,
        "punctuation": 1,
        "symbols": 1,
        "other letters": 1,
        "marks on letters": 1,
        "control characters and others": 1,
    }


def test_places_in_words():
    bits = np.arange(12.0)
    found = by_word_place("ab, abcdefg.", bits, bits)
    assert [(group.name, group.characters, group.network) for group in found] == [
        ("1st letter", 2, 2),
        ("2nd letter", 2, 3),
        ("3rd letter", 1, 6),
        ("4th letter", 1, 7),
        ("5th letter", 1, 8),
        ("later letters", 2, 9.5),
        ("after a word", 2, 6.5),
    ]


def test_a_mark_has_the_place_of_its_letter():
    """The vowel signs of नमस्ते are the 4th and the 6th of its six characters."""
    text = "नमस्ते।"
    assert [unicodedata.category(character)[0] == "M" for character in text] == [0, 0, 0, 1, 0, 1, 0]
    found = by_word_place(text, np.arange(7.0), np.arange(7.0))
    assert [(group.name, group.characters, group.network) for group in found] == [
        ("1st letter", 1, 0),
        ("2nd letter", 1, 1),
        ("3rd letter", 2, 2.5),
        ("4th letter", 2, 4.5),
        ("after a word", 1, 6),
    ]


def test_places_in_lines():
    """What comes before the first line break has no known place."""
    text = "xyz\n" + "abcdefghijkl\n"
    bits = np.arange(float(len(text)))
    found = by_line_place(text, bits, bits)
    assert [(group.name, group.characters, group.network) for group in found] == [
        ("1", 1, 4),
        ("2–4", 3, 6),
        ("5–9", 5, 10),
        ("10–19", 4, 14.5),
    ]
    assert by_line_place("no end", bits[:6], bits[:6]) == by_word_place("12", bits[:2], bits[:2]) == []


def test_a_comparison_by_hand():
    found = compare(np.array([1.0, 3, 2, 0]), np.array([3.0, 1, 2.5, 1]))
    assert (found.network, found.ngrams, found.network_ahead, found.ngrams_ahead) == (1.5, 1.875, 0.5, 0.25)
    p = (np.array([1 / 2, 1 / 8, 1 / 4, 1]) + np.array([1 / 8, 1 / 2, 2**-2.5, 1 / 2])) / 2
    assert found.mean == pytest.approx(-np.log2(p).mean())


def test_the_places_where_one_model_is_right_and_most_ahead():
    ahead = np.array([0.5, 1.5, 1, 0.1, 0.2, 0])
    behind = np.array([3.0, 9, 5, 4.9, 4.5, 0])
    assert most_ahead(ahead, behind, 9, apart=1) == [3, 4, 2, 0]  # at 1 it is not right, at 5 not ahead
    assert most_ahead(ahead, behind, 2, apart=1) == [3, 4]
    assert most_ahead(ahead, behind, 9, apart=2) == [3, 0]


def test_baselines_are_the_models_of_the_benchmark(rng, monkeypatch):
    monkeypatch.setattr(baselines, "COUNTED", 400)
    monkeypatch.setattr(baselines, "SCORED", 100)
    train, test = rng.integers(4, size=500).astype(np.uint8), rng.integers(4, size=150).astype(np.uint8)
    found = baselines.baselines(train, test, baselines.best_ngram_model(train, 4))
    assert [baseline.name for baseline in found] == ["uniform", "unigram", "bigram", "5-gram"]
    for baseline, order in zip(found, (0, 1, 2, 5)):
        expected = predictions(NGramModel(train[-400:], 4, order), test[:100])[0][-1].mean()
        assert baseline.loss == pytest.approx(expected)
        assert (baseline.bits, baseline.perplexity) == pytest.approx((expected / LN2, np.exp(expected)))


def test_an_alphabet_too_large_for_5_grams_gets_shorter_ones():
    assert baselines.best_ngram_model(np.arange(30, dtype=np.uint16), 60_000).order == 3


def test_the_section_is_about_the_reading():
    subject = subject_of(PLAY * 8)
    found = where_the_loss_is(subject, baselines.best_ngram_model(subject.train_ids, subject.trained.model.output_dim))
    bits = subject.reading.surprise()[1:]
    assert found.comparison.network == pytest.approx(bits.mean())
    assert found.comparison.ngrams < 0.5 < 3 < found.comparison.network  # the text repeats, and nobody has trained
    assert sum(group.characters for group in found.kinds) == len(bits)
    assert sum(group.share for group in found.kinds) == pytest.approx(1)
    assert found.network_right == [] and len(found.ngrams_right) == 6
    shown = visible(subject.text)
    for example in found.ngrams_right:
        assert example.right <= 1 < example.wrong
        assert example.before + example.character.replace("␣", " ") in shown
