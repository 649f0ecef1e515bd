"""A folder with a tiny prepared text, and the search run in it, as a program or in this process, for tests."""

import contextlib
import io
import shutil
import signal
import subprocess
import sys
import time
import warnings
from unittest import mock

import pytest

from stages.common import program
from tests.requirements_report import INSTALL_TUNE
from tests.stage_project import ENVIRONMENT, change_param, complaints, printed_by, remove, rewrite, rows, set_up

optuna = pytest.importorskip("optuna", reason=f"optuna is missing; {INSTALL_TUNE}")
pytest.importorskip("plotly", reason=f"plotly is missing; {INSTALL_TUNE}")

from tuning.__main__ import main  # noqa: E402 (after what may be missing)

COMPLETE, PRUNED = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED
LOST, RUNNING = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.RUNNING
SPACE = """
learning_rate: {from: 1e-3, to: 1e-1, log: true}
hidden_dim: {from: 4, to: 12}
dropout: {from: 0.1, to: 0.4, step: 0.1, when: hidden_dim >= 8}
cell: [gru, rnn]
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a tiny text to train on and one to validate with, and no test text; only to be read."""
    folder = set_up(tmp_path_factory.mktemp("prepared"))
    change_param("num_epochs", 4)(folder)
    printed_by(folder, "download")
    printed_by(folder, "prepare")
    remove("data/processed/test.npy")(folder)
    (folder / "search.yaml").write_text(SPACE, encoding="utf-8")
    return folder


@pytest.fixture
def project(prepared, tmp_path):
    """A copy of `prepared`, to do anything with."""
    return shutil.copytree(prepared, tmp_path / "project")


def command(*flags):
    return [sys.executable, "-m", "tuning", *map(str, flags)]


def start(folder, *flags, **environment):
    """Run the search as a program."""
    return subprocess.run(
        command(*flags), cwd=folder, env=ENVIRONMENT | environment, capture_output=True, encoding="utf-8"
    )


def run(folder, *flags):
    """What the search prints, as a program; it must succeed and have no complaint."""
    ended = start(folder, *flags)
    assert (ended.returncode, complaints(ended.stderr)) == (0, "")
    return ended.stdout


def call(folder, *flags):
    """What the search prints, in this process, which saves a second. If it fails, its error is a SystemExit."""
    output = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="")
    with (
        contextlib.chdir(folder),
        mock.patch.object(sys, "argv", ["tuning", *map(str, flags)]),
        contextlib.redirect_stdout(output),
        warnings.catch_warnings(),
    ):
        program.run(main)
    return output.buffer.getvalue().decode()


def interruptible(folder, *flags):
    """Start the search so that it can be sent a SIGINT."""
    return subprocess.Popen(
        command(*flags),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs may ignore it
    )


def replace(name, old, new):
    """A change to a folder: with another text in place of one that this file contains."""

    def edit(content):
        assert old in content.decode()
        return content.decode().replace(old, new).encode()

    return rewrite(name, edit)


def table(folder):
    """The rows of the table of trials."""
    return rows(folder / "metrics/tuning.csv")


def load_study(storage):
    return optuna.load_study(study_name="main", storage=storage.replace("postgresql:", "postgresql+psycopg:"))


def study_of(folder):
    return load_study(f"sqlite:///{folder}/tuning_results/study.db")


def complete_trials(folder):
    """Best first."""
    return sorted(study_of(folder).get_trials(states=(COMPLETE,)), key=lambda trial: trial.value)


def trials_under_way(storage):
    """The trials that are running and have finished an epoch; none if there is no study yet."""
    try:
        trials = load_study(storage).trials
    except Exception:  # the search has not created all tables
        return []
    return [trial for trial in trials if trial.state == RUNNING and trial.user_attrs.get("losses")]


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found
