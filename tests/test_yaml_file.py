"""The reader of params.yaml and search.yaml: it reads what DVC's parser reads, and reports where a file is wrong."""

import json
import re
import tracemalloc
import warnings
from math import inf, nan
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml.main import CParser
from yaml import MappingNode, SequenceNode

from charrnn.errors import InputError
from stages.common.yaml_file import LARGEST_FILE, read_yaml

LEVELS = ((SequenceNode, MappingNode), (SequenceNode,))
REFUSED = object()
# What our reader refuses although DVC's parser may accept it; BEYOND below has an example of each.
OURS_ALONE = re.compile("|".join([
    "the YAML type (timestamp|value|merge) can't be used here",
    "there must be a space after the colon",
    "text with a question mark must be in quotes here",
    "must be written as an escape in double quotes",
    "no int can be made of '[-+]?(0[box](0[box]|[-+ ])|[-+ ])",
    "expected (<block end>|the node content), but found ':'",
]))  # fmt: skip


@pytest.fixture
def file(tmp_path):
    """A function that writes a file and returns its path."""

    def write(content):
        path = tmp_path / "params.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read_by_dvc(path):
    """What DVC reads in a file, or REFUSED."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return load_yaml(str(path))
        except Exception:  # among them ValueError and KeyError, which DVC does not expect
            return REFUSED


def identical(a, b):
    """Whether two values are equal and of equal types, all the way down; -0.0 is not 0.0, and nan is nan."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, dict):
        return identical([list(pair) for pair in a.items()], [list(pair) for pair in b.items()])
    return repr(a) == repr(b)


def refusal(path, *args):
    """The one line with which a file is refused, without the folder."""
    with pytest.raises(InputError) as caught:
        read_yaml(path, *args)
    message = str(caught.value)
    assert message.startswith(str(path)) and len(message.splitlines()) == 1
    return message.replace(str(path), path.name, 1)


VALUES = [
    *((text, None) for text in ("", "~", "null", "Null", "NULL", "!!null x", "# nothing")),
    *((text, True) for text in ("true", "True", "TRUE", "!!bool yes", "!!bool y", "!!bool On")),
    *((text, False) for text in ("false", "False", "FALSE", "!!bool no", "!!bool n", "!!bool Off")),
    *((text, text) for text in ("yes", "no", "on", "off", "y", "n", "Yes", "NO", "tRUE", "nULL", "none", "None")),
    ("0", 0), ("-0", 0), ("+5", 5), ("-17", -17), ("1_000", 1000), ("0_", 0), ("1" + "0" * 400, 10**400),
    ("012", 12), ("-012", -12), ("08", 8), ("0o17", 15), ("-0o17", -15), ("0x1F", 31), ("+0x_f", 15), ("0b101", 5),
    ("!!int '64'", 64), ("!!int -0x1F", -31), ("! '64'", 64), ('! "64\\n"', 64), ("! '1e-3'", 0.001),
    *((text, text) for text in ("0O17", "0X1f", "0o8", "0b2", "0xg", "_1", "1__a", "+", "--1", "1 000", "1,000")),
    ("1e-3", 0.001), ("1E3", 1000.0), ("1e+3", 1000.0), ("-1e3", -1000.0), ("1.5e3", 1500.0), ("1_0.5_0", 10.5),
    ("1.", 1.0), (".5", 0.5), ("+.5", 0.5), ("-.5e-1", -0.05), ("012.5", 12.5), ("-0.0", -0.0), ("1e999", inf),
    (".inf", inf), ("+.Inf", inf), ("-.INF", -inf), (".nan", nan), (".NaN", nan), (".NAN", nan),
    ("!!float 1", 1.0), ("!!float 012", 12.0), ("!!float 1e3", 1000.0), ("!!float nan", nan),
    *((text, text) for text in (".5e3", "1e", "e3", "1e3.5", "1.5.2", ".", ".iNF", "-.nan", "inf", "nan", "0x1p3")),
    *((text, text) for text in ("1:30", "1:30:00", "190:20:30.15", "2001-1-1", "2001-01-01x", "12e03:1")),
    *((text, text) for text in ("gru", "a b.txt", "https://host/a?b=c#d", "a:b", "<<<", "==", "né", "日本語", "🎭")),
    ("!!str 5", "5"), ("!!str", ""), ("!!str null", "null"), ("'5'", "5"), ('"5"', "5"), ("'true'", "true"), ("''", ""),
    (r'"a\n\t\x41\u00e9\U0001F3AD\N\L\/\\"', "a\n\tAé🎭\x85\u2028/\\"), ("'it''s'", "it's"),
    ('"ROMEO:"', "ROMEO:"), ("ROMEO:x", "ROMEO:x"), ("a # b", "a"), ("a#b", "a#b"), ('"a # b"', "a # b"),
    ("a\n b", "a b"), ("'a\n\n b'", "a\nb"), ("|\n  a\n   b", "a\n b\n"), (">-\n  a\n  b", "a b"),
    ("|\n\n  a", "\na\n"), ("|+\n  a\n", "a\n\n"), ("|-\n  a: # 1\n", "a: # 1"),
    ("[]", []), ("[a, ]", ["a"]), ("!!seq [a]", ["a"]), ("[a, 1, 1e-3, no, ~]", ["a", 1, 0.001, "no", None]),
    ("[a b, 'c, d']", ["a b", "c, d"]), ("\n  - a.txt\n  - 0o17", ["a.txt", 15]), ("\n- a\n-", ["a", None]),
    ("&x 1", 1), ("[&x 0x10, *x]", [16, 16]), ("{a: &x [1], b: *x}", {"a": [1], "b": [1]}),
    ("{from: 1e-3, to: 3E-2, log: true}", {"from": 0.001, "to": 0.03, "log": True}), ("!!map {}", {}),
    ("\n  choices: [a, b]\n  when: x >= 1", {"choices": ["a", "b"], "when": "x >= 1"}),
]  # fmt: skip


