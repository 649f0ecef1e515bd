"""Connections to SQLite that wait, and print a message, while another program has locked the database."""

import sqlite3
import sys
import time
from collections.abc import Callable
from math import inf
from typing import Any

from tqdm import tqdm

from stages.common.training import KEPT

BUSY_SECONDS = 1.0  # SQLite itself waits this long at a time; Ctrl-C does not interrupt it
SECONDS_BETWEEN_MESSAGES = 60.0
MOST_SECONDS = 600.0


class Patience:
    """Repeats an action while another program has locked the SQLite database; all threads of a search share it.

    Parameters
    ----------
    should_stop
        Whether the user wants to end the search rather than wait.
    """

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self.should_stop = should_stop
        self.since: float | None = None  # nothing has succeeded since this time
        self.last_message = -inf

    def __call__(self, action: Callable[..., Any], *arguments: Any) -> Any:
        """Call the action until the database is not locked.

        Raises
        ------
        sqlite3.OperationalError
            If the action fails for another reason, or the database has been locked for `MOST_SECONDS`.
        KeyboardInterrupt
            If the database is locked and the user does not want to wait.
        """
        while True:
            try:
                result = action(*arguments)
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
                    raise
                now = time.monotonic()
                self.since = self.since or now
                if now > self.since + MOST_SECONDS:
                    raise
                if self.should_stop():
                    raise KeyboardInterrupt(KEPT) from None
                if now > self.last_message + SECONDS_BETWEEN_MESSAGES:
                    self.last_message = now
                    tqdm.write("waiting for the database, which another program has locked", file=sys.stderr)
            else:
                self.since = None
                return result


class PatientConnection(sqlite3.Connection):
    """A connection with patience. SQLAlchemy runs statements with `execute` and `executemany` of its cursors."""

    def __init__(self, *arguments: Any, patience: Patience, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.patience = patience

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or PatientCursor)

    def commit(self) -> None:
        self.patience(super().commit)


class PatientCursor(sqlite3.Cursor):
    """A cursor with the patience of its connection."""

    connection: PatientConnection

    def execute(self, *arguments: Any) -> Any:
        return self.connection.patience(super().execute, *arguments)

    def executemany(self, *arguments: Any) -> Any:
        return self.connection.patience(super().executemany, *arguments)
