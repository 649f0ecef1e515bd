"""Training with mpiexec, started by hand: what the workers leave, and how they find each other, stop and end."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest

from charrnn.model_file import load_model
from tests.requirements_report import INSTALL_MPI, find_mpiexec
from tests.stage_project import (
    CHECKPOINT,
    ENVIRONMENT,
    MODEL,
    ROOT,
    TRAINED,
    assert_none_left,
    begin,
    call,
    command,
    figures,
    files,
    network_sockets,
    printed_by,
    running_in,
    untrained,
)

MPIEXEC = find_mpiexec()
ENDLESS = ("--workers", 2, "--num-epochs", 10**9, "--checkpoint-seconds", 1000)
KEPT = "interrupted; progress is saved, and the same command resumes from there"
pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="Windows has no signals to be passed on"),
    pytest.mark.skipif(
        importlib.util.find_spec("mpi4py") is None or MPIEXEC is None,
        reason=f"mpi4py or mpiexec is missing; {INSTALL_MPI}",
    ),
]
linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@pytest.fixture
def project(project):
    """A folder in which all stages but training have run."""
    untrained(project)
    return project


def mpiexec(*commands):
    """The command that starts a process for each of these commands."""
    words = [word for each in commands for word in (":", "-n", "1", *each)]
    return [MPIEXEC, *words[1:]]


def result(folder, command, env=ENVIRONMENT):
    """What comes of a command."""
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, encoding="utf-8", timeout=60)


def train(folder, num_started, *flags):
    return result(folder, mpiexec(*[command("train", *flags)] * num_started))


@pytest.mark.parametrize(
    ("workers", "flags"),
    [
        (2, ("--dropout", 0.3, "--num-layers", 2)),
        (3, ("--carry-state", "--cell", "lstm", "--batch-size", 2)),
        (3, ("--stride", 9, "--batch-size", 10)),  # the last batch has 2 windows
    ],
    ids=str,
)
def test_ranks_leave_what_the_processes_of_one_machine_do_to_rounding(workers, flags, project):
    printed = printed_by(project, "train", *flags, "--workers", workers)
    expected, local = figures(project), files(project)
    untrained(project)
    ended = train(project, workers, *flags, "--workers", workers)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert (lines[0], len(lines)) == (printed.splitlines()[0], len(printed.splitlines()))  # rank 0 alone prints
    np.testing.assert_allclose(figures(project), expected, rtol=1e-4)
    assert load_model(project / MODEL).params["workers"] == workers
    assert files(project).keys() == local.keys()
    if workers == 2:  # two numbers have only one sum
        assert files(project) == local


def test_ranks_leave_the_same_bytes_twice(project):
    flags = ("--workers", 3, "--num-epochs", 1)
    assert train(project, 3, *flags).returncode == 0
    first = files(project)
    untrained(project)
    assert train(project, 3, *flags).returncode == 0
    assert files(project) == first


@linux
def test_gforker_and_shared_memory_open_no_port(project):
    """As docs/scaling.md says."""
    gforker = shutil.which(f"{MPIEXEC}.gforker")
    if gforker is None:
        pytest.skip("this MPI has no mpiexec.gforker")
    environment = ENVIRONMENT | {"UCX_TLS": "sm,self"}
    with begin(project, *ENDLESS, before=(gforker, "-n", "2"), environment=environment):
        assert len(running_in(project)) == 3 and network_sockets(project) == []


@pytest.mark.parametrize(("num_started", "workers"), [(2, 1), (2, 3), (3, 2)])
def test_mpiexec_must_start_as_many_as_there_are_workers(num_started, workers, project):
    ended = train(project, num_started, "--workers", workers)
    message = f"error: workers is {workers}; it must be {num_started}, as many as mpiexec started\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", message)


def test_an_mpiexec_that_starts_one_process_leaves_the_rest_to_it(project):
    ended = train(project, 1, "--workers", 2)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert files(project).keys() >= TRAINED


@pytest.mark.parametrize(
    "flags", [("--optimizer", "sgd", "--learning-rate", "1e38", "--clip-norm", 0), ("--stride", 99)]
)
def test_what_all_workers_find_wrong_is_said_once(flags, project):
    ended, alone = train(project, 2, *flags, "--workers", 2), call(project, "train", *flags)
    assert ended.returncode == alone.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and line.split("the loss")[0] == alone.stderr.strip().split("the loss")[0]


def test_a_worker_that_finds_something_wrong_ends_those_that_wait_for_it(project):
    """It waits some seconds whether worker 0 reports the same, so all these cases wait at once."""
    shutil.copytree(project, project / "elsewhere")
    printed_by(project, "prepare", "--train-size", 0.7, "--data-dir", "elsewhere/data")
    cases = {
        ("--workers", 0): (1, "error: workers is '0'; it must be an integer of at least 1 and at most 1,024"),
        ("--workers", 3): (1, "error: workers is 3; it must be 2, as many as mpiexec started"),
        ("--workers", 2, "--seed", 7): (1, "error: worker 1 differs from worker 0 in seed"),
        ("--workers", 2, "--data-dir", "elsewhere/data"): (1, "error: worker 1 differs from worker 0 in text"),
        ("--no-such-flag",): (2, "python -m stages.train: error: unrecognized arguments: --no-such-flag"),
    }

    def ends_with(case):
        place, flags = case
        good = command("train", "--workers", 2, "--model-dir", f"case{place}", "--metrics-dir", f"case{place}")
        return result(project, mpiexec(good, command("train", *flags)))

    with ThreadPool(len(cases)) as pool:
        ends = pool.map(ends_with, enumerate(cases))
    last_lines = [(ended.returncode, ended.stderr.splitlines()[-1]) for ended in ends]
    assert last_lines == list(cases.values())
    assert [len(ended.stderr.splitlines()) for ended in ends[:-1]] == [1, 1, 1, 1]  # the last one shows all flags


def test_what_one_worker_finds_wrong_ends_all(project):
    """Worker 0 alone writes, and it can't."""
    (project / "metrics/history.csv").mkdir(parents=True)
    ended = train(project, 2, "--workers", 2)
    assert (ended.returncode, ended.stderr) == (1, f"error: metrics/history.csv: {os.strerror(21)}\n")