@pytest.mark.parametrize("text, value", VALUES)
def test_a_value_is_read_as_dvc_reads_it(file, text, value):
    path = file(f"key: {text}\nlast: 1\n")
    assert identical(read_yaml(path, LEVELS), {"key": value, "last": 1})
    assert identical(read_by_dvc(path), {"key": value, "last": 1})


@pytest.mark.parametrize(
    "content",
    ["---\na: 1\n", "a: 1", "a: 1\r\n", "\ufeffa: 1\n", "{a: 1}", "# first\n\na: 1 # last", "'a': 1", "!!map {a: 1}"],
)
def test_a_file_is_a_mapping_in_any_style(file, content):
    path = file(content)
    assert read_yaml(path) == read_by_dvc(path) == {"a": 1}


@pytest.mark.parametrize("text, value", [("1", 1), ("1.5", 1.5), ("no", "no"), ("012", 12), ("0x1F", 31), ("~", None)])
def test_a_key_is_read_as_a_value_is(file, text, value):
    path = file(f"{text}: a\n")
    assert identical(read_yaml(path), {value: "a"})
    assert identical(read_by_dvc(path), {value: "a"})


INVALID = [
    ("a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key 'a'"),
    ("a: 1\n'a': 3\n", 2, 1, "duplicate key 'a'"),
    ("1: 1\n0x1: 3\n", 2, 1, "duplicate key '0x1'"),
    (".nan: 1\n.nan: 3\n", 2, 1, "duplicate key '.nan'"),
    ("a: {b: 1, c: 2, b: 3}\n", 1, 17, "duplicate key 'b'"),
    (f"{'k' * 500}: 1\n" * 2, 2, 1, "duplicate key 'kkkkkkkkkkkk...kkkkkkkkkkkkk'"),
    ("a: 1\n  b: 2\n", 2, 4, "mapping values are not allowed here"),
    ("a: [1\nb: 2\n", 2, 2, "while parsing a flow sequence, expected ',' or ']', but got ':'"),
    ("a: 'one\nb: 2\n", 3, 1, "while scanning a quoted scalar, found unexpected end of stream"),
    ("a:\n\tb: 1\n", 2, 1, "while scanning for the next token, found character '\\t' that cannot start any token"),
    ("a: *b\n", 1, 4, "found undefined alias 'b'"),
    (f"a: *{'b' * 500}\n", 1, 4, f"found undefined alias '{'b' * 177}"),
    ("a: 1\n---\nb: 1\n", 2, 1, "expected a single document in the stream, but found another document"),
    ('a: "\\U00110000"\n', 1, 7, "no character has this number"),
    ('a: "\\UFFFFFFFF"\n', 1, 7, "no character has this number"),
    ("a: !!int ten\n", 1, 4, "no int can be made of 'ten'"),
    ("a: [1, !!int '']\n", 1, 8, "no int can be made of ''"),
    ("a: !!float 1:30\n", 1, 4, "no float can be made of '1:30'"),
    ("a: !!float .infinity\n", 1, 4, "no float can be made of '.infinity'"),
    ("a: !!bool ten\n", 1, 4, "no bool can be made of 'ten'"),
    ("a: -_\n", 1, 4, "no int can be made of '-_'"),
    ("a: ._\n", 1, 4, "no float can be made of '._'"),
    ("a: 0o_\n", 1, 4, "no int can be made of '0o_'"),
    ("a: 1" + "0" * 5000, 1, 4, "no int can be made of '100000000000...0000000000000'"),
    ("a: !mine 1\n", 1, 4, "the YAML type !mine can't be used here; text may need quotes"),
    ("a: !!str [b]\n", 1, 4, "the YAML type str can't be used here; text may need quotes"),
    ("a: !!seq b\n", 1, 4, "the YAML type seq can't be used here; text may need quotes"),
    ("a: !!map [b]\n", 1, 4, "the YAML type map can't be used here; text may need quotes"),
    (
        "a: !!python/name:os.abort\n",
        1,
        4,
        "the YAML type python/name:os.abort can't be used here; text may need quotes",
    ),
    ("a: <<\n", 1, 4, "the YAML type merge can't be used here; text may need quotes"),
    ("a: =\n", 1, 4, "the YAML type value can't be used here; text may need quotes"),
    (b"a: 1\nb: caf\xe9\n", 2, 7, "not UTF-8"),
    (b"a: \xed\xa0\x80\n", 1, 4, "not UTF-8"),
    ("a: 1\n".encode("utf-16"), 1, 1, "not UTF-8"),
    ("a: 1\nb: '\0'\n", 2, 5, r"'\x00' must be written as an escape in double quotes"),
]


