"""Connections to SQLite that wait for a lock: what they repeat, what they say, and when they give up."""

import contextlib
import sqlite3
from functools import partial

import pytest

from stages.common.training import KEPT
from tests.tuning_project import optuna
from tuning import patience
from tuning.patience import MOST_SECONDS, SECONDS_BETWEEN_MESSAGES, Patience, PatientConnection
from tuning.storage import open_storage, parse_url

WAITING = "waiting for the database, which another program has locked\n"


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def path(tmp_path):
    """A database with a table."""
    path = tmp_path / "a.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    return path


@contextlib.contextmanager
def locked(path):
    """A connection that locks the database until it rolls back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


def connect(path, should_stop):
    return contextlib.closing(
        sqlite3.connect(path, timeout=0, factory=partial(PatientConnection, patience=Patience(should_stop)))
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda cursor: cursor.execute("INSERT INTO t VALUES (?)", (1,)),
        lambda cursor: cursor.executemany("INSERT INTO t VALUES (?)", [(1,)]),
        lambda cursor: cursor.execute("SELECT x FROM t"),
    ],
)
def test_a_statement_is_repeated_until_the_lock_is_released(path, clock, capsys, use):
    tries = []

    def release_the_sixth_time():
        clock[0] += SECONDS_BETWEEN_MESSAGES / 2 + 1
        tries.append(1)
        if len(tries) == 6:
            locking.execute("ROLLBACK")
        return False

    with locked(path) as locking, connect(path, release_the_sixth_time) as connection:
        use(connection.cursor())
        connection.commit()
    assert len(tries) == 6
    assert capsys.readouterr() == ("", 3 * WAITING)


def test_a_commit_is_repeated_until_no_one_reads(path, clock, capsys):
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT x FROM t").fetchall()
        with connect(path, lambda: reading.execute("ROLLBACK") and False) as connection:
            connection.cursor().execute("INSERT INTO t VALUES (7)")
            connection.commit()
        assert reading.execute("SELECT x FROM t").fetchall() == [(7,)]
    assert capsys.readouterr() == ("", WAITING)


def test_after_minutes_it_gives_up_and_does_not_wait_again(path, clock):
    def wait():
        clock[0] += MOST_SECONDS / 4
        return False

    with locked(path), connect(path, wait) as connection:
        for quarters in (5, 0):
            start = clock[0]
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                connection.cursor().execute("SELECT x FROM t")
            assert clock[0] - start == quarters * MOST_SECONDS / 4


def test_it_waits_as_long_for_the_next_lock(path, clock):
    def release_in_the_end():
        clock[0] += MOST_SECONDS - 1
        locking.rollback()
        return False

    with connect(path, release_in_the_end) as connection:
        for _ in range(2):
            with locked(path) as locking:
                connection.cursor().execute("SELECT x FROM t").fetchall()


def test_a_user_who_wants_to_stop_does_not_wait(path):
    with locked(path), connect(path, lambda: True) as connection, pytest.raises(KeyboardInterrupt, match=KEPT):
        connection.cursor().execute("SELECT x FROM t")


def test_another_error_is_raised_at_once(path):
    with connect(path, pytest.fail) as connection, pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.cursor().execute("SELECT x FROM u")


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore:Heartbeat of storage")
@pytest.mark.parametrize("stops", [True, False])
def test_a_heartbeat_that_fails_raises_nothing_and_the_next_one_is_recorded(tmp_path, clock, stops):
    """In its thread, an error would be printed with a traceback, and there would be no more heartbeats."""

    def should_stop():
        clock[0] += MOST_SECONDS + 1
        return stops

    storage = open_storage(parse_url(f"sqlite:///{tmp_path}/a.db"), 1, should_stop)
    trial = optuna.create_study(storage=storage).ask()
    with locked(tmp_path / "a.db"):
        storage.record_heartbeat(trial._trial_id)
    assert heartbeats(tmp_path / "a.db") == 0
    storage.record_heartbeat(trial._trial_id)
    assert heartbeats(tmp_path / "a.db") == 1


def heartbeats(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM trial_heartbeats").fetchone()[0]
