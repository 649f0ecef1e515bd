"""The vocabulary of a model from elsewhere: its characters in the order of their ids."""

import json
from pathlib import Path

from charrnn.data.corpus import read_text
from charrnn.errors import InputError
from charrnn.messages import quoted, shown
from charrnn.preprocessing import TextVectorizer, code_points


def read_vocabulary(path: str | Path) -> str:
    """The characters in a file, in the order of their ids.

    A file whose name ends in .json holds a list of characters, a text of them, a mapping from characters to ids, or is
    the vocabulary.json of a prepared text. Any other file is the text of the characters itself, in UTF-8; a line break
    at its end is a character too.

    Raises
    ------
    InputError
        If it holds something else, or a character twice.
    OSError
        If it can't be read.
    """
    text = "".join(read_text(path))
    if Path(path).suffix.lower() != ".json":
        return as_vocabulary(text, shown(path))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{shown(path)} is not JSON: {shown(error)}") from None
    if isinstance(value, dict):
        value = value["vocabulary"] if "vocabulary" in value else _in_order(value, shown(path))
    return as_vocabulary(value, shown(path))


def as_vocabulary(value: object, name: str) -> str:
    """A list of characters, or a text, as a text; errors call it `name`.

    Raises
    ------
    InputError
        If it is something else, is empty, or has a character twice.
    """
    if not isinstance(value, list | str):
        raise InputError(f"{name} is {quoted(value)}; it must be a list of characters, or a text of them")
    seen: dict[str, int] = {}
    for position, character in enumerate(value):
        if not isinstance(character, str) or len(character) != 1:
            raise InputError(f"{name} has {quoted(character)} at position {position}; it must be a single character")
        if seen.setdefault(character, position) != position:
            raise InputError(
                f"{name} has {quoted(character)} at positions {seen[character]} and {position}; "
                "each character may occur only once"
            )
    vocabulary = "".join(value)
    code_points(vocabulary)
    return TextVectorizer(vocabulary).vocabulary


def _in_order(ids: dict[str, object], name: str) -> list[str]:
    """The keys in the order of their values, which must be 0 … n - 1."""
    if not set(map(type, ids.values())) <= {int} or set(ids.values()) != set(range(len(ids))):
        raise InputError(f"{name} is a mapping, but not from characters to the ids 0 to {len(ids) - 1}")
    return sorted(ids, key=lambda character: ids[character])  # type: ignore[arg-type, return-value]