@pytest.mark.parametrize("content, line, column, problem", INVALID)
def test_what_dvc_refuses_is_refused_with_its_place(file, content, line, column, problem):
    path = file(content)
    assert refusal(path, LEVELS) == f"params.yaml, line {line}, column {column}: {problem}"
    assert read_by_dvc(path) is REFUSED


BEYOND = [
    ("a: 2001-01-01\n", 1, 4, "the YAML type timestamp can't be used here; text may need quotes"),
    ("2001-01-01: 1\n", 1, 1, "the YAML type timestamp can't be used here; text may need quotes"),
    ("a: 2001-01-01 10:00:00\n", 1, 4, "the YAML type timestamp can't be used here; text may need quotes"),
    ("<<: {a: 1}\n", 1, 1, "the YAML type merge can't be used here; text may need quotes"),
    ("=: 1\n", 1, 1, "the YAML type value can't be used here; text may need quotes"),
    ("!!set {a}\n", 1, 1, "the YAML type set can't be used here; text may need quotes"),
    ("a: !!omap [b: 1]\n", 1, 4, "the YAML type omap can't be used here; text may need quotes"),
    ("a: !!binary YQ==\n", 1, 4, "the YAML type binary can't be used here; text may need quotes"),
    ("a: !!int +-5\n", 1, 4, "no int can be made of '+-5'"),
    ("a: !!int 0x0x5\n", 1, 4, "no int can be made of '0x0x5'"),
    ("%YAML 1.1\n---\na: no\n", 1, 1, "directives and `...` can't be used here"),
    ("a: 1\n...\n", 2, 1, "directives and `...` can't be used here"),
    ("a: 1\n? b\n: 2\n", 2, 1, "text with a question mark must be in quotes here"),
    ("a: [https://host/?b=c]\n", 1, 18, "text with a question mark must be in quotes here"),
    ("a: [b:]\n", 1, 6, "there must be a space after the colon, or quotes around the text"),
    ("a:\t1\n", 1, 2, "there must be a space after the colon, or quotes around the text"),
    ("a: [b:,c]\n", 1, 6, "there must be a space after the colon, or quotes around the text"),
    ("a: {b:}\n", 1, 6, "there must be a space after the colon, or quotes around the text"),
    ('a: {"b":1}\n', 1, 8, "there must be a space after the colon, or quotes around the text"),
    ("a:\n  - : 1\n", 2, 5, "while parsing a block mapping, expected <block end>, but found ':'"),
    ("a: {: 1}\n", 1, 5, "while parsing a flow node, expected the node content, but found ':'"),
    ("a: 1\nb: é \x85\n", 2, 6, r"'\x85' must be written as an escape in double quotes"),
    ("a: 'b\u2028c'\n", 1, 6, r"'\u2028' must be written as an escape in double quotes"),
    ("a: [b,\tc]\n", 1, 7, "while scanning for the next token, found character '\\t' that cannot start any token"),
    ("a: |\n \n  b\n", 2, 1, "the first line of a block of text has only spaces"),
    ("a: &é 1\n", 1, 5, "while scanning an anchor, expected alphabetic or numeric character, but found 'é'"),
]


