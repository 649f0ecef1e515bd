"""The table of hyperparameters: what each accepts, and the messages about other values."""

import random
import re
import subprocess
import sys
import tracemalloc
from collections import Counter
from math import inf, nan
from pathlib import Path

import pytest

from charrnn.config import ModelConfig, SamplingConfig, TrainingConfig
from charrnn.errors import InputError
from charrnn.layers import CELLS
from charrnn.optimizers import OPTIMIZERS
from stages.common.params import (
    CONFIGS,
    PARAMS,
    as_yaml,
    config_from,
    default_file,
    load_params,
    params_of,
)
from stages.common.yaml_file import PARAMS_EXPECTED, read_yaml
from stages.params import page

ROOT = Path(__file__).parents[1]
POSITIVE = "an integer of at least 1"
WIDTH = "an integer of at least 1 and at most 1,000,000"
SHARE = "a number above 0 and below 1"
SOURCES = "a non-empty text, {join: [texts]}, or a list of these"
ALLOWED = {
    "data_url": SOURCES,
    "separator": "a text",
    "data_sha256": "a text",
    "max_corpus_mb": "a number above 0",
    "train_size": SHARE,
    "validation_size": SHARE,
    "cell": "one of gru, lstm, rnn",
    "num_layers": "an integer of at least 1 and at most 1,000",
    "embedding_dim": WIDTH,
    "hidden_dim": WIDTH,
    "embedding_limit": "a number above 0 and at most 1,000",
    "output_bias": "one of zeros, log_frequencies",
    "dropout": "a number of at least 0 and below 1",
    "window_size": POSITIVE,
    "stride": POSITIVE,
    "targets": "one of every, last",
    "tie_weights": "true or false",
    "reset_after": "true or false",
    "mogrifier": "true or false",
    "carry_state": "true or false",
    "batch_size": WIDTH,
    "num_epochs": POSITIVE,
    "optimizer": "one of nadam, adam, rmsprop, adagrad, sgd, momentum, nesterov",
    "learning_rate": "a number above 0",
    "schedule": "one of constant, step, cosine",
    "final_learning_rate": "a number of at least 0",
    "warmup_batches": "an integer of at least 0",
    "beta_2": "a number of at least 0 and below 1",
    "weight_decay": "a number of at least 0",
    "clip_norm": "a number of at least 0",
    "patience": "an integer of at least 0",
    "calibrate": "true or false",
    "dynamic": "true or false",
    "seed": "an integer of at least 0",
    "log_interval": POSITIVE,
    "workers": "an integer of at least 1 and at most 1,024",
    "start_string": "a non-empty text",
    "num_to_generate": "an integer of at least 1 and at most 1,000,000,000,000,000,000",
    "temperature": "a number of at least 0",
    "top_k": "an integer of at least 0",
    "top_p": "a number above 0 and at most 1",
}
OF_TYPE = {kind: [name for name, param in PARAMS.items() if type(param.default) is kind] for kind in (int, float, bool)}
CHOSEN = [name for name, param in PARAMS.items() if param.choices]


@pytest.fixture
def file(tmp_path):
    """A function that writes a params.yaml and returns its path."""

    def write(content):
        path = tmp_path / "params.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def with_line(line):
    """The default params.yaml with another line for one key."""
    key = line.partition(":")[0]
    text, replaced = re.subn(rf"(?m)^{key}:.*\n(  - .*\n)*", lambda _: f"{line}\n", default_file())
    assert replaced == 1
    return text


