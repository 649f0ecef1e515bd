"""What is said of characters, on texts where it is known by hand, and what is left out."""

import numpy as np
import pytest

from report.hypotheses import (
    FEATURES,
    before_word_end,
    blank_lines,
    hypotheses,
    in_capitals,
    indentation,
    since,
    where,
)
from tests.report_subject import PLAY


def values(name, text):
    return FEATURES[name](text).astype(float).tolist()


def marked(feature, text):
    """The text with a mark below each character where a feature is not zero."""
    return "".join("^" if value else "." for value in feature(text))


def test_counts_are_since_the_last_event_or_the_beginning():
    events = np.array([False, False, True, False, True, True, False])
    np.testing.assert_allclose(np.expm1(since(events)), [1, 2, 0, 1, 0, 0, 1])


@pytest.mark.parametrize(
    ("name", "text", "counts"),
    [
        ("characters since the line began", "ab\nc\n", [1, 2, 0, 1, 0]),
        ("characters since the last space", "ab c\td\n", [1, 2, 0, 1, 0, 1, 0]),
        ("characters since the last blank line", "a\n\nb\n \nc", [1, 2, 0, 1, 2, 3, 0, 1]),
        ("characters since the last sentence ended", "a.b。c", [1, 0, 1, 0, 1]),
        ("the indentation of the line", "  a b\n\tc\nd", [1, 2, 2, 2, 2, 0, 1, 1, 0, 0]),
    ],
)
def test_counts_by_hand(name, text, counts):
    np.testing.assert_allclose(np.expm1(values(name, text)), counts)


@pytest.mark.parametrize(
    ("name", "text", "marks"),
    [
        ("inside a word in capitals", "KING I: Oh, ÉTÉ Ab", "^^^^........^^^..."),
        ("before the end of a word", "नमस्ते शाम, דָּג ", ".....^...^.....^."),
        ("before the end of a word", "so it's, été1 da", ".^..^.^....^...."),
        ("a vowel", "Été, над y b", "^.^...^..^.."),
        ("an upper-case letter", "aB Жж1", ".^.^.."),
        ("a digit", "a1٣b", ".^^."),
        ("inside quotation marks", 'a "b" c “d” «e»', "..^^....^^..^^."),
        ("inside quotation marks", "„a“ b »c« 「d」", "^^....^^..^^."),
        ("inside brackets", "a(b[c]d)e)f(", ".^^^^^^....^"),
    ],
)
def test_marks_by_hand(name, text, marks):
    assert marked(FEATURES[name], text) == marks


def test_a_blank_line_closes_what_was_left_open():
    assert values("inside brackets", "((a\n\nb") == [1, 2, 2, 2, 0, 0]
    assert values("inside quotation marks", '"a\n\nb"') == [1, 1, 1, 0, 0, 1]


def test_blank_lines_may_have_spaces_and_windows_ends():
    assert marked(blank_lines, "a\n \t\nb\r\n\r\nc\nd") == "....^....^..."


def test_only_what_occurs_in_a_text_is_found():
    assert set(hypotheses(PLAY * 20)) == set(FEATURES) - {"the indentation of the line"}
    assert set(hypotheses("abc" * 100)) == {"a vowel"}
    assert hypotheses("") == hypotheses("a") == hypotheses("zz" * 100) == {}


def test_what_occurs_in_one_half_only_has_hardly_been_seen():
    assert "a digit" in hypotheses("ab1 " * 100)
    assert "a digit" not in hypotheses("ab1 " * 50 + "abc " * 50)
    assert "a digit" not in hypotheses("abc " * 100 + "ab1 " * 100)


def test_a_feature_that_is_the_same_as_another_is_left_out():
    """Without spaces in lines, the last space is the last line break."""
    found = hypotheses("一二三\n四五六七\n" * 50)
    assert "characters since the line began" in found and "characters since the last space" not in found


def test_features_know_nothing_of_later_characters_but_the_end_of_a_word():
    text = PLAY * 3
    for name, compute in FEATURES.items():
        for stop in (50, 77, 120):
            if name not in ("before the end of a word", "inside a word in capitals"):
                np.testing.assert_array_equal(compute(text)[:stop], compute(text[:stop]))


def test_every_feature_has_a_number_for_each_character():
    for compute in (*FEATURES.values(), where(str.isdigit), in_capitals, before_word_end, indentation):
        assert len(compute("")) == 0 and len(compute("a\n\nB")) == 4
