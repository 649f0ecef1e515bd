"""A folder with a tiny prepared text, and the search run in it as a program, for tests of the search."""

import csv
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.common.params import default_file

optuna = pytest.importorskip("optuna", reason='optuna is missing; python -m pip install -e ".[tune]"')
pytest.importorskip("plotly", reason='plotly is missing; python -m pip install -e ".[tune]"')

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "COLUMNS": "1000"}
COMPLETE, PRUNED = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED
LOST, RUNNING = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.RUNNING
TEXT = "".join(random.Random(0).choices("abc déf€\n", k=3000))
TINY = {
    "embedding_dim": 4,
    "hidden_dim": 8,
    "window_size": 10,
    "stride": 5,
    "batch_size": 8,
    "num_epochs": 4,
    "log_interval": 1,
    "start_string": '"a"',
}
SPACE = """
learning_rate: {from: 1e-3, to: 1e-1, log: true}
hidden_dim: {from: 4, to: 12}
dropout: {from: 0.1, to: 0.4, step: 0.1, when: hidden_dim >= 8}
cell: [gru, rnn]
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a tiny text to train on and one to validate with, and no test text; only to be read."""
    folder = tmp_path_factory.mktemp("prepared")
    params = re.sub(r"(?m)^data_url:\n(  - .*\n)+", "data_url: corpus.txt\n", default_file())
    for name, value in TINY.items():
        params = re.sub(rf"(?m)^{name}: .*$", f"{name}: {value}", params)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    (folder / "search.yaml").write_text(SPACE, encoding="utf-8")
    (folder / "corpus.txt").write_bytes(TEXT.encode())
    stage(folder, "download")
    stage(folder, "prepare")
    (folder / "data/processed/test.npy").unlink()
    return folder


@pytest.fixture
def project(prepared, tmp_path):
    """A copy of `prepared`, to do anything with."""
    return shutil.copytree(prepared, tmp_path / "project")


def stage(folder, name, *flags):
    """Run a stage, which must succeed."""
    _run([sys.executable, "-m", f"stages.{name}", *map(str, flags)], folder)


def command(*flags):
    return [sys.executable, "-m", "tuning", *map(str, flags)]


def start(folder, *flags, **environment):
    """Run the search to its end, however it ends."""
    return subprocess.run(
        command(*flags), cwd=folder, env=ENVIRONMENT | environment, capture_output=True, encoding="utf-8"
    )


def run(folder, *flags):
    """What the search prints. It must succeed, without a warning."""
    return _run(command(*flags), folder)


def _run(call, folder):
    ended = subprocess.run(call, cwd=folder, env=ENVIRONMENT, capture_output=True, encoding="utf-8")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


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


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def edit(folder, name, old, new):
    """Replace a text in a file that contains it."""
    content = (folder / name).read_text(encoding="utf-8")
    assert old in content
    (folder / name).write_text(content.replace(old, new), encoding="utf-8")


def table(folder):
    """The rows of the table of trials."""
    with open(folder / "metrics/tuning.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


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
