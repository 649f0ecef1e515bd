"""Foreign text in messages: on one line, harmless to a terminal, and never long."""

import pytest

from charrnn.messages import LONGEST_QUOTE, counted, figure, quoted, shown, shown_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, война, 漢", "plain text, война, 漢"),
        ("red: \x1b[31m", r"red: \x1b[31m"),
        ("two\nlines\r\u2028\x85", r"two\nlines\r\u2028\x85"),
        ("back\u202ewards", r"back\u202ewards"),
        ("\udc80", r"\udc80"),
        (ValueError("a\tb"), r"a\tb"),
        ("", ""),
    ],
)
def test_control_characters_are_escaped(text, expected):
    assert shown(text) == expected


def test_long_text_is_cut():
    assert shown("x" * LONGEST_QUOTE) == "x" * LONGEST_QUOTE
    assert shown("x" * 10**6) == "x" * LONGEST_QUOTE + "..."
    assert shown("\0" * 10**6) == (r"\x00" * LONGEST_QUOTE)[:LONGEST_QUOTE] + "..."
    assert shown("abcdef", longest=3) == "abc..."


def test_a_quoted_value_is_what_python_would_write():
    assert quoted("it's\n") == r'"it\'s\n"'.replace("\\'", "'")
    assert quoted([1, "two"]) == "[1, 'two']"
    assert quoted(10**5000) == "a number with too many digits"
    assert quoted("x" * 10**6) == "'" + "x" * (LONGEST_QUOTE - 1) + "..."
    assert quoted(b"\xff" * 10**6).startswith(r"b'\xff") and len(quoted(b"\xff" * 10**6)) == LONGEST_QUOTE + 3


@pytest.mark.parametrize(
    ("n", "noun", "expected"),
    [
        (0, "character", "0 characters"),
        (1, "character", "1 character"),
        (1, "batch", "1 batch"),
        (2000, "batch", "2,000 batches"),
    ],
)
def test_counted_nouns(n, noun, expected):
    assert counted(n, noun) == expected


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        (1.81559, 4, "1.8156"),
        (99.99994, 4, "99.9999"),
        (123.45678, 4, "123.457"),
        (7281.1234, 4, "7281.12"),
        (6.14525, 3, "6.145"),
        (69060.123, 3, "69060.1"),
        (1e305, 3, "1e+305"),
        (-7281.1234, 4, "-7281.12"),
    ],
)
def test_a_figure_has_at_most_six_significant_digits(value, decimals, expected):
    assert figure(value, decimals) == expected


def test_lines_of_foreign_text_keep_line_breaks_and_tabs_only():
    assert shown_lines("two\n\tlines \x1b[31m\r" + 999 * "x") == r"two" + "\n\tlines " + r"\x1b[31m\r" + 999 * "x"
