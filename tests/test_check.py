"""The stage check: it refuses before training what a later stage would refuse, in one line that says what to do."""

import re

import pytest

from stages.common.params import as_yaml
from tests.stage_project import call, change_param, printed_by, remove, rewrite

CHECKED = "data/processed/checked.txt"


def refused(project, **changes):
    """The error with other values in params.yaml."""
    for name, value in changes.items():
        change_param(name, as_yaml(value))(project)
    remove(CHECKED)(project)
    ended = call(project, "check")
    assert ended.returncode == 1 and ended.stdout == "" and not (project / CHECKED).exists()
    assert ended.stderr.count("\n") == 1
    return ended.stderr.strip()


def test_params_that_fit_are_accepted_and_the_same_file_is_written_each_time(project):
    before = (project / CHECKED).read_bytes()
    change_param("hidden_dim", "9")(project)
    assert printed_by(project, "check") == "params.yaml fits the text\n"
    assert (project / CHECKED).read_bytes() == before


@pytest.mark.parametrize(("size", "part"), [(1920, "train"), (480, "validation"), (600, "test")])
def test_a_window_must_fit_into_each_text(project, size, part):
    """Training needs a window in its own text and in the validation text, the context curve one in the test text."""
    split = {"train": (0.4, 0.51), "validation": (0.8, 0.2), "test": (0.8, 0.5)}[part]
    change_param("train_size", split[0])(project)
    change_param("validation_size", split[1])(project)
    printed_by(project, "prepare")
    sizes = [int(number.replace(",", "")) for number in re.findall(r"[\d,]+(?= for)", printed_by(project, "prepare"))]
    size = sizes[["train", "validation", "test"].index(part)]
    assert refused(project, window_size=size, stride=1) == (
        f"error: window_size is {size}; it must be below the length of the {part} text, {size:,} characters: "
        "lower it or use a longer text"
    )
    change_param("window_size", size - 1)(project)
    assert call(project, "check").returncode == 0


def test_the_text_must_have_the_characters_of_the_start_string(project):
    error = refused(project, start_string='"aX"')
    assert error.startswith("error: start_string is 'aX': the vocabulary lacks 'X'")
    assert re.search(r"; choose characters of the text, which begins with '.{10,12}'$", error)


def test_values_must_not_contradict_each_other(project):
    assert refused(project, final_learning_rate=0.5) == (
        "error: final_learning_rate is 0.5; it must be at least 0 and at most the learning_rate, 0.001"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hiden_dim", "'hiden_dim' is not a hyperparameter; did you mean hidden_dim?"),
        ("xyz", "'xyz' is not a hyperparameter; it must be one of data_url, "),
    ],
)
def test_every_name_must_be_a_hyperparameter(project, name, message):
    rewrite("params.yaml", lambda text: text + f"{name}: 64\n".encode())(project)
    assert refused(project).startswith(f"error: params.yaml: {message}")
