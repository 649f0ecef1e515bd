"""Read params.yaml and search.yaml as DVC does, in YAML 1.2, and report every error with its line and column.

PyYAML's own SafeLoader follows YAML 1.1: it reads `1e-3` as text, `no` as False, `012` as 10 and `1:30` as 90, and when
a key is repeated, it silently keeps the last value. DVC reads params.yaml with ruamel.yaml, which follows YAML 1.2, so
we would train with one value while DVC records another. The loader here reads what ruamel.yaml reads.

It refuses anything that no hyperparameter needs and that the two may read differently: types beyond the core schema
(dates, merge keys, sets), directives such as `%YAML 1.1`, and question marks and colons where YAML 1.1 and 1.2 differ.
"""

import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yaml import AliasEvent, MappingNode, Mark, MarkedYAMLError, Node, SafeLoader, ScalarNode, SequenceNode

from charrnn.errors import InputError

Levels = tuple[tuple[type[Node], ...], ...]  # kinds of collections, from the outermost level to the innermost

PARAMS_LEVELS: Levels = ((SequenceNode, MappingNode), (SequenceNode, MappingNode), (SequenceNode,))  # - {join: [a, b]}
PARAMS_EXPECTED = "a number, a text, true, false, or a list of texts or of {join: [texts]}"
LARGEST_FILE = 1 << 16  # characters; PyYAML reads about 100,000 a second
LONGEST_PROBLEM = 200  # characters of an error message
BASES = {"0b": 2, "0o": 8, "0x": 16}
STANDARD = "tag:yaml.org,2002:"
NULL, BOOL, INT, FLOAT, STR = (STANDARD + name for name in ("null", "bool", "int", "float", "str"))
COLLECTIONS: dict[type[Node], str] = {SequenceNode: STANDARD + "seq", MappingNode: STANDARD + "map"}