def refusal(action, *args):
    """The one line that an action is refused with."""
    with pytest.raises(InputError) as caught:
        action(*args)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    "name, value, expected",
    [
        ("seed", 0, 0),
        ("seed", "64", 64),
        ("seed", 2**64, 2**64),
        ("hidden_dim", 1, 1),
        ("learning_rate", 0.01, 0.01),
        ("learning_rate", "1e-3", 0.001),
        ("learning_rate", "5e-324", 5e-324),
        ("learning_rate", 1, 1.0),
        ("clip_norm", 0, 0.0),
        ("clip_norm", "0", 0.0),
        ("train_size", 0.999, 0.999),
        ("train_size", "1e-9", 1e-9),
        ("carry_state", True, True),
        ("carry_state", False, False),
        ("carry_state", "true", True),
        ("carry_state", "False", False),
        ("cell", "rnn", "rnn"),
        ("top_p", 1, 1.0),
        ("dropout", 0, 0.0),
        ("optimizer", "nesterov", "nesterov"),
        ("start_string", "42", "42"),
        ("start_string", "\n", "\n"),
        ("data_url", "a b.txt", "a b.txt"),
        ("data_url", ["https://a/b", "c"], ["https://a/b", "c"]),
        ("data_url", {"join": ["a", "b"]}, {"join": ["a", "b"]}),
        ("data_url", [{"join": ["a"]}, "c"], [{"join": ["a"]}, "c"]),
        ("separator", "", ""),
        ("data_sha256", "", ""),
    ],
)
def test_good_values_leave_in_their_own_type(name, value, expected):
    parsed = PARAMS[name].parse(value)
    assert parsed == expected
    assert type(parsed) is type(expected)


@pytest.mark.parametrize("param", PARAMS.values(), ids=PARAMS)
def test_every_default_is_allowed(param):
    assert param.parse(param.default) == param.default


BAD = [
    *((name, value) for name in OF_TYPE[int] for value in (True, 1.0, nan, inf, None, "", "x", "1.5", "1e3", [1], -1)),
    *((name, 0) for name in OF_TYPE[int] if ALLOWED[name].startswith(POSITIVE)),
    *((name, 10**6 + 1) for name, allowed in ALLOWED.items() if allowed == WIDTH),
    ("num_layers", 1001),
    ("workers", 1025),
    ("num_to_generate", 10**18 + 1),
    *((name, value) for name in OF_TYPE[float] for value in (True, nan, inf, -inf, None, "", "nan", "-inf", "x", [1])),
    *((name, -1e-9) for name in OF_TYPE[float]),
    *((name, value) for name in ("train_size", "validation_size") for value in (0, 0.0, 1, 1.0, "1", 80)),
    *((name, 0) for name in ("learning_rate", "max_corpus_mb")),
    *((name, value) for name in ("dropout", "beta_2") for value in (1, 1.0, "1")),
    *(("top_p", value) for value in (0, "0.0", 1.001, 2)),
    *((name, value) for name in OF_TYPE[bool] for value in (0, 1, 1.0, None, "", "yes", "1", [True])),
    *((name, value) for name in CHOSEN for value in ("lstn", "", None, 1, True, ["gru"], "GRU ")),
    *(("start_string", value) for value in ("", None, 42, True, ["a"])),
    *(("data_url", value) for value in ("", [], [""], [1, ""], None, 1, True)),
    *((name, value) for name in ("separator", "data_sha256") for value in (None, 42, True, ["a"])),
]


@pytest.mark.parametrize("name, value", BAD)
def test_a_bad_value_is_refused_in_one_line(name, value):
    assert refusal(PARAMS[name].parse, value) == f"{name} is {value!r}; it must be {ALLOWED[name]}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"jion": ["https://me:SECRET@a"]}, "{'jion': []}"),
        ({"jion": "https://me:SECRET@a"}, "{'jion': a text}"),
        ({"join": "https://me:SECRET@a"}, "{'join': a text}"),
        ({"join": []}, "{'join': []}"),
        ({"join": None}, "{'join': None}"),
        ({"join": ["https://me:SECRET@a", "", 3]}, "{'join': ['', 3]}"),
        ({"join": ["a", {"join": ["b"]}]}, "{'join': []}"),
        ({"join": ["a"], "separator": "SECRET"}, "{'join': [], 'separator': a text}"),
        ({}, "{}"),
        ([["https://me:SECRET@a"]], "[[...]]"),
        (["https://me:SECRET@a", {"join": 7}], "[{'join': 7}]"),
        ({1: 2}, "{1: 2}"),
    ],
)
def test_a_wrong_mapping_is_refused_without_the_urls_in_it(value, shown):
    assert refusal(PARAMS["data_url"].parse, value) == f"data_url is {shown}; it must be {SOURCES}"


