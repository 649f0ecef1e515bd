"""The train stage with several workers, under a real mpiexec: what they leave, and how they start and end."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from charrnn.storage import load_model
from stages.workers import find_mpiexec
from tests.test_stages import (
    CHECKPOINT,
    ENVIRONMENT,
    MODEL,
    ROOT,
    TRAINED,
    command,
    files,
    remove,
    rows,
    run,
    set_up,
    start,
)

MPIEXEC = find_mpiexec()
HOW_TO_GET_IT = 'python -m pip install -e ".[mpi]"'
with_mpi = pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason=f"mpi4py is missing; {HOW_TO_GET_IT}")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to be passed on")
ENDLESS = ("--num-epochs", 10**9, "--checkpoint-seconds", 1000)
KEPT = "interrupted; what is done is kept, and the same command goes on from there"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = set_up(tmp_path_factory.mktemp("prepared"))
    for stage in ("download", "prepare"):
        run(folder, stage)
    return folder


@pytest.fixture
def project(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "project")


def run_in(folder, command, env=ENVIRONMENT, **more):
    """What comes of a command."""
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, encoding="utf-8", **more)


def figures(folder):
    """The learning curve."""
    return [[float(value) for value in row.values()] for row in rows(folder / "metrics/history.csv")]


@with_mpi
@pytest.mark.parametrize(
    ("num_workers", "flags"),
    [
        (2, ("--dropout", 0.3, "--num-layers", 2)),
        (3, ("--carry-state", "--cell", "lstm", "--batch-size", 2)),
        (3, ("--stride", 9, "--batch-size", 10)),  # the last batch has 2 windows
    ],
    ids=str,
)
def test_workers_leave_what_one_process_does_to_rounding_and_the_same_bytes_twice(num_workers, flags, project):
    printed = run(project, "train", *flags)
    evaluated = run(project, "evaluate", "--weights-path", MODEL)
    expected, alone = figures(project), files(project)
    left = []
    for _ in range(2):
        for name in TRAINED:
            remove(name)(project)
        lines = run(project, "train", *flags, "--workers", num_workers).splitlines()
        assert (lines[0], len(lines)) == (printed.splitlines()[0], len(printed.splitlines()))  # one alone prints
        left.append(files(project))
    np.testing.assert_allclose(figures(project), expected, rtol=1e-4)
    assert load_model(project / MODEL).params["workers"] == num_workers
    assert left[0] == left[1] and left[0].keys() == alone.keys()
    assert left[0][MODEL] != alone[MODEL]
    again = run(project, "evaluate", "--weights-path", MODEL)
    assert again.partition(" nats")[0][:-2] == evaluated.partition(" nats")[0][:-2]


def test_one_worker_imports_nothing_of_mpi(project):
    code = "import sys; from stages import cli, train; cli.run(train.main); print('mpi4py' in sys.modules)"
    ended = run_in(project, [sys.executable, "-c", code])
    assert (ended.returncode, ended.stderr, ended.stdout.splitlines()[-1]) == (0, "", "False")
    assert (project / MODEL).exists()


@with_mpi
@pytest.mark.parametrize(("num_started", "num_workers"), [(2, 1), (2, 3), (1, 2), (2, 2)])
def test_an_mpiexec_of_ones_own_must_start_as_many_as_there_are_workers(num_started, num_workers, project):
    ended = run_in(project, [MPIEXEC, "-n", str(num_started), *command("train", "--workers", num_workers)])
    if num_started == num_workers:
        assert (ended.returncode, ended.stderr) == (0, "")
        assert files(project).keys() >= TRAINED
    else:
        message = f"workers is {num_workers}; under mpiexec it must be {num_started}, as many as that has started"
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"error: {message}\n")


@with_mpi
@pytest.mark.parametrize(
    "flags", [("--optimizer", "sgd", "--learning-rate", "1e38", "--clip-norm", 0), ("--stride", 99)]
)
def test_what_all_workers_find_wrong_is_told_once(flags, project):
    ended, alone = (start(project, "train", *flags, "--workers", number) for number in (2, 1))
    assert ended.returncode == alone.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and line.split("the loss")[0] == alone.stderr.strip().split("the loss")[0]


@with_mpi
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--workers", 0), "workers is '0'; it must be an integer of at least 1"),
        (("--workers", 3), "workers is 3; under mpiexec it must be 2, as many as that has started"),
    ],
    ids=str,
)
def test_a_worker_with_wrong_params_ends_those_that_wait_for_it(flags, message, project):
    ended = run_in(
        project,
        [MPIEXEC, "-n", "1", *command("train", "--workers", 2), ":", "-n", "1", *command("train", *flags)],
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (1, f"error: {message}\n")


@with_mpi
def test_workers_share_the_cores_of_their_machine(project):
    code = (
        "import pathlib, numpy, threadpoolctl\n"
        "from stages import workers\n"
        "with workers.joined() as team:\n"
        "    blas = {pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas'}\n"
        "    told = f'{team.ranks.size} {team.num_threads} {blas} {len(workers.available_cores())}'\n"
        "    pathlib.Path(f'rank{team.ranks.rank}').write_text(told)\n"
    )
    free = {name: value for name, value in ENVIRONMENT.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run([MPIEXEC, "-n", "2", sys.executable, "-c", code], cwd=project, env=free, check=True)
    for rank in range(2):
        told = (project / f"rank{rank}").read_text()
        num_cores = int(told.split()[-1])
        expected = max(1, num_cores // 2)
        assert told == f"2 {expected} {{{expected}}} {num_cores}"


@with_mpi
def test_what_one_worker_finds_wrong_ends_all(project):
    """Worker 0 alone writes, and it can't."""
    (project / "metrics/history.csv").mkdir(parents=True)
    ended = start(project, "train", "--workers", 2)
    assert (ended.returncode, ended.stderr) == (1, f"error: metrics/history.csv: {os.strerror(21)}\n")


