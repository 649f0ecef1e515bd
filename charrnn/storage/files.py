"""Write a file atomically: whole or not at all."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


def require_writable(path: Path) -> None:
    """Create the folder of `path` if it is missing.

    Raises
    ------
    OSError
        If `path` is a folder, or its own folder can't be created or written to.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path.parent))


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` once the block has ended without an error.

    A reader sees the old file or the new one, never half of one, even after a power failure. Missing parent folders are
    created.

    Raises
    ------
    OSError
        If `path` is a folder, its own folder can't be created or written to, or the disk is full.
    """
    path = Path(path)
    require_writable(path)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())  # a rename may reach the disk before the contents
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None:  # for example if the disk is full
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote this file."""
    for leftover in path.parent.glob(f".{path.name}.*.partial"):
        pid = leftover.name.split(".")[-2]
        if pid.isdecimal() and not _is_running(int(pid)):
            leftover.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    if os.name != "posix":
        return True  # other systems have no harmless way to ask
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