@pytest.mark.parametrize("value", [10**400, "1" + "0" * 400], ids=["number", "text"])
@pytest.mark.parametrize("name", OF_TYPE[int] + OF_TYPE[float])
def test_a_number_beyond_floating_point_is_refused_or_kept(name, value):
    try:
        assert PARAMS[name].parse(value) == 10**400
    except InputError as error:
        assert str(error).endswith(f"it must be {ALLOWED[name]}")


def test_defaults_load_back_from_the_default_file(file):
    loaded = load_params(file(default_file()))
    defaults = {name: param.default for name, param in PARAMS.items()}
    assert loaded == defaults
    assert list(loaded) == list(defaults)
    assert [type(value) for value in loaded.values()] == [type(value) for value in defaults.values()]


def test_the_default_file_explains_every_key():
    for param in PARAMS.values():
        choices = f": one of {', '.join(param.choices)}" if param.choices else ""
        assert f"\n# {param.help}{choices}\n{param.name}:" in default_file()


@pytest.mark.parametrize(("flags", "text"), [((), default_file()), (("--table",), page())])
def test_the_default_file_and_the_page_can_be_printed(flags, text):
    command = [sys.executable, "-m", "stages.params", *flags]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, text, "")


@pytest.mark.parametrize(
    "line, name, expected",
    [
        ("learning_rate: 1e-3", "learning_rate", 0.001),
        ("learning_rate: '1e-3'", "learning_rate", 0.001),
        ("hidden_dim: '64'", "hidden_dim", 64),
        ("clip_norm: 5", "clip_norm", 5.0),
        ("carry_state: true", "carry_state", True),
        ("data_url: a.txt", "data_url", "a.txt"),
        ("data_url: [a.txt, b.txt]", "data_url", ["a.txt", "b.txt"]),
        ("data_url: {join: [a.txt, b.txt]}", "data_url", {"join": ["a.txt", "b.txt"]}),
        ("data_url: [{join: [a.txt]}, b.txt]", "data_url", [{"join": ["a.txt"]}, "b.txt"]),
        ('start_string: "Ä\\n"', "start_string", "Ä\n"),
    ],
)
def test_a_value_of_the_file_replaces_the_default(file, line, name, expected):
    loaded = load_params(file(with_line(line)))
    defaults = {name: param.default for name, param in PARAMS.items()}
    assert loaded == defaults | {name: expected}
    assert type(loaded[name]) is type(expected)


@pytest.mark.parametrize(
    "line, shown",
    [
        ("seed: true", "True"),
        ("seed: 4.0", "4.0"),
        ("seed: -1", "-1"),
        ("seed: 1:30", "'1:30'"),
        ("hidden_dim: [64]", "[64]"),
        ("learning_rate: .nan", "nan"),
        ("learning_rate: .inf", "inf"),
        ("temperature:", "None"),
        ("carry_state: yes", "'yes'"),
        ("optimizer: lion", "'lion'"),
        ("start_string: ''", "''"),
        ("data_url: []", "[]"),
        ("data_url: [[a]]", "[[...]]"),
        ("data_url: {join: a}", "{'join': a text}"),
        ("data_url: {join: [a, 1]}", "{'join': [1]}"),
    ],
)
def test_a_bad_value_of_the_file_is_refused(file, line, shown):
    path, name = file(with_line(line)), line.partition(":")[0]
    assert refusal(load_params, path) == f"{path}: {name} is {shown}; it must be {ALLOWED[name]}"


@pytest.mark.parametrize(
    ("key", "hint"),
    [("hiden_dim", "did you mean hidden_dim?"), ("optimiser", "did you mean optimizer?"), ("xyz", None)],
)
def test_an_unknown_key_is_refused_with_the_one_that_was_meant_or_all_known_ones(file, key, hint):
    path = file(f"{default_file()}{key}: 64\n")
    hint = hint or f"it must be one of {', '.join(PARAMS)}"
    assert refusal(load_params, path) == f"{path}: {key!r} is not a hyperparameter; {hint}"


