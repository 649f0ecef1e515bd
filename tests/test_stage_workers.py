"""The train stage with several processes on this machine: what they leave, what they print, and what they need."""

import contextlib
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from charrnn.model_file import load_model
from stages.common import training
from tests.stage_project import (
    ENVIRONMENT,
    MODEL,
    begin,
    call,
    command,
    figures,
    files,
    network_sockets,
    printed_by,
    run,
    running_in,
    untrained,
)


@pytest.mark.parametrize(
    ("workers", "flags"),
    [
        (2, ("--dropout", 0.3, "--num-layers", 2)),
        (3, ("--carry-state", "--cell", "lstm", "--batch-size", 2)),
        (3, ("--stride", 9, "--batch-size", 10)),  # the last batch has 2 windows
    ],
    ids=str,
)
def test_workers_leave_what_one_process_does_to_rounding_and_the_same_bytes_twice(workers, flags, project):
    untrained(project)
    printed = printed_by(project, "train", *flags, "--workers", 1)
    evaluated = printed_by(project, "evaluate", "--weights-path", MODEL)
    expected, alone = figures(project), files(project)
    left = []
    for _ in range(2):
        untrained(project)
        lines = run(project, "train", *flags, "--workers", workers).splitlines()
        assert (lines[0], len(lines)) == (printed.splitlines()[0], len(printed.splitlines()))  # rank 0 alone prints
        left.append(files(project))
    np.testing.assert_allclose(figures(project), expected, rtol=1e-4)
    assert load_model(project / MODEL).params["workers"] == workers
    assert left[0] == left[1] and left[0].keys() == alone.keys()
    assert left[0][MODEL] != alone[MODEL]
    again = printed_by(project, "evaluate", "--weights-path", MODEL)
    assert again.partition(" nats")[0][:-2] == evaluated.partition(" nats")[0][:-2]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system can't keep a process on one core")
def test_one_core_gives_the_same_bytes_as_all(project):
    left = []
    for cores in ({min(os.sched_getaffinity(0))}, os.sched_getaffinity(0)):
        subprocess.run(
            command("train", "--workers", 2),
            cwd=project,
            env={name: value for name, value in ENVIRONMENT.items() if not name.endswith("_NUM_THREADS")},
            preexec_fn=lambda cores=cores: os.sched_setaffinity(0, cores),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        left.append(files(project))
    assert left[0] == left[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_no_number_of_workers_on_this_machine_needs_mpi(workers, project):
    """Not even where it could be imported."""
    code = (
        "import sys\n"
        "sys.modules['mpi4py'] = None\n"  # so that importing it fails
        "from stages import train\n"
        "from stages.common.program import run\n"
        "run(train.main)"
    )
    untrained(project)
    ended = subprocess.run(
        [sys.executable, "-c", code, "--workers", str(workers)],
        cwd=project,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (project / MODEL).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for sockets in /proc")
def test_workers_on_this_machine_open_no_port(project):
    untrained(project)
    with begin(project, "--workers", 2, "--num-epochs", 10**9):
        assert len(running_in(project)) == 2 and network_sockets(project) == []
    with contextlib.chdir(project), socket.create_server(("127.0.0.1", 0)):
        assert len(network_sockets(project)) == 1  # so they would have been seen


@pytest.mark.parametrize(
    ("workers", "cores", "warning"),
    [
        (3, 1, "warning: workers is 3, but there is 1 core; processes that share a core slow each other down\n"),
        (3, 2, "warning: workers is 3, but there are 2 cores; processes that share a core slow each other down\n"),
        (2, 2, ""),
        (1, 1, ""),
    ],
)
def test_more_workers_than_cores_give_the_same_files_and_a_warning(project, monkeypatch, workers, cores, warning):
    untrained(project)
    printed_by(project, "train", "--workers", workers)
    before = files(project)
    untrained(project)
    monkeypatch.setattr(training, "available_cores", lambda: cores)
    ended = call(project, "train", "--workers", workers)
    assert (ended.returncode, ended.stderr) == (0, warning)
    assert files(project) == before


def test_what_only_rank_0_finds_wrong_ends_all_in_one_line(project):
    """It alone writes, and it can't."""
    (project / "metrics/history.csv").unlink()
    (project / "metrics/history.csv").mkdir()
    ended = call(project, "train", "--workers", 2)
    assert (ended.returncode, ended.stderr) == (1, f"error: metrics/history.csv: {os.strerror(21)}\n")
