"""A folder with a tiny text in which stages run, as programs or in this process, for tests of the stages."""

import contextlib
import csv
import hashlib
import importlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from unittest import mock

import pytest

from stages.common import program
from stages.common.params import default_file

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("download", "prepare", "check", "train", "evaluate", "sample", "report")
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "PYTHONUTF8": "1",
    "COLUMNS": "1000",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
TEXT = "".join(random.Random(0).choices("abc déf€\n", k=3000))
SHA256 = hashlib.sha256(TEXT.encode()).hexdigest()
TINY = {
    "embedding_dim": 4,
    "hidden_dim": 8,
    "window_size": 10,
    "stride": 5,
    "batch_size": 8,
    "num_epochs": 2,
    "log_interval": 1,
    "workers": 1,
    "start_string": '"a"',
}
PREPARED = {
    f"data/processed/{name}" for name in ("train.npy", "validation.npy", "test.npy", "vocabulary.json", "checked.txt")
}
MODEL, CHECKPOINT = "models/char_rnn.npz", "models/char_rnn.npz.checkpoint"
TRAINED = {"models/char_rnn.npz", "metrics/train.json", "metrics/history.csv", "metrics/evolution.txt"}
EVALUATED = {"metrics/evaluation.json", "metrics/evaluated.json", "metrics/context.csv"}
REPORTED = {
    "metrics/report.html",
    *(f"metrics/plots/{name}.svg" for name in ("learning", "context", "gates", "losses", "alphabet", "surprise")),
}


def command(stage, *flags):
    return [sys.executable, "-m", f"stages.{stage}", *map(str, flags)]


def start(folder, stage, *flags, **environment):
    """Run a stage as a program."""
    return subprocess.run(
        command(stage, *flags), cwd=folder, env=ENVIRONMENT | environment, capture_output=True, encoding="utf-8"
    )


def run(folder, stage, *flags, **environment):
    """What a stage prints, as a program; it must succeed and have no complaint."""
    ended = start(folder, stage, *flags, **environment)
    assert (ended.returncode, complaints(ended.stderr)) == (0, "")
    return ended.stdout


def call(folder, stage, *flags):
    """Run a stage in this process, which takes a tenth of the time, and return what `start` does."""
    main = importlib.import_module(f"stages.{stage}").main
    arguments = [f"stages/{stage}.py", *map(str, flags)]
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with (
        contextlib.chdir(folder),
        mock.patch.object(sys, "argv", arguments),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        warnings.catch_warnings(),
    ):
        try:
            program.run(main)
            code = 0
        except SystemExit as exit:
            code = exit.code
    if isinstance(code, str):  # which the interpreter would print
        errors.write(f"{code}\n")
        code = 1
    shown = []
    for file in (output, errors):
        file.flush()
        shown.append(file.buffer.getvalue().decode())
    return subprocess.CompletedProcess(arguments, code or 0, *shown)


def complaints(errors):
    """What a program has written to standard error, without the warning that this machine has few cores."""
    return re.sub(r"(?m)^warning: workers is .* cores?; .*\n", "", errors)


def printed_by(folder, stage, *flags):
    """What a stage prints, in this process; it must succeed and have no complaint."""
    ended = call(folder, stage, *flags)
    assert (ended.returncode, complaints(ended.stderr)) == (0, "")
    return ended.stdout


@contextlib.contextmanager
def begin(folder, *flags, shown="epoch 1/", before=(), environment=ENVIRONMENT):
    """Start training, perhaps with another command before it, and yield the process once it prints such a line.

    It is in a session of its own, as in a terminal, and handles SIGINT, which background processes may ignore.
    Whatever still runs at the end is killed.
    """
    process = subprocess.Popen(
        [*before, *command("train", *flags)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        try:
            while shown and not (line := process.stdout.readline()).startswith(shown):
                assert line, process.stderr.read()
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def running_in(folder):
    """The process ids of all programs that run in a folder, in ascending order; Linux only."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if path.readlink() == folder:
                found.append(int(path.parent.name))
    return sorted(found)


def network_sockets(folder):
    """The TCP and UDP sockets of the programs that run in a folder, as in /proc/net/tcp; Linux only."""
    held = set()
    for process in running_in(folder):
        for path in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):  # it has been closed
                held.add(str(path.readlink()))
    tables = [Path("/proc/net", name) for name in ("tcp", "tcp6", "udp", "udp6")]
    lines = [line for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return [line for line in lines if f"socket:[{line.split()[9]}]" in held]


def assert_none_left(folder):
    """No program runs in a folder any more, soon if not at once; Linux only."""
    deadline = time.monotonic() + 20
    while running := running_in(folder):
        assert time.monotonic() < deadline, running
        time.sleep(0.02)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def remove(name):
    """A change to a folder: without this file or folder."""

    def change(folder):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def rewrite(name, edit):
    """A change to a folder: edit the content of this file."""

    def change(folder):
        (folder / name).write_bytes(edit((folder / name).read_bytes()))

    return change


def change_param(name, value):
    """A change to a folder: with this text as the value of a key of params.yaml."""
    return rewrite(
        "params.yaml", lambda text: re.sub(rf"(?m)^{name}: .*$", lambda _: f"{name}: {value}", text.decode()).encode()
    )


def replace_part(folder, part, content):
    """Replace a file of ids, and its hash in vocabulary.json, so that it seems to come from `prepare`."""
    (folder / f"data/processed/{part}.npy").write_bytes(content)
    path = folder / "data/processed/vocabulary.json"
    about = json.loads(path.read_bytes())
    about[f"{part}_sha256"] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(about), encoding="utf-8")


def untrained(folder):
    """A change to a folder: without what training leaves."""
    for name in TRAINED:
        remove(name)(folder)


def figures(folder):
    """The learning curve, as lists of numbers."""
    return [[float(value) for value in row.values()] for row in rows(folder / "metrics/history.csv")]


def set_up(folder):
    """Leave a tiny text and tiny params.yaml in a folder."""
    params = re.sub(r"(?m)^data_url:\n(  - .*\n)+", "data_url: corpus.txt\n", default_file())
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    for name, value in TINY.items():
        change_param(name, value)(folder)
    (folder / "corpus.txt").write_bytes(TEXT.encode())
    return folder


@pytest.fixture(scope="session")
def printed():
    """What each stage printed while `finished` was made."""
    return {}


@pytest.fixture(scope="session")
def finished(tmp_path_factory, printed):
    """A folder in which all stages have run; only to be read."""
    folder = set_up(tmp_path_factory.mktemp("project"))
    for stage in STAGES:
        printed[stage] = run(folder, stage, *(["--output", "metrics/sample.txt"] if stage == "sample" else []))
    return folder


@pytest.fixture
def project(finished, tmp_path):
    """A copy of `finished`, to do anything with."""
    return shutil.copytree(finished, tmp_path / "project")
