"""Writing a file whole or not at all."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path


def require_writable(path: Path) -> None:
    """Make the folder of `path` if it is missing.

    Raises
    ------
    OSError
        If `path` is a folder, or can't have or be written to in its own.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path.parent))


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` once the block has ended without an error.

    A reader sees the old file or the new one, never half of one. Missing parent folders are made.

    Raises
    ------
    OSError
        If `path` is a folder, or its own folder can't be made or written to.
    """
    path = Path(path)
    require_writable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
