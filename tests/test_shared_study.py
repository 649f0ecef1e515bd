"""Several searches that share a study, on SQLite and PostgreSQL: trials are counted once, and lost ones repeated."""

# ruff: noqa: F401, F811 (imported fixtures look like names that are unused, then redefined)

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.requirements_report import INSTALL_TUNE, find_initdb
from tests.stage_project import ENVIRONMENT, assert_none_left, change_param
from tests.tuning_project import (
    COMPLETE,
    LOST,
    PRUNED,
    call,
    command,
    load_study,
    prepared,
    project,
    table,
    trials_under_way,
    wait_for,
)

# The program itself turns them off.
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture(scope="module")
def server():
    """The URL of an empty PostgreSQL server of our own."""
    initdb = find_initdb()
    if initdb is None or os.name != "posix":
        pytest.skip("no PostgreSQL server is installed; Debian's package is postgresql")
    pytest.importorskip("psycopg", reason=f"psycopg is missing; {INSTALL_TUNE}")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # a short path, for the socket, that another user may enter
    user = {}
    if os.getuid() == 0:  # a server refuses to be root's
        shutil.chown(folder, "postgres")
        user = {"user": "postgres"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def execute(program, *arguments):
        call = [Path(initdb).with_name(program), *arguments]
        subprocess.run(call, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60, **user)

    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    execute("initdb", "-D", folder / "data", "-A", "trust", "-U", "tuner", "--no-sync")
    execute("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-o", options, "-w", "start")
    yield f"postgresql://tuner@127.0.0.1:{port}/postgres"
    execute("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request, tmp_path):
    """The URL of a database without a study."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    url = request.getfixturevalue("server")
    import psycopg

    name = f"t{random.randrange(10**12)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.removesuffix("postgres") + name


def flags(storage, trials):
    return ("--top", 0, "--storage", storage, "--heartbeat", 1, "--trials", trials)


@contextlib.contextmanager
def searches(folder, number, storage, trials):
    """So many searches at the same time in one study; they are killed at the end."""
    call = command(*flags(storage, trials))
    processes = [
        subprocess.Popen(call, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def require_count(trials, number, overshoot):
    """Every lost trial was repeated, just once, with the same params, and no other trial ran twice."""
    finished = [trial for trial in trials if trial.state in (COMPLETE, PRUNED)]
    lost = [trial for trial in trials if trial.state == LOST]
    assert number <= len(finished) <= number + overshoot
    assert len(finished) + len(lost) == len(trials)
    assert len({json.dumps(trial.user_attrs["params"]) for trial in finished}) == len(finished)
    for trial in lost:
        (again,) = [t for t in trials if t.system_attrs.get("retry_history", [None])[-1] == trial.number]
        assert again.params == trial.params
    return lost


@pytest.fixture
def slower(project):
    """A folder in which a trial takes about a second."""
    space = "learning_rate: {from: 1e-3, to: 1e-1, log: true}\nhidden_dim: {from: 4, to: 12}\n"
    (project / "search.yaml").write_text(space, encoding="utf-8")
    change_param("num_epochs", 30)(project)
    return project


def test_the_next_search_repeats_the_trial_of_a_killed_one(slower, storage):
    change_param("workers", 2)(slower)
    with searches(slower, 1, storage, 3) as (search,):
        (trial,) = wait_for(lambda: trials_under_way(storage))
        search.kill()
    if sys.platform == "linux":
        assert_none_left(slower)
    call(slower, *flags(storage, 3))
    assert [t.number for t in require_count(load_study(storage).trials, 3, overshoot=0)] == [trial.number]


@pytest.mark.parametrize("storage", ["postgresql"], indirect=True)
def test_several_searches_share_a_study_and_one_is_killed(slower, storage):
    with searches(slower, 3, storage, 12) as processes:
        wait_for(lambda: len(trials_under_way(storage)) == 3)
        processes[0].kill()
        for process in processes[1:]:
            _, errors = process.communicate(timeout=120)
            assert (process.returncode, errors) == (0, "")
    assert len(require_count(load_study(storage).trials, 12, overshoot=1)) == 1
    assert [row["outcome"] for row in table(slower)].count("lost") == 1


@pytest.mark.parametrize("storage", ["postgresql"], indirect=True)
def test_a_search_whose_heartbeat_stopped_does_not_count_its_trial_again(slower, storage):
    with searches(slower, 1, storage, 2) as (stopped,):
        (trial,) = wait_for(lambda: trials_under_way(storage))
        stopped.send_signal(signal.SIGSTOP)
        call(slower, *flags(storage, 2))
        stopped.send_signal(signal.SIGCONT)
        printed, errors = stopped.communicate(timeout=60)
    assert (stopped.returncode, errors) == (0, "")
    assert f"trial {trial.number}: its heartbeat stopped, so another search repeats it\n" in printed
    assert [t.number for t in require_count(load_study(storage).trials, 2, overshoot=0)] == [trial.number]
