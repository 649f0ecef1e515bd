"""Hold the files that a stage writes, so that no second process writes them at the same time."""

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

FAR = 1 << 30  # on Windows, a byte that is locked can't be read, so it is one that no lock file has


@contextlib.contextmanager
def sole_writer(*paths: Path) -> Iterator[None]:
    """Be the only process that writes these files, until the block ends or the process dies, however it dies.

    A small file beside each one is locked and removed in the end; a process that was killed leaves it, but not the
    lock. Devices and pipes, and file systems without locks, are not locked.

    Raises
    ------
    InputError
        If another process holds one of the files; the message has its number.
    OSError
        If a file may not be written, or its folder can't be created or written to.
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
    """The descriptor of the locked lock file, which no other process has, or None if this file can't be locked."""
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | NOFOLLOW, 0o666)
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


def _lock(descriptor: int) -> bool:
    """Whether this process has got the lock; raises OSError if the file system has none."""
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