@pytest.mark.parametrize("content, line, column, problem", BEYOND)
def test_what_two_parsers_may_read_differently_is_refused(file, content, line, column, problem):
    assert refusal(file(content), LEVELS) == f"params.yaml, line {line}, column {column}: {problem}"


@pytest.mark.parametrize("content", ["{a: &x 1, b: &x 2, c: *x}", "{a: &x [&x 2], c: *x}"])
def test_an_anchor_may_be_there_twice(file, content):
    assert read_yaml(file(content))["c"] == 2


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "- a\n", "a", "42\n", "[a: 1]", "!!omap [a: 1]"])
def test_a_file_without_names_is_refused(file, content):
    assert refusal(file(content)) == ("params.yaml has no hyperparameters; a line such as `seed: 42` sets one")


@pytest.mark.parametrize(
    "content, levels, line, column",
    [
        ("a: 1\nb: [1, [2]]\n", ((SequenceNode,),), 2, 8),
        ("a: {b: 1}\n", ((SequenceNode,),), 1, 4),
        ("a: [1]\n", (), 1, 4),
        ("a: {b: {c: 1}}\n", LEVELS, 1, 8),
        ("a: {b: [[1]]}\n", LEVELS, 1, 9),
        ("a: [{b: 1}]\n", LEVELS, 1, 5),
        ("{[a]: 1}\n", LEVELS, 1, 2),
        ("{{a: 1}: 1}\n", LEVELS, 1, 2),
        ("a: &x [*x]\n", LEVELS, 1, 4),
        ("a: &x [1]\nb: {c: [2], d: [*x]}\n", LEVELS, 1, 4),  # the place of the list, not of its alias
    ],
)
def test_what_is_nested_too_deep_is_refused(file, content, levels, line, column):
    path = file(content)
    assert refusal(path, levels, "two lists") == (
        f"params.yaml, line {line}, column {column}: nested too deeply; a value may be two lists"
    )


LISTS = "[&a0 [x, x, x, x, x, x, x, x], " + ", ".join(f"&a{i} [{f'*a{i - 1},' * 8}]" for i in range(1, 9)) + "]"
TEXTS = f"[&a {'x' * 30_000}{', *a' * 5000}]"
MAPPINGS = f"{{b: &b [{'x, ' * 3000}], {', '.join(f'c{i}: *b' for i in range(1000))}}}"


