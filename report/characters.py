"""Characters on a page: which are shown as themselves and which as symbols, what belongs together, and their kinds."""

import unicodedata
from collections.abc import Iterator

PICTURES = {chr(i): chr(0x2400 + i) for i in range(32)} | {"\t": "⇥", "\n": "↵", "\x7f": "␡"}
JOINERS = "\u200c\u200d"  # they are invisible, but choose the shapes of their neighbours
SKIN_TONES = range(0x1F3FB, 0x1F400)
LONGEST_CLUSTER = 8  # characters; more marks on one letter are no language
KINDS = {
    "Lu": "upper-case letters",
    "Lt": "upper-case letters",
    "Ll": "lower-case letters",
    "L": "other letters",
    "M": "marks on letters",
    "N": "digits and numbers",
    "P": "punctuation",
    "S": "symbols",
    "Z": "spaces",
}


def symbol(character: str) -> str:
    """The character itself, or what stands for it if it can't be seen or would change the direction of the text.

    >>> symbol("a"), symbol("\\t"), symbol("\\u202e")
    ('a', '⇥', '\\\\u202e')
    """
    if character in PICTURES:
        return PICTURES[character]
    if character.isprintable() or character in JOINERS or unicodedata.category(character) == "Zs":
        return character
    return repr(character)[1:-1]


def visible(text: str) -> str:
    """A text with symbols for what can't be seen; a line still ends after the symbol of its end."""
    return "".join(symbol(character) + "\n" * (character == "\n") for character in text)


def shortened(text: str, length: int) -> str:
    """A text, or its beginning and its end with a line between them that says how much is left out.

    >>> shortened("abcdefgh", 4)
    'ab\\n… 4 characters …\\ngh'
    """
    if len(text) <= length:
        return text
    left_out = len(text) - 2 * (length // 2)
    return f"{text[: length // 2]}\n… {left_out:,} characters …\n{text[-(length // 2) :]}"


def label(character: str) -> str:
    """A single character in a list or a plot, where a space, a joiner or a mark would not be seen either."""
    if character == " ":
        return "␣"
    if character in JOINERS or unicodedata.category(character) == "Zs":
        return repr(character)[1:-1] if character in JOINERS else f"\\u{ord(character):04x}"
    return ("◌" if unicodedata.category(character)[0] == "M" else "") + symbol(character)


def clusters(text: str) -> Iterator[slice]:
    """The parts of a text that are drawn as one: a character with its marks, and joined emoji."""
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or not _belongs_to(text[i - 1], text[i]) or i - start == LONGEST_CLUSTER:
            yield slice(start, i)
            start = i


def _belongs_to(before: str, character: str) -> bool:
    joined = is_mark(character) or before == "\u200d" or ord(character) in SKIN_TONES
    return joined and before.isprintable() | (before in JOINERS)


def words(text: str) -> Iterator[slice]:
    """The words of a text: letters in a row, with the marks on them and the joiners between them.

    >>> [text[word] for text in ["Don't, नमस्ते!"] for word in words(text)]
    ['Don', 't', 'नमस्ते']
    """
    start = None
    for i, character in enumerate(text):
        if start is None:
            start = i if character.isalpha() else None
        elif not (character.isalpha() or is_mark(character)):
            yield slice(start, i)
            start = None
    if start is not None:
        yield slice(start, len(text))


def is_mark(character: str) -> bool:
    """Whether a character belongs to the letter before it: an accent, a vowel sign, a joiner."""
    return character in JOINERS or unicodedata.category(character)[0] == "M"


def kind(character: str) -> str:
    """What a character is, in words: a letter, a space, the end of a line …"""
    if character in "\n\r":
        return "ends of lines"
    category = unicodedata.category(character)
    if character == "\t":
        return "spaces"
    return KINDS.get(category) or KINDS.get(category[0]) or "control characters and others"
