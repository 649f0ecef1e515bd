"""The table of hyperparameters: what each accepts, and what is said of what it does not accept."""

import re
import subprocess
import sys
from math import inf, nan
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from charrnn.errors import InputError
from charrnn.models import CELLS
from charrnn.optimizers import OPTIMIZERS
from charrnn.training import TARGETS
from stages.params import PARAMS, default_file, load_params

ROOT = Path(__file__).parents[1]
POSITIVE = "an integer of at least 1"
SHARE = "a number above 0 and below 1"
SOURCES = "a text or a list of texts, none of them empty"
ALLOWED = {
    "data_url": SOURCES,
    "train_size": SHARE,
    "validation_size": SHARE,
    "cell": "one of gru, lstm, rnn",
    "num_layers": POSITIVE,
    "embedding_dim": POSITIVE,
    "hidden_dim": POSITIVE,
    "dropout": "a number of at least 0 and below 1",
    "window_size": POSITIVE,
    "stride": POSITIVE,
    "targets": "one of every, last",
    "tie_weights": "true or false",
    "carry_state": "true or false",
    "batch_size": POSITIVE,
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
    "seed": "an integer of at least 0",
    "log_interval": POSITIVE,
    "start_string": "a text that is not empty",
    "num_to_generate": POSITIVE,
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
    *((name, 0) for name in OF_TYPE[int] if ALLOWED[name] == POSITIVE),
    *((name, value) for name in OF_TYPE[float] for value in (True, nan, inf, -inf, None, "", "nan", "-inf", "x", [1])),
    *((name, -1e-9) for name in OF_TYPE[float]),
    *((name, value) for name in ("train_size", "validation_size") for value in (0, 0.0, 1, 1.0, "1", 80)),
    ("learning_rate", 0),
    *((name, value) for name in ("dropout", "beta_2") for value in (1, 1.0, "1")),
    *(("top_p", value) for value in (0, "0.0", 1.001, 2)),
    *((name, value) for name in OF_TYPE[bool] for value in (0, 1, 1.0, None, "", "yes", "1", [True])),
    *((name, value) for name in CHOSEN for value in ("lstn", "", None, 1, True, ["gru"], "GRU ")),
    *(("start_string", value) for value in ("", None, 42, True, ["a"])),
    *(("data_url", value) for value in ("", [], [""], ["a", ""], ["a", 1], None, 1, True, {"a": "b"})),
]


@pytest.mark.parametrize("name, value", BAD)
def test_a_bad_value_is_refused_in_one_line(name, value):
    assert refusal(PARAMS[name].parse, value) == f"{name} is {value!r}; it must be {ALLOWED[name]}"


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


def test_the_default_file_can_be_printed():
    printed = subprocess.run(
        [sys.executable, "-m", "stages.params"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    assert printed.stdout == default_file()


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
    ],
)
def test_a_bad_value_of_the_file_is_refused(file, line, shown):
    path, name = file(with_line(line)), line.partition(":")[0]
    assert refusal(load_params, path) == f"{path}: {name} is {shown}; it must be {ALLOWED[name]}"


def test_an_unknown_key_is_refused_with_all_known_ones(file):
    path = file(default_file() + "hiden_dim: 64\n")
    message = refusal(load_params, path)
    assert message.startswith(f"{path}: ") and "hiden_dim" in message
    assert message.endswith(f" is not a hyperparameter; known are {', '.join(PARAMS)}")


@pytest.mark.parametrize("key", ["1", "null", "? [a, b]\n", '"two\\nlines"'])
def test_an_unknown_key_of_any_kind_is_refused_in_one_line(file, key):
    assert "is not a hyperparameter" in refusal(load_params, file(f"{default_file()}{key}: 64\n"))


@pytest.mark.parametrize("name", PARAMS)
def test_a_missing_key_is_refused_with_its_default(file, name):
    path = file(with_line(f"{name}: 1").replace(f"\n{name}: 1\n", "\n"))
    assert refusal(load_params, path) == f"{path}: {name} is missing; the default is {PARAMS[name].default!r}"


def test_a_key_that_is_there_twice_is_refused(file):
    message = refusal(load_params, file(default_file() + "seed: 43\n"))
    assert "line" in message
    for part in ("duplicate key", "seed", "42", "43"):
        assert part in message


@pytest.mark.parametrize("content", ["", "# nothing\n", "- seed\n", "seed", "42\n"])
def test_a_file_without_keys_is_refused(file, content):
    path = file(content)
    assert refusal(load_params, path).startswith(f"{path} holds no hyperparameters")


@pytest.mark.parametrize("line", ["seed: [1", "seed: 'one", "\tseed: 1", "seed: *one", "seed: !mine 1", "seed: 1\n---"])
def test_a_syntax_error_is_refused_with_its_line(file, line):
    path = file(f"# the seed\n{line}\n")
    assert re.match(re.escape(f"{path}, line ") + r"[2-4]: \w+", refusal(load_params, path))


@pytest.mark.parametrize("content", [b"seed: \xff\n", b"start_string: caf\xe9\n", b"seed: \0\n"])
def test_a_file_that_is_not_utf8_is_refused(file, content):
    path = file(content)
    assert refusal(load_params, path).startswith(f"{path} is not YAML: ")


@pytest.mark.parametrize(
    "line",
    ["seed: 2001-99-01", "seed: !!int ten", "carry_state: !!bool ten", "seed: 1" + "0" * 5000],
    ids=["date", "int", "bool", "digits"],
)
def test_what_yaml_can_not_build_is_refused(file, line):
    path = file(with_line(line))
    assert refusal(load_params, path).startswith(str(path))


def test_a_missing_file_is_refused(tmp_path):
    path = tmp_path / "params.yaml"
    message = refusal(load_params, path)
    assert message == f"{path}: No such file or directory; run this from the folder that holds it"


def test_the_choices_are_those_of_the_library():
    assert list(PARAMS["cell"].choices) == list(CELLS)
    assert list(PARAMS["optimizer"].choices) == list(OPTIMIZERS)
    assert list(PARAMS["targets"].choices) == list(TARGETS)


def test_params_yaml_has_every_key_in_order():
    assert list(YAML(typ="safe").load(ROOT / "params.yaml")) == list(PARAMS)
