"""Describable things that a unit might follow, computed from a text alone; those that hardly occur in it are left out.

A feature has a number for each character of the text, given all characters up to and including it. Only the end of a
word looks one character ahead: there, a unit that follows it has foreseen it.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping

import numpy as np

from charrnn.arrays import Array
from report.characters import words

LEAST_FALLS = 5  # in either half of a text; a feature that falls less often has hardly been seen
SAME = 0.98  # a feature that correlates more with an earlier one tells the same
BLANK_LINE = re.compile(r"\n[^\S\n]*\n|\r\n[^\S\n]*\r\n")
QUOTES = {"「": 1, "」": -1, "『": 1, "』": -1}
QUOTES_OF_EITHER_KIND = '"“”„«»‹›'  # which of them opens depends on the language
BRACKETS = {"(": 1, ")": -1, "[": 1, "]": -1, "{": 1, "}": -1, "（": 1, "）": -1, "【": 1, "】": -1}
SENTENCE_ENDS = frozenset(".!?…。！？؟।՞։")
VOWELS = frozenset("aeiouyаеиоуыэюяієαεηιουω")


def hypotheses(text: str) -> dict[str, Array]:
    """The features (n,) float64 that vary in this text, by what they say."""
    found: dict[str, Array] = {}
    for name, compute in FEATURES.items():
        feature = compute(text).astype(np.float64)
        if _varies(feature) and not any(abs(np.corrcoef(feature, other)[0, 1]) > SAME for other in found.values()):
            found[name] = feature
    return found


def _varies(feature: Array) -> bool:
    """Whether a feature falls several times in either half of the text."""
    half = len(feature) // 2
    return all((np.diff(part) < 0).sum() >= LEAST_FALLS for part in (feature[:half], feature[half:]))


def since(events: Array) -> Array:
    """log(1 + the number of characters since the last event) (n,), for events (n,) bool; a text begins after one."""
    places = np.arange(len(events))
    return np.log1p(places - np.maximum.accumulate(np.where(events, places, -1)))


def where(is_one: Callable[[str], bool]) -> Callable[[str], Array]:
    """The feature that is 1 for characters of this kind, else 0."""
    return lambda text: np.array([is_one(character) for character in text], bool)


def blank_lines(text: str) -> Array:
    """Where a blank line ends (n,) bool."""
    return _at(text, [match.end() - 1 for match in BLANK_LINE.finditer(text)])


def in_capitals(text: str) -> Array:
    """Inside a word of two or more letters, all of them capitals (n,) bool."""
    capitals = [word for word in words(text) if word.stop - word.start > 1 and text[word].isupper()]
    return _at(text, [place for word in capitals for place in range(word.start, word.stop)])


def before_word_end(text: str) -> Array:
    """The last character of each word (n,) bool, except of a word that the end of the text may cut."""
    return _at(text, [word.stop - 1 for word in words(text) if word.stop < len(text)])


def is_vowel(character: str) -> bool:
    """Whether a letter of the Latin, Cyrillic or Greek alphabet is a vowel, with or without an accent."""
    return unicodedata.normalize("NFD", character)[0].lower() in VOWELS


def inside(marks: Mapping[str, int], both: str = "") -> Callable[[str], Array]:
    """How deep a character is inside of marks that open (1) and close (-1), or (`both`) do either in turn.

    A blank line closes all, so that one missing mark does not spoil the rest.
    """

    def depths(text: str) -> Array:
        depth, found, ends = 0, [], blank_lines(text)
        for character, end in zip(text, ends):
            step = (1 if depth == 0 else -1) if character in both else marks.get(character, 0)
            depth = 0 if end else max(0, depth + step)
            found.append(depth)
        return np.array(found, int)

    return depths


def indentation(text: str) -> Array:
    """log(1 + the number of blanks that the line has begun with so far) (n,)."""
    count, leading, found = 0, True, []
    for character in text:
        if character == "\n":
            count, leading = 0, True
        elif leading and character in " \t":
            count += 1
        else:
            leading = False
        found.append(count)
    return np.log1p(found)


def _at(text: str, places: list[int]) -> Array:
    feature = np.zeros(len(text), bool)
    feature[places] = True
    return feature


FEATURES: dict[str, Callable[[str], Array]] = {
    "characters since the line began": lambda text: since(where("\n".__eq__)(text)),
    "characters since the last space": lambda text: since(where(str.isspace)(text)),
    "characters since the last blank line": lambda text: since(blank_lines(text)),
    "characters since the last sentence ended": lambda text: since(where(SENTENCE_ENDS.__contains__)(text)),
    "inside a word in capitals": in_capitals,
    "before the end of a word": before_word_end,
    "a vowel": where(is_vowel),
    "an upper-case letter": where(str.isupper),
    "a digit": where(str.isdigit),
    "inside quotation marks": inside(QUOTES, both=QUOTES_OF_EITHER_KIND),
    "inside brackets": inside(BRACKETS),
    "the indentation of the line": indentation,
}
