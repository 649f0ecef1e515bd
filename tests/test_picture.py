"""The picture of a coloured passage: lines that fit, well-formed SVG, colours and text as in the page."""

import re
from xml.etree import ElementTree

import pytest

from report.coloured import Span
from report.picture import COLUMNS, LINES, picture, wrapped

COLOURS = ".s1 { background: red }\n"


def spans(text, style="s1"):
    return [Span("↵\n" if character == "\n" else character, style) for character in text]


def lines(text):
    return ["".join(span.text for span in line) for line in wrapped(spans(text))]


def test_lines_break_after_a_space_or_where_they_must():
    assert lines("ab\n\ncd") == ["ab↵\n", "↵\n", "cd"]
    word = "x" * (COLUMNS - 3)
    assert lines(f"{word} abcdef") == [f"{word} ", "abcdef"]
    assert lines("y" * (COLUMNS + 5)) == ["y" * COLUMNS, "y" * 5]
    assert lines(f"{word} ab") == [f"{word} ab"]


def test_wide_characters_take_two_columns_and_marks_none():
    assert [len(line) for line in lines("水" * 50)] == [COLUMNS // 2, 50 - COLUMNS // 2]
    assert len(lines("e\u0301" * COLUMNS)) == 1


def drawn(text, style="s1"):
    svg = picture(spans(text, style), COLOURS)
    return ElementTree.fromstring(svg), svg.decode()


def shown(root):
    return "".join(root.find(".//{http://www.w3.org/1999/xhtml}div").itertext())


def test_the_text_stands_there_escaped_without_blank_lines_at_its_beginning():
    root, svg = drawn("\n\n<a> & b\nc")
    assert shown(root) == "<a> & b↵\nc"
    assert '<i class="s1">&lt;</i>' in svg and COLOURS in svg


def test_characters_that_do_not_surprise_have_no_element():
    assert re.findall(r"<i .*?</i>", drawn("abc", "s0")[1]) == []


@pytest.mark.parametrize(("text", "count"), [("a", 1), ("a\nb\nc", 3), ("a\n" * 50, LINES), ("\n\n", 2)])
def test_the_picture_is_as_high_as_its_lines(text, count):
    root, _ = drawn(text)
    assert int(root.get("height")) == 28 + 22 * count
    assert len(shown(root).split("\n")) == count
