"""Lock the files that a stage writes, so that no other process writes them at the same time."""

import contextlib
import os
import platform
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from charrnn.errors import InputError
from charrnn.messages import shown
from charrnn.storage.files import NOFOLLOW, require_writable

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

FAR = 1 << 30  # the byte to lock on Windows, where a locked byte can't be read: far beyond the end of the file


@contextlib.contextmanager
def sole_writer(*paths: Path) -> Iterator[None]:
    """Be the only process that writes these files, until the block ends or the process dies in any way.

    A small file beside each one is locked, and removed at the end; a process that was killed leaves it, but unlocked.
    Devices, pipes, and files in file systems without locks are not locked.

    Raises
    ------
    InputError
        If another process has locked one of the files; the message gives its number.
    OSError
        If a file is not writable, or its folder can't be created or written to.
    """
    with contextlib.ExitStack() as held:
        for path in paths:
            require_writable(path)
            if not path.exists() or stat.S_ISREG(path.stat().st_mode):
                held.enter_context(_hold(path))
        yield


@contextlib.contextmanager
def _hold(path: Path) -> Iterator[None]:
    target = Path(os.path.realpath(path))
    lock = target.with_name(f".{target.name}.lock")
    descriptor = _acquire(lock, path)
    if descriptor is None:
        yield
        return
    try:
        with contextlib.suppress(OSError):  # the disk may be full
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows doesn't remove an open file; the next process takes it over
            lock.unlink()
        os.close(descriptor)


def _acquire(lock: Path, path: Path) -> int | None:
    """Lock the lock file for this process, and return its descriptor, or None if it can't be locked."""
    while True:
        try:
            descriptor = _open(lock)
        except OSError:
            return None
        try:
            is_ours = _lock(descriptor)
        except OSError:
            os.close(descriptor)
            return None
        if is_ours and _is_file(descriptor, lock):
            return descriptor
        os.lseek(descriptor, 0, os.SEEK_SET)
        holder = os.read(descriptor, 200).decode(errors="replace")
        os.close(descriptor)  # if it is ours, the process that held it has just removed it
        if not is_ours:
            raise InputError(
                f"{path} is being written by {shown(holder or 'another process')}; wait until it has ended, or stop it"
            )


def _open(lock: Path) -> int:
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | NOFOLLOW, 0o666)
    except PermissionError:  # the file of another user can still be locked
        return os.open(lock, os.O_RDONLY | NOFOLLOW)


def _lock(descriptor: int) -> bool:
    """Try to lock a file, and return whether that succeeded; raises OSError if the file system has no locks."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