@with_mpi
def test_what_another_worker_alone_finds_wrong_ends_all(project):
    shutil.copytree(project, project / "elsewhere")
    run(project, "prepare", "--train-size", 0.7, "--data-dir", "elsewhere/data")
    here, there = (command("train", "--workers", 2, "--data-dir", folder) for folder in ("data", "elsewhere/data"))
    ended = run_in(project, [MPIEXEC, "-n", "1", *here, ":", "-n", "1", *there])
    assert (ended.returncode, ended.stderr) == (1, "error: worker 1 has another text than worker 0\n")


def test_without_mpi_one_line_tells_what_to_install(project, tmp_path):
    """A Python beside which there is no mpiexec, and an mpi4py that finds no MPI."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    packages = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    broken = tmp_path / "broken/mpi4py"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("def rc(**options): pass\n")
    (broken / "MPI.py").write_text("raise RuntimeError('no library\\nof MPI')\n")
    working = tmp_path / "working/mpi4py"
    shutil.copytree(broken, working)
    (working / "MPI.py").write_text("")

    for first, problem in ((broken, "no library"), (working, "mpiexec is not to be found")):
        environment = ENVIRONMENT | {"PATH": str(tmp_path), "PYTHONPATH": f"{first.parent}{os.pathsep}{packages}"}
        ended = run_in(project, [python, "-m", "stages.train", "--workers", "2"], env=environment)
        message = f"error: workers is 2, which needs MPI: {problem}; {HOW_TO_GET_IT}\n"
        assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", message)


def descendants(pid):
    """The processes that a process has started, and those that these have."""
    own = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return own + [pid for child in own for pid in descendants(child)]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def workers_of(process):
    """The process ids of the workers that a stage has started."""
    with_their_commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(process.pid)}
    return [pid for pid, words in with_their_commands.items() if words.startswith(sys.executable.encode() + b"\0-m")]


def begun(folder, *flags, shown="epoch 1/"):
    """A training in a process group of its own that has printed a line which begins so."""
    process = subprocess.Popen(
        command("train", *flags),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    for line in process.stdout:
        if line.startswith(shown):
            return process
    raise AssertionError(process.communicate()[1])


def on_one_core():
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def assert_all_end(pids):
    """They do so soon, though not at once."""
    deadline = time.monotonic() + 60
    while running := {pid for pid in pids if is_running(pid)}:
        assert time.monotonic() < deadline, running
        time.sleep(0.05)


linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@with_mpi
@linux
@pytest.mark.parametrize("which", [0, 1])
def test_a_worker_that_is_killed_ends_all_in_one_line_and_training_goes_on_from_its_checkpoint(which, project):
    flags = ("--workers", 2, *ENDLESS)
    with begun(project, *flags) as process:
        started = descendants(process.pid)
        os.kill(workers_of(process)[which], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = errors.splitlines()
    assert line.startswith(
        "error: a worker died, so the others were stopped (mpiexec ended with 9); what was done until"
    )
    assert_all_end(started)
    assert CHECKPOINT in files(project)
    with begun(project, *flags, shown=f"going on from {CHECKPOINT}: epoch ") as process:
        assert process.stdout.readline().startswith("epoch ")  # a signal before training would end it at once
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, KEPT)


@with_mpi
@linux
def test_workers_end_with_the_stage_that_has_started_them(project):
    with begun(project, "--workers", 2, *ENDLESS) as process:
        started = descendants(process.pid)
        assert len(started) >= 3
        process.kill()
    assert_all_end(started)


@with_mpi
@pytest.mark.parametrize("flags", [("--dropout", 0.3), ("--carry-state",)], ids=str)
@pytest.mark.parametrize(("number", "before", "after"), [(signal.SIGINT, 2, 1), (signal.SIGTERM, 1, 2)])
def test_told_to_stop_they_leave_a_checkpoint_that_another_number_of_workers_goes_on_from(
    number, before, after, flags, project
):
    flags = (*flags, "--num-epochs", 30, "--checkpoint-seconds", 1000)
    run(project, "train", *flags)
    expected = figures(project)
    for name in TRAINED:
        remove(name)(project)
    with begun(project, *flags, "--workers", before) as process:
        os.killpg(process.pid, number)  # as a terminal does
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, KEPT)
    assert CHECKPOINT in files(project) and MODEL not in files(project)
    ended = subprocess.run(
        command("train", *flags, "--workers", after),
        cwd=project,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
        preexec_fn=on_one_core if after == 1 else None,  # another number of cores as well
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"going on from {CHECKPOINT}: epoch " in ended.stdout
    np.testing.assert_allclose(figures(project), expected, rtol=1e-3)


@with_mpi
@linux
def test_one_worker_that_is_told_to_stop_stops_all(project):
    with begun(project, "--workers", 2, *ENDLESS) as process:
        os.kill(workers_of(process)[1], signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, KEPT)
    assert CHECKPOINT in files(project)