@pytest.mark.parametrize(
    "key, shown", [("1", "1"), ("null", "None"), ('"two\\nlines"', r"'two\nlines'"), ("k" * 1000, f"'{'k' * 199}...")]
)
def test_an_unknown_key_of_any_kind_is_refused_in_one_line(file, key, shown):
    path = file(f"{default_file()}{key}: 64\n")
    assert refusal(load_params, path).startswith(f"{path}: {shown} is not a hyperparameter; it must be one of ")


@pytest.mark.parametrize("name", PARAMS)
def test_a_missing_key_is_refused_with_its_default(file, name):
    path = file(with_line(f"{name}: 1").replace(f"\n{name}: 1\n", "\n"))
    assert refusal(load_params, path) == f"{path}: {name} is missing; the default is {PARAMS[name].default!r}"


NUM_LINES = default_file().count("\n")
TYPE = "the YAML type {} can't be used here; text may need quotes"
TOO_DEEP = f"nested too deeply; a value may be {PARAMS_EXPECTED}"
NO_KEYS = "has no hyperparameters; a line such as `seed: 42` sets one"


def test_a_key_that_is_there_twice_is_refused(file):
    path = file(default_file() + "seed: 43\n")
    assert refusal(load_params, path) == f"{path}, line {NUM_LINES + 1}, column 1: duplicate key 'seed'"


@pytest.mark.parametrize("content", ["", "# nothing\n", "- seed\n", "seed", "42\n", "!!omap [seed: 1]"])
def test_a_file_without_keys_is_refused(file, content):
    path = file(content)
    assert refusal(load_params, path) == f"{path} {NO_KEYS}"


