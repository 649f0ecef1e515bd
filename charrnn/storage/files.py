"""Write a file completely or not at all, and open one for reading without waiting for a writer."""

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, cast

from charrnn.errors import InputError

if sys.platform != "win32":
    import fcntl

NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none of these
NONBLOCK = getattr(os, "O_NONBLOCK", 0)
BINARY = getattr(os, "O_BINARY", 0)


def open_regular(path: str | Path) -> BufferedReader:
    """Open a file for reading.

    Raises
    ------
    InputError
        If it is a pipe or a device. (Opening a pipe does not wait for its writer.)
    OSError
        If it is a folder or can't be opened.
    """
    file = open(os.fspath(path), "rb", opener=lambda name, flags: os.open(name, flags | NONBLOCK))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"{path} is not a regular file, but a pipe or a device")
    return file


def require_writable(path: str | Path) -> None:
    """Check that a file can be written, and create its folder if it is missing.

    Raises
    ------
    OSError
        If `path` is a folder or not writable, or its own folder can't be created or written to.
    """
    target, before = _target(path)
    if before is None:
        target.parent.mkdir(parents=True, exist_ok=True)
    elif stat.S_ISDIR(before.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    elif not before.st_mode & 0o222 or not os.access(path, os.W_OK):  # access() allows root everything
        raise PermissionError(errno.EACCES, "is not writable", str(path))
    if _replaceable(path, target, before) and not os.access(target.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target.parent))


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Yield a binary file to write to, which replaces `path` when the block ends without an error.

    A reader sees the old file or the new one, never half of one, even after a power failure. Missing parent folders are
    created, links are followed, and the permissions of a file that exists are kept. Pipes, devices and the files of
    other users are written in place instead: a new file could not have their type or owner.

    Raises
    ------
    OSError
        If `path` is a folder or not writable, its own folder can't be created or written to, or the disk is full.
    """
    require_writable(path)
    target, before = _target(path)
    try:
        if not _replaceable(path, target, before):
            with open(path, "ab" if _is_stream(path) else "wb") as existing:
                yield existing
            return
        _remove_leftovers(target)
        temporary, file = _create_beside(target, 0o666 if before is None else 0o600)
        try:
            with file:
                if before is not None:
                    _take_permissions(file.fileno(), before)
                yield file
                file.flush()
                os.fsync(file.fileno())  # a rename may reach the disk before the contents
                if os.name == "posix":  # still locked, so that no other process takes it for a leftover
                    os.replace(temporary, target)
            if os.name != "posix":  # Windows can't rename an open file
                os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.filename is None or str(error.filename).endswith(".partial"):  # for example if the disk is full
            error.filename, error.filename2 = str(path), None
        raise


def _target(path: str | Path) -> tuple[Path, os.stat_result | None]:
    """The file that a path leads to, and its status if it exists."""
    target = Path(os.path.realpath(path))
    try:
        return target, os.stat(path)
    except FileNotFoundError:
        return target, None


def _is_stream(path: str | Path) -> bool:
    """Whether this is a name such as /dev/stdout, which may lead to an open file that others write to as well."""
    return os.path.abspath(path).startswith(("/dev/", "/proc/"))


def _replaceable(path: str | Path, target: Path, before: os.stat_result | None) -> bool:
    """Whether a new file can replace this one and have its type, owner and group."""
    if _is_stream(path):
        return False
    if before is None:
        return True
    if not stat.S_ISREG(before.st_mode) or not target.exists():  # a link such as /dev/stdout may lead to a deleted file
        return False
    if sys.platform == "win32":
        return True
    is_root = os.geteuid() == 0
    return before.st_uid == os.geteuid() and (is_root or before.st_gid in (os.getegid(), *os.getgroups()))


def _take_permissions(descriptor: int, before: os.stat_result) -> None:
    """Give a new file the group and the mode of the one that it replaces; on Windows it inherits the folder's."""
    if sys.platform != "win32":
        if os.fstat(descriptor).st_gid != before.st_gid:
            os.fchown(descriptor, -1, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _create_beside(target: Path, mode: int) -> tuple[Path, BinaryIO]:
    """Create a temporary file that no other process writes to or takes for a leftover."""
    while True:
        # Process numbers are not unique: they are reused, and every container has a process 1.
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | NOFOLLOW | BINARY, mode)
        file = cast(BinaryIO, os.fdopen(descriptor, "w+b"))
        if _lock(descriptor):
            return temporary, file
        file.close()


def _lock(descriptor: int) -> bool:
    """Lock a new file until this process closes it or dies. Returns False if another process has just removed it."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # this file system has no locks, so no process removes leftovers
        return os.fstat(descriptor).st_nlink > 0
    return True


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote this file."""
    with contextlib.suppress(OSError):  # a folder may be written to but not read
        for leftover in target.parent.iterdir():
            if re.fullmatch(rf"\.{re.escape(target.name)}\.[0-9a-f]{{16}}\.partial", leftover.name):
                with contextlib.suppress(OSError):  # it is in use
                    _remove_unless_in_use(leftover)


def _remove_unless_in_use(leftover: Path) -> None:
    """Remove a temporary file; raises OSError if a process still writes to it."""
    if sys.platform == "win32":
        leftover.unlink()  # fails while it is open
        return
    descriptor = os.open(leftover, os.O_RDWR | NOFOLLOW | NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        leftover.unlink()
    finally:
        os.close(descriptor)