# For each type that YAML 1.1 writes differently, the possible first characters and the pattern of a plain scalar. The
# patterns are ruamel.yaml's, which accept more than the core schema does.
PLAIN_SCALARS = {
    BOOL: ("tTfF", r"true|True|TRUE|false|False|FALSE"),
    INT: ("-+0123456789", r"[-+]? (0b[01_]+ | 0o[0-7_]+ | 0x[0-9a-fA-F_]+ | [0-9_]+)"),
    FLOAT: (
        "-+.0123456789",
        r"""[-+]? [0-9][0-9_]* (\.[0-9_]* ([eE][-+]?[0-9]+)? | [eE][-+]?[0-9]+)
          | [-+]? \.[0-9_]+ ([eE][-+][0-9]+)?  # .5e+3, but .5e3 is text
          | [-+]? \.(inf|Inf|INF)
          | \.(nan|NaN|NAN)""",
    ),
}
# Control characters, surrogates, and the line breaks U+0085, U+2028 and U+2029, which only YAML 1.1 knows.
FORBIDDEN = re.compile("[^\t\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_yaml(path: Path, levels: Levels = PARAMS_LEVELS, expected: str = PARAMS_EXPECTED) -> Mapping[str, Any]:
    """The names and values in a YAML file, not checked yet.

    Parameters
    ----------
    levels
        The kinds of collections that a value may be, then the kinds that may be inside it, and so on.
    expected
        The same in words, for error messages.

    Raises
    ------
    InputError
        If the file can't be read, is not YAML, is not a mapping, or is nested in another way.
    """
    loader = _Loader(_read_text(path))
    try:
        root = loader.get_single_node()
        if isinstance(root, MappingNode):
            values: dict[str, Any] = loader.build(root, ((MappingNode,), *levels), expected)
            return values
    except MarkedYAMLError as error:
        mark = error.problem_mark or loader.get_mark()
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise _input_error(path, mark.line, mark.column, problem) from None
    except (ValueError, OverflowError, RecursionError) as error:  # which PyYAML itself does not catch
        problem = "nested too deeply" if isinstance(error, RecursionError) else "no character has this number"
        mark = loader.get_mark()
        raise _input_error(path, mark.line, mark.column, problem) from None
    raise InputError(f"{path} has no hyperparameters; a line such as `seed: 42` sets one")


def _read_text(path: Path) -> str:
    try:
        # DVC opens it like this too. A byte that is not UTF-8 becomes a surrogate, which FORBIDDEN then finds.
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; run this from the folder that holds it") from None
    if len(text) > LARGEST_FILE:
        raise InputError(f"{path} has more than {LARGEST_FILE:,} characters, the most that are allowed")
    if found := FORBIDDEN.search(text):
        character, (*lines, line) = found[0], text[: found.start()].split("\n")
        is_byte = "\udc80" <= character <= "\udcff"
        problem = "not UTF-8" if is_byte else f"{character!r} must be written as an escape in double quotes"
        raise _input_error(path, len(lines), len(line), problem)
    return text


def _input_error(path: Path, line: int, column: int, problem: str) -> InputError:
    return InputError(f"{path}, line {line + 1}, column {column + 1}: {problem[:LONGEST_PROBLEM]}")


class _Loader(SafeLoader):
    """Parses text into nodes as PyYAML does, and makes values from them as ruamel.yaml does."""

    size = 0  # characters and items in everything built so far

    def build(self, node: Node, levels: Levels, expected: str) -> Any:
        """The value of a node. Its collections must be nested as `levels` says; `expected` says the same in words."""
        self.size += len(node.value)
        if self.size > LARGEST_FILE:  # a few aliases of aliases can expand to more than fits in memory
            raise _error(node.start_mark, f"aliases expand this file to more than {LARGEST_FILE:,} characters")
        if isinstance(node, ScalarNode):
            try:
                return self.construct_object(node)
            except (ValueError, LookupError):
                raise _error(node.start_mark, f"no {_type(node)} can be made of {reprlib.repr(node.value)}") from None
        if not levels or not isinstance(node, levels[0]):
            raise _error(node.start_mark, f"nested too deeply; a value may be {expected}")
        if node.tag != COLLECTIONS[type(node)]:
            self.refuse_type(node)
        if isinstance(node, SequenceNode):
            return [self.build(item, levels[1:], expected) for item in node.value]
        values: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.build(key_node, (), expected)
            if key in values:
                raise _error(key_node.start_mark, f"duplicate key {reprlib.repr(key_node.value)}")
            values[key] = self.build(value_node, levels[1:], expected)
        return values

    def construct_int(self, node: ScalarNode) -> int:
        """The integer that a scalar such as 1_000, 012 (twelve), 0o17, 0x1F or 0b101 stands for."""
        digits = self.construct_scalar(node).replace("_", "")
        return int(digits, BASES.get(digits.lstrip("+-")[:2], 10))

    def construct_float(self, node: ScalarNode) -> float:
        """The number as YAML 1.1 reads it, except that `!!float 1:30` is an error instead of 90."""
        if ":" in node.value:
            raise ValueError
        return self.construct_yaml_float(node)

    def refuse_type(self, node: Node) -> None:
        """Refuse dates, merge keys, sets and every other type beyond the core schema."""
        raise _error(node.start_mark, f"the YAML type {_type(node)} can't be used here; text may need quotes")

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """Let an anchor replace an earlier one of the same name, which PyYAML refuses."""
        if not self.check_event(AliasEvent):
            self.anchors.pop(self.current_event.anchor, None)
        return super().compose_node(parent, index)

    def fetch_directive(self) -> None:
        """Refuse `%YAML 1.1` and `%TAG`, which change how everything else is read."""
        raise _error(self.get_mark(), "directives and `...` can't be used here")

    fetch_document_end = fetch_directive  # ruamel.yaml refuses a second `...`

    def fetch_key(self) -> None:
        """Refuse `?` where PyYAML reads the start of a key and ruamel.yaml may read text: `[https://host/?a=b]`."""
        raise _error(self.get_mark(), "text with a question mark must be in quotes here")

    def fetch_value(self) -> None:
        """Refuse `[a:]` and `{a:}`, which PyYAML reads as a key and ruamel.yaml as text that ends in a colon."""
        if self.peek(1) not in " \n\0":
            raise _error(self.get_mark(), "there must be a space after the colon, or quotes around the text")
        super().fetch_value()

    def scan_block_scalar_indentation(self) -> Any:
        """Refuse a block of text whose first line has only spaces, as ruamel.yaml does."""
        if re.compile(" +\n").match(self.buffer, self.pointer):
            raise _error(self.get_mark(), "the first line of a block of text has only spaces")
        return super().scan_block_scalar_indentation()


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in PLAIN_SCALARS]
    for first, resolvers in SafeLoader.yaml_implicit_resolvers.items()
}
for tag, (first, pattern) in PLAIN_SCALARS.items():
    _Loader.add_implicit_resolver(tag, re.compile(f"(?:{pattern})$", re.VERBOSE), first)
_Loader.bool_values = SafeLoader.bool_values | {"y": True, "n": False}  # `!!bool y`
_Loader.yaml_constructors = {
    NULL: _Loader.construct_yaml_null,
    BOOL: _Loader.construct_yaml_bool,
    INT: _Loader.construct_int,
    FLOAT: _Loader.construct_float,
    STR: _Loader.construct_yaml_str,
    None: _Loader.refuse_type,
}


def _type(node: Node) -> str:
    return node.tag.removeprefix(STANDARD)


def _error(mark: Mark | None, problem: str) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=mark)
