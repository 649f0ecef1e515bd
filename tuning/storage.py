"""The database of a study: a file on one machine, a server for several."""

import contextlib
import time
import warnings
from collections.abc import Iterator

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from charrnn.errors import InputError
from tuning.options import STORAGE

optuna.logging.set_verbosity(optuna.logging.CRITICAL)  # the search prints its own messages
warnings.filterwarnings("ignore", category=ExperimentalWarning)  # about heartbeats

MISSED_HEARTBEATS = 4  # after this many, a trial counts as lost
CONNECTION_ATTEMPTS = 5

repeat_trial = RetryHeartbeatStaleTrialCallback()  # adds a trial that repeats a lost one


def open_storage(url: str, heartbeat: int) -> RDBStorage:
    """Connect to a database, and create any missing tables of Optuna; `heartbeat` is in seconds."""
    parsed = make_url(url)
    if parsed.drivername == "postgresql":  # SQLAlchemy's default driver depends on its version
        parsed = parsed.set(drivername="postgresql+psycopg")
    attempt = 1
    while True:
        try:
            return RDBStorage(
                parsed.render_as_string(hide_password=False),
                engine_kwargs={"pool_pre_ping": True},  # survives a restart of the server
                heartbeat_interval=heartbeat,
                grace_period=MISSED_HEARTBEATS * heartbeat,
                heartbeat_stale_trial_callback=repeat_trial,
            )
        except SQLAlchemyError:  # two searches may create the tables at the same time
            if attempt == CONNECTION_ATTEMPTS:
                raise
            attempt += 1
            time.sleep(0.2)


@contextlib.contextmanager
def database_errors(url: str) -> Iterator[None]:
    """Turn errors of the database in this block into one line that names it without its password."""
    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        raise InputError(f"the storage is {url!r}; it must be a URL such as {STORAGE}") from None
    try:
        yield
    except ImportError as error:
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        raise InputError(f"{shown} needs {cause.name}, which is not installed") from None
    except (SQLAlchemyError, StorageInternalError) as error:
        raise InputError(f"{shown}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    if isinstance(error, StorageInternalError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, DBAPIError) and error.orig:
        error = error.orig
    return " ".join(str(error).split())
