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
import tempfile
from pathlib import Path

import pytest

from tests.tuning_project import (
    COMPLETE,
    ENVIRONMENT,
    LOST,
    PRUNED,
    command,
    edit,
    load_study,
    prepared,
    project,
    run,
    table,
    trials_under_way,
    wait_for,
)


@pytest.fixture(scope="module")
def server():
    """The URL of an empty PostgreSQL server of our own."""
    folders = [
        shutil.which("initdb") and Path(shutil.which("initdb")).parent,
        *Path("/usr/lib/postgresql").glob("*/bin"),
    ]
    programs = next((folder for folder in folders if folder and (folder / "initdb").exists()), None)
    if programs is None or os.name != "posix":
        pytest.skip("no PostgreSQL server is installed; Debian's package is postgresql")
    pytest.importorskip("psycopg", reason='psycopg is missing; python -m pip install -e ".[tune]"')
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # a short path, for the socket, that another user may enter
    user = {}
    if os.getuid() == 0:  # a server refuses to be root's
        shutil.chown(folder, "postgres")
        user = {"user": "postgres"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program, *arguments):
        subprocess.run(
            [programs / program, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60, **user
        )

    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    call("initdb", "-D", folder / "data", "-A", "trust", "-U", "tuner", "--no-sync")
    call("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-o", options, "-w", "start")
    yield f"postgresql://tuner@127.0.0.1:{port}/postgres"
    call("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
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
    edit(project, "params.yaml", "num_epochs: 4", "num_epochs: 30")
    return project


def test_the_next_search_repeats_the_trial_of_a_killed_one(slower, storage):
    with searches(slower, 1, storage, 3) as (search,):
        (trial,) = wait_for(lambda: trials_under_way(storage))
        search.kill()
    run(slower, *flags(storage, 3))
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
        run(slower, *flags(storage, 2))
        stopped.send_signal(signal.SIGCONT)
        printed, errors = stopped.communicate(timeout=60)
    assert (stopped.returncode, errors) == (0, "")
    assert f"trial {trial.number}: its heartbeat stopped, so another search repeats it\n" in printed
    assert [t.number for t in require_count(load_study(storage).trials, 2, overshoot=0)] == [trial.number]