def test_each_worker_has_one_blas_thread(project):
    code = (
        "import pathlib, numpy, threadpoolctl\n"
        "from charrnn.parallel.mpi import mpi_workers\n"
        "with mpi_workers() as group:\n"
        "    blas = [pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas']\n"
        "    pathlib.Path(f'rank{group.rank}').write_text(f'{group.size} {set(blas)}')\n"
    )
    free = {name: value for name, value in ENVIRONMENT.items() if not name.endswith("_NUM_THREADS")}
    assert result(project, mpiexec(*[[sys.executable, "-c", code]] * 2), free).returncode == 0
    assert [(project / f"rank{rank}").read_text() for rank in range(2)] == ["2 {1}"] * 2


@pytest.mark.parametrize(
    ("package", "problem"),
    [
        ({"__init__.py": "raise ImportError('no such\\nmodule')"}, "no such"),
        ({"__init__.py": "", "MPI.py": "raise RuntimeError('no library\\nof MPI')"}, "no library"),
    ],
)
def test_without_mpi4py_one_line_says_what_to_install(package, problem, project, tmp_path):
    (tmp_path / "broken/mpi4py").mkdir(parents=True)
    for name, text in package.items():
        (tmp_path / "broken/mpi4py" / name).write_text(text)
    env = ENVIRONMENT | {"PYTHONPATH": f"{tmp_path / 'broken'}{os.pathsep}{ROOT}"}
    ended = result(project, mpiexec(*[command("train", "--workers", 2)] * 2), env)
    line = f"error: mpiexec has started 2 processes; they need mpi4py: {problem}; {INSTALL_MPI}"
    assert ended.returncode == 1 and ended.stdout == ""
    # Each of the two may print it, because they can't know of each other, and mpiexec may join the two lines.
    assert line in ended.stderr and not ended.stderr.replace(line, "").strip()


def test_an_mpiexec_of_another_mpi_is_found_out(project):
    """Each process is alone to its own MPI, and would write what all others write."""
    code = (
        "from charrnn.parallel.mpi import mpi_workers\n"
        "from stages.common.program import run\n"
        "def main():\n"
        "    with mpi_workers(): pass\n"
        "run(main)"
    )
    ended = result(project, [sys.executable, "-c", code], ENVIRONMENT | {"OMPI_COMM_WORLD_SIZE": "2"})  # of Open MPI
    message = "mpiexec has started 2 processes, but mpi4py sees 1; it uses another MPI"
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (1, f"error: {message}")


def begun(folder, *flags, **options):
    return begin(folder, *flags, before=(MPIEXEC, "-n", "2"), **options)


def ranks_in(folder):
    """The process ids of the ranks among all that mpiexec has started."""
    python = f"{sys.executable}\0-m".encode()
    return [pid for pid in running_in(folder) if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(python)]


@linux
@pytest.mark.parametrize("which", [0, 1])
def test_a_rank_that_is_killed_ends_all_and_the_same_command_resumes(which, project):
    flags = ("--workers", 2, "--num-epochs", 8, "--checkpoint-seconds", 1000)
    printed_by(project, "train", *flags)
    expected = files(project)
    untrained(project)
    with begun(project, *flags) as process:
        os.kill(ranks_in(project)[which], signal.SIGKILL)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert_none_left(project)
    assert MODEL not in files(project)
    ended = train(project, 2, *flags)
    assert ended.returncode == 0 and f"resuming from {CHECKPOINT}: epoch " in ended.stdout
    assert files(project) == expected


@linux
def test_ranks_end_with_their_mpiexec(project):
    with begun(project, *ENDLESS) as process:
        assert len(ranks_in(project)) == 2
        os.killpg(process.pid, signal.SIGKILL)
    assert_none_left(project)


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_rank_that_is_asked_to_stop_stops_all(number, project):
    with begun(project, *ENDLESS) as process:
        os.kill(ranks_in(project)[1], number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, KEPT)
    assert_none_left(project)
    assert CHECKPOINT in files(project)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ranks_asked_to_stop_leave_a_checkpoint_that_one_process_resumes_from(number, project):
    flags = ("--dropout", 0.3, "--num-epochs", 8, "--checkpoint-seconds", 1000)
    printed_by(project, "train", *flags)
    expected = figures(project)
    untrained(project)
    with begun(project, *flags, "--workers", 2) as process:
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert CHECKPOINT in files(project) and MODEL not in files(project)
    assert f"resuming from {CHECKPOINT}: epoch " in printed_by(project, "train", *flags)
    np.testing.assert_allclose(figures(project), expected, rtol=1e-3)
