"""The database of a study: a file on one machine, a server for several."""

import contextlib
import re
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from charrnn.errors import InputError
from charrnn.messages import quoted, shown
from tuning.options import STORAGE
from tuning.patience import BUSY_SECONDS, Patience, PatientConnection

optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # the search prints its own messages
warnings.filterwarnings("ignore", category=ExperimentalWarning)  # about heartbeats

MISSED_HEARTBEATS = 4  # after this many, a trial counts as lost
CONNECTION_ATTEMPTS = 5

repeat_trial = RetryHeartbeatStaleTrialCallback()  # adds a trial that repeats a lost one


class Storage(RDBStorage):
    """Optuna's storage, but a heartbeat that fails raises no error."""

    def record_heartbeat(self, trial_id: int) -> None:
        # An error would end the thread of the heartbeats, with a traceback; the next heartbeat comes soon.
        with contextlib.suppress(SQLAlchemyError, StorageInternalError, KeyboardInterrupt):
            super().record_heartbeat(trial_id)


def parse_url(text: str) -> URL:
    """The URL of a database; raises InputError, without repeating a password, if it is not one."""
    try:
        url = make_url(text)
        url.render_as_string()  # fails if the text was not UTF-8
        return url
    except (ArgumentError, ValueError):  # ValueError also if the port is not a number
        without_password = quoted(re.sub("(?s).*@", "***@", text).partition("?")[0])
        raise InputError(f"the storage is {without_password}; it must be a URL such as {STORAGE}") from None


def open_storage(url: URL, heartbeat: int, should_stop: Callable[[], bool]) -> Storage:
    """Connect to a database, and create any missing tables of Optuna; `heartbeat` is in seconds.

    While another program has locked a SQLite database, wait until the lock is released or `should_stop()`.
    """
    engine: dict[str, Any] = {"pool_pre_ping": True}  # survives a restart of the server
    if url.drivername == "postgresql":  # SQLAlchemy's default driver depends on its version
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        factory = partial(PatientConnection, patience=Patience(should_stop))
        engine["connect_args"] = {"factory": factory, "timeout": BUSY_SECONDS}
    attempt = 1
    while True:
        try:
            return Storage(
                url.render_as_string(hide_password=False),
                engine_kwargs=engine,
                heartbeat_interval=heartbeat,
                grace_period=MISSED_HEARTBEATS * heartbeat,
                heartbeat_stale_trial_callback=repeat_trial,
            )
        except (TypeError, ValueError) as error:  # a driver does not accept an argument in the URL's query
            raise InputError(f"{_name(url)}: {shown(error)}") from None
        except SQLAlchemyError:  # two searches may create the tables at the same time
            if attempt == CONNECTION_ATTEMPTS:
                raise
            attempt += 1
            time.sleep(0.2)


@contextlib.contextmanager
def database_errors(url: URL) -> Iterator[None]:
    """Turn errors of the database in this block into one line that names it without its password."""
    name = _name(url)
    try:
        yield
    except ImportError as error:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        raise InputError(f"{name} needs {cause.name}, which is not installed") from None
    except (SQLAlchemyError, StorageInternalError) as error:
        raise InputError(f"{name}: {_reason(error)}") from None


def _name(url: URL) -> str:
    return shown(url.set(query={}).render_as_string(hide_password=True))  # a query may contain a password too


def _reason(error: BaseException) -> str:
    if isinstance(error, StorageInternalError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig:
        error = error.orig
    return shown(" ".join(str(error).split()))