@pytest.mark.parametrize(
    "content, line, column, problem",
    [
        ("seed: [1\n", 2, 1, "while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        ("seed: 'one\n", 2, 1, "while scanning a quoted scalar, found unexpected end of stream"),
        ("\tseed: 1\n", 1, 1, r"while scanning for the next token, found character '\t' that cannot start any token"),
        ("seed: *one\n", 1, 7, "found undefined alias 'one'"),
        ("seed: !mine 1\n", 1, 7, TYPE.format("!mine")),
        ("seed: 1\n---\n", 2, 1, "expected a single document in the stream, but found another document"),
        ("!!set {seed}", 1, 1, TYPE.format("set")),
        (b"seed: \xff\n", 1, 7, "not UTF-8"),
        (b"start_string: caf\xe9\n", 1, 18, "not UTF-8"),
        (b"seed: \0\n", 1, 7, r"'\x00' must be written as an escape in double quotes"),
        ("seed: 1\n".encode("utf-16"), 1, 1, "not UTF-8"),
        ("2001-01-01: 1", 1, 1, TYPE.format("timestamp")),
        ("seed: 2001-99-01", 1, 7, TYPE.format("timestamp")),
        ("seed: !!int ten", 1, 7, "no int can be made of 'ten'"),
        ("seed: !!int ''", 1, 7, "no int can be made of ''"),
        ("seed: !!float ''", 1, 7, "no float can be made of ''"),
        ("seed: !!bool ten", 1, 7, "no bool can be made of 'ten'"),
        ("seed: 1" + "0" * 5000, 1, 7, "no int can be made of '100000000000...0000000000000'"),
        ("seed: !!python/object/apply:os.abort []", 1, 7, TYPE.format("python/object/apply:os.abort")),
        (r'seed: "\Uffffffff"', 1, 10, "no character has this number"),
        (r'seed: "\U00110000"', 1, 10, "no character has this number"),
    ],
)
def test_what_yaml_does_not_allow_is_refused_with_its_place(file, content, line, column, problem):
    path = file("# the seed\n" + content) if isinstance(content, str) else file(content)
    line += isinstance(content, str)
    assert refusal(load_params, path) == f"{path}, line {line}, column {column}: {problem}"


@pytest.mark.parametrize("value", ["0x" + "f" * 60_000, "[0x" + "f" * 60_000 + "]"], ids=["number", "list"])
def test_a_number_that_python_does_not_write_is_refused(file, value):
    path = file(with_line(f"seed: {value}"))
    assert refusal(load_params, path) == f"{path}: seed is a number with too many digits; it must be {ALLOWED['seed']}"


def test_a_long_value_is_not_shown_whole(file):
    path = file(with_line(f"seed: {'x' * 60_000}"))
    assert refusal(load_params, path) == f"{path}: seed is '{'x' * 199}...; it must be {ALLOWED['seed']}"


BOMB = "[&a0 [x, x, x, x, x, x, x, x], " + ", ".join(f"&a{i} [{f'*a{i - 1},' * 8}]" for i in range(1, 7)) + "]"


@pytest.mark.parametrize(
    "lines, problem",
    [
        (f"seed: {BOMB}", TOO_DEEP),
        (f"seed: {{x: {BOMB}}}", TOO_DEEP),
        (f"seed: 1\nseed: {BOMB}", "duplicate key 'seed'"),
        (f"? {{x: {BOMB}, x: 1}}\n: 1", "text with a question mark must be in quotes here"),
        (f"? {BOMB}\n: 1", "text with a question mark must be in quotes here"),
        (f"<<: {{seed: {BOMB}}}", TYPE.format("merge")),
        ("seed: &a [*a]", TOO_DEEP),
        ("seed: &a {*a : 1}", TOO_DEEP),
        ("seed: {[a, {b: c}]: 1}", TOO_DEEP),
        ("seed: " + "[" * 100, "while parsing a flow node, expected the node content, but found '<stream end>'"),
        ("seed: " + "[" * 100 + "]" * 100, TOO_DEEP),
        ("data_url: [[[[a]]]]", TOO_DEEP),
        ("data_url: {join: [[[a]]]}", TOO_DEEP),
        ("data_url: [{join: [{join: [a]}]}]", TOO_DEEP),
        ("data_url: !!omap [a: b]", TYPE.format("omap")),
        ("data_url: !!set {a}", TYPE.format("set")),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_nested_is_refused_in_bounded_memory(file, lines, problem):
    path = file(lines)
    tracemalloc.start()
    try:
        message = refusal(load_params, path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert re.fullmatch(re.escape(str(path)) + r", line [12], column \d+: " + re.escape(problem), message)


def test_a_byte_order_mark_changes_nothing(file):
    assert load_params(file("\ufeff" + default_file())) == load_params(file(default_file()))


@pytest.mark.filterwarnings("error")
def test_an_anchor_may_be_there_twice(file):
    text = with_line("seed: &a 1").replace("patience: 0", "patience: &a 2").replace("top_k: 0", "top_k: *a")
    loaded = load_params(file(text))
    assert (loaded["seed"], loaded["patience"], loaded["top_k"]) == (1, 2, 1)  # the last one before the alias


def test_a_missing_file_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    message = refusal(load_params, path)
    assert message == f"{path}: No such file or directory; run this from the folder that holds it"


def test_the_choices_are_those_of_the_library():
    assert list(PARAMS["cell"].choices) == list(CELLS)
    assert list(PARAMS["optimizer"].choices) == list(OPTIMIZERS)


def test_params_yaml_has_every_key_in_order():
    assert list(read_yaml(ROOT / "params.yaml")) == list(PARAMS)


def test_no_two_config_classes_declare_the_same_name():
    names = params_of(*CONFIGS)
    assert len(set(names)) == len(names) and list(names) == list(PARAMS)


@pytest.mark.parametrize("config", CONFIGS)
def test_params_that_are_the_defaults_make_the_default_config(config):
    defaults = {name: param.default for name, param in PARAMS.items()}
    assert config_from(defaults, config) == config()


def test_params_reach_the_config_of_the_library():
    params = {name: param.default for name, param in PARAMS.items()} | {"hidden_dim": 7, "stride": 3, "top_k": 5}
    assert config_from(params, ModelConfig) == ModelConfig(hidden_dim=7)
    assert config_from(params, TrainingConfig) == TrainingConfig(stride=3)
    assert config_from(params, SamplingConfig) == SamplingConfig(top_k=5)


@pytest.mark.parametrize(
    "value, text",
    [
        (True, "true"),
        (False, "false"),
        (0.001, "0.001"),
        (7, "7"),
        ("gru", "gru"),
        ("a b:", "a b:"),
        ("", '""'),
        (" ", '" "'),
        ("\n", '"\\n"'),
    ],
)
def test_a_value_is_written_as_yaml(value, text):
    assert as_yaml(value) == text


PIECES = [
    "\0", "\ufeff", "\x85", "\u2028", "\t", "\r", "\n", " ", "\n  ", "\n- ", "# ", ": ", "? ", "- ", ", ", "é", "🎭",
    "\\", "'", '"', "[", "]", "{", "}", "|", ">", "|9\n", "=", "~", "%", "@", "`", "<<: ", "---\n", "...\n", "{{", "]]",
    "&a ", "*a", "&a [*a]", "<<: *a\n", "! ", "!<x> ", "!e!x ", "!!int ", "!!float ", "!!bool ", "!!null ", "!!str ",
    "!!set ", "!!omap ", "!!binary ", "!!timestamp ", "!!python/object/apply:os.abort ", "!!python/name:os.abort ",
    "%YAML 1.1\n---\n", "%YAML 9.9\n---\n", "%TAG ! tag:yaml.org,2002:python/\n---\n", r'"\ud800"', r'"\U00110000"',
    "1e-3", "1e999", "-0.0", ".nan", "-.inf", "0x" + "f" * 4000, "9" * 5000, "9" * 300, "1_0", "0o7", "1:30:00",
    "2001-02-30", "null", "true", "yes", "''", "x" * 3000, "[" * 400, "- " * 400, "&a [" * 90, "seed: 1\n", "s: 1\n",
]  # fmt: skip
BYTES = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\x80"]
FAIR = ["0", "1", "2", "0.5", "1e-3", "'3'", "true", "cosine", "gru", "[a, b]", "&a 1", "!!str a", "!!float 0.25"]
SHORT_FILE = re.sub(r"#.*\n|\n(?=\n)", "", default_file())


def with_odd_bytes(rng):
    """params.yaml with up to three accidents: bytes that change, are lost, come twice, or come from elsewhere."""
    content = SHORT_FILE.encode()
    for _ in range(rng.choice([1, 1, 2, 3])):
        start = rng.randrange(len(content))
        end = min(len(content), start + rng.choice([0, 0, 1, 2, 10, 100]))
        odd = rng.choice([b"", rng.randbytes(rng.randint(1, 4)), rng.choice(BYTES), *[rng.choice(PIECES).encode()] * 4])
        content = content[:start] + rng.choice([odd, content[start:end] * 2]) + content[end:]
    return rng.choice([content] * 9 + [content[: rng.randrange(len(content))]]), list(PARAMS)


def with_odd_values(rng):
    """params.yaml with something else as the value of up to three keys."""
    text, changed = SHORT_FILE, rng.sample(list(PARAMS), rng.choice([1, 1, 2, 3]))
    for name in changed:
        odd = "".join(rng.choice(PIECES) for _ in range(rng.choice([1, 1, 2, 3])))
        fair = rng.choice(FAIR)
        value = rng.choice([odd, fair, fair, fair + odd])
        line = f"{name}: {value}\n".replace("\\", r"\\")
        text = re.sub(rf"(?m)^{name}:.*\n(  - .*\n)*", line, text)
    return text.encode(), changed


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mutated", [with_odd_bytes, with_odd_values])
@pytest.mark.parametrize("seed", range(10))
def test_any_file_is_read_or_refused_in_one_line(file, mutated, seed):
    rng = random.Random(seed)
    ends = Counter()
    for _ in range(150):
        content, changed = mutated(rng)
        path = file(content)
        try:
            loaded = load_params(path)
        except InputError as error:
            assert str(error).startswith(str(path)), content
            assert len(str(error).splitlines()) == 1 and len(str(error)) < len(str(path)) + 800, content
            ends["refused"] += 1
        else:
            assert list(loaded) == list(PARAMS), content
            for name, value in loaded.items():
                default = PARAMS[name].default
                assert value == PARAMS[name].parse(value) and (value == default or name in changed), content
                assert type(value) in ((list, str, dict) if name == "data_url" else (type(default),)), content
            ends["read"] += 1
    assert min(ends["refused"], ends["read"]) >= 5