@pytest.mark.parametrize("value", [LISTS, TEXTS, MAPPINGS], ids=["lists", "texts", "mappings"])
def test_aliases_are_refused_before_they_fill_memory(file, value):
    path = file(f"a: {value}\n")
    tracemalloc.start()
    try:
        message = refusal(path, LEVELS)
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()
    problem = "(nested too deeply|aliases expand this file to more than 65,536 char)"
    assert re.match(rf"params.yaml, line 1, column \d+: {problem}", message)


@pytest.mark.parametrize("unit", ["[", "{", "{a: ", "- ", "x", '"', "#\n", "a: &a\n", "a: |\n  b\n"])
def test_a_deep_or_large_file_is_refused(file, unit):
    content = unit * (LARGEST_FILE // len(unit))
    assert "characters" not in refusal(file(content))
    assert refusal(file(content + unit)) == "params.yaml has more than 65,536 characters, the most that are allowed"


def test_a_full_file_is_read(file):
    path = file("".join(f"{i}: {i % 7}\n" for i in range(7000)).ljust(LARGEST_FILE, "#"))
    assert identical(read_yaml(path), read_by_dvc(path))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a file without end")
def test_an_endless_file_is_refused():
    with pytest.raises(InputError, match="^/dev/zero has more than"):
        read_yaml(Path("/dev/zero"))


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    assert refusal(tmp_path / "no.yaml") == "no.yaml: No such file or directory; run this from the folder that holds it"
    assert "directory; run this" in refusal(tmp_path)


ANY_PLAIN = st.text("0123456789eE+-._xoabnfyNO~: ", max_size=8)
NUMBER_LIKE = st.from_regex(r"[-+]?(0[box])?[0-9_]{0,3}[.xF]?[0-9_]{0,2}([eE][-+]?[0-9_]{0,2})?", fullmatch=True)
WORD_LIKE = st.builds(
    lambda before, word, style: before + style(word),
    st.sampled_from(["", "", ".", "-.", "+."]),
    st.sampled_from(["inf", "nan", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", "=", "<<"]),
    st.sampled_from([str.lower, str.upper, str.title, str.swapcase]),
)
PLAIN = ANY_PLAIN | NUMBER_LIKE | WORD_LIKE
SINGLE_QUOTED = st.text(st.characters(exclude_categories=["Cs", "Cc"])).map(
    lambda text: "'" + text.replace("'", "''") + "'"
)
DOUBLE_QUOTED = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])).map(json.dumps)
TAGGED = st.builds("{} {}".format, st.sampled_from(["!!str", "!!int", "!!float", "!!bool", "!!null"]), PLAIN)
NUMBERS = st.integers().flatmap(lambda i: st.sampled_from([str(i), hex(i), oct(i), bin(i)])) | st.floats().map(str)
SCALARS = PLAIN | NUMBERS | TAGGED | SINGLE_QUOTED | DOUBLE_QUOTED
LISTS_OF_SCALARS = st.lists(SCALARS, max_size=4).flatmap(
    lambda items: st.sampled_from([f"[{', '.join(items)}]", "".join(f"\n  - {item}" for item in items)])
)


@pytest.mark.skipif(
    CParser is not None, reason="ruamel.yaml's parser in C refuses `[a:b]`, which its own in Python reads"
)
@settings(max_examples=1000)
@given(SCALARS | LISTS_OF_SCALARS)
def test_any_value_is_read_as_dvc_reads_it(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(f"key: {text}\nlast: 1\n", encoding="utf-8")
    theirs = read_by_dvc(path)
    try:
        ours = read_yaml(path, ((SequenceNode, MappingNode),) * 2)
    except InputError as error:
        assert theirs is REFUSED or OURS_ALONE.search(str(error)), (theirs, str(error))
    else:
        assert identical(ours, theirs), (theirs, ours)
