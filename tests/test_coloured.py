"""Text on a page: what is shown instead of what can't be seen, what stays together, and which colour it gets."""

import numpy as np
import pytest

from report.characters import clusters, label, shortened, symbol, visible
from report.coloured import Span, by_surprise, by_value, candidates, marked, percent


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("a", "a"),
        (" ", " "),
        ("\t", "⇥"),
        ("\n", "↵"),
        ("\r", "␍"),
        ("\0", "␀"),
        ("\x1b", "␛"),
        ("\x7f", "␡"),
        ("\x85", r"\x85"),
        ("\u202e", r"\u202e"),
        ("\u2066", r"\u2066"),
        ("\u200b", r"\u200b"),
        ("\u2028", r"\u2028"),
        ("\ufeff", r"\ufeff"),
        ("\uffff", r"\uffff"),
        ("\U000e0001", r"\U000e0001"),
        ("\u3000", "\u3000"),
        ("\u200d", "\u200d"),
        ("א", "א"),
        ("<", "<"),
    ],
)
def test_symbols(character, shown):
    assert symbol(character) == shown


def test_no_character_but_joiners_is_invisible_or_changes_the_direction():
    for character in map(chr, [*range(0x3000), *range(0xFE00, 0x10000), *range(0xE0000, 0xE0100)]):
        for shown in symbol(character):
            assert shown.isprintable() or shown in "\u200c\u200d" or shown.isspace()
            assert shown not in "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\n\r\t"


def test_lines_end_after_the_symbol_of_their_end():
    assert visible("a\r\n\tb\n") == "a␍↵\n⇥b↵\n"


def test_a_long_text_is_cut_in_the_middle():
    assert shortened("abcd", 4) == "abcd"
    assert shortened("abcde", 4) == "ab\n… 1 characters …\nde"


def test_labels_of_single_characters_can_be_seen():
    expected = ["␣", "\\u00a0", "◌\u0301", "\\u200d", "↵", "x"]
    assert [label(character) for character in (" ", "\u00a0", "\u0301", "\u200d", "\n", "x")] == expected


def parts(text):
    return [text[part] for part in clusters(text)]


def test_marks_and_joined_emoji_stay_together():
    assert parts("") == []
    assert parts("ae\u0301\u0302b") == ["a", "e\u0301\u0302", "b"]
    assert parts("👩‍👧x👍🏽") == ["👩‍👧", "x", "👍🏽"]
    assert parts("\n\u0301a") == ["\n", "\u0301", "a"]
    assert parts("می\u200cروم") == ["م", "ی\u200c", "ر", "و", "م"]


def test_a_letter_with_endless_marks_is_cut():
    assert [len(part) for part in parts("a" + 20 * "\u0301")] == [8, 8, 5]


def test_surprise_in_whole_bits():
    spans = list(by_surprise("abcd\n", np.array([0, 0.99, 1, 7.5, 126]), list("vwxyz")))
    assert spans == [
        Span("a", "s0", "v"),
        Span("b", "s0", "w"),
        Span("c", "s1", "x"),
        Span("d", "s7", "y"),
        Span("↵\n", "s8", "z"),
    ]
    (both,) = by_surprise("e\u0301", np.array([1.5, 4]), ["one", "two"])
    assert both == Span("e\u0301", "s4", "one\ntwo")


def test_values_in_standard_deviations_with_equal_ones_merged():
    values = np.array([-9, -2, -2.4, -1, 0.4, -0.4, 1, 2, 99.0])
    assert list(by_value("abcdefghi", values, 0, 1)) == [
        Span("a", "n3"),
        Span("bc", "n2"),
        Span("d", "n1"),
        Span("ef", ""),
        Span("g", "p1"),
        Span("h", "p2"),
        Span("i", "p3"),
    ]
    assert list(by_value("ab", np.array([3.0, 5]), mean=5, deviation=2)) == [Span("a", "n1"), Span("b", "")]
    assert list(by_value("ab", np.ones(2), mean=1, deviation=0)) == [Span("ab", "")]


def test_marks():
    assert list(marked("ab\nc", np.array([0, 1, 1, 0], bool))) == [Span("a", ""), Span("b↵\n", "m"), Span("c", "")]


def test_candidates_are_lines():
    assert candidates("a \n", np.array([2, 1, 0]), np.array([0.6, 0.3, 0.0001])) == "↵ 60%\n␣ 30%\na <0.1%"


@pytest.mark.parametrize(
    ("share", "shown"), [(1, "100%"), (0.0996, "10%"), (0.0994, "9.9%"), (0.0006, "0.1%"), (0.0004, "<0.1%")]
)
def test_percent(share, shown):
    assert percent(share) == shown
