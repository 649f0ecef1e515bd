"""Notice that the DVC process that started this stage has ended, for example because it was killed."""

import os
import time
from collections.abc import Iterator

import psutil

from stages.common.first_parent import FIRST_PARENT

SECONDS = 1.0  # between two checks


class DVCWatch:
    """Watches the DVC process that started this one, perhaps through a shell, if there is one."""

    def __init__(self) -> None:
        stage = os.environ.get("DVC_STAGE")
        self.links: list[tuple[psutil.Process, psutil.Process]] = []
        self.checked_at = time.monotonic()
        self.ended = bool(stage) and os.getppid() != FIRST_PARENT  # while this process was importing its modules
        if stage:
            try:
                self.links = list(_links_to_dvc(stage))
            except psutil.NoSuchProcess:  # the shell between the two has just ended
                self.ended = True

    def has_ended(self) -> bool:
        """Whether DVC has ended. It checks about once a second, so it is cheap enough to call after every batch."""
        if not self.ended and self.links and time.monotonic() - self.checked_at > SECONDS:
            self.ended = any(not _is_child(process, parent) for process, parent in self.links)
            self.checked_at = time.monotonic()
        return self.ended


def _links_to_dvc(stage: str) -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """The pairs (child, parent) from this process up to DVC, the first ancestor without this DVC_STAGE."""
    child = psutil.Process()
    while (parent := child.parent()) is not None:
        yield child, parent
        if _stage_of(parent) != stage:
            return
        child = parent


def _stage_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("DVC_STAGE")
    except psutil.Error:  # the process of another user
        return None


def _is_child(process: psutil.Process, parent: psutil.Process) -> bool:
    """Whether `parent` is still the parent of the process; one that has ended no longer is, on any operating system."""
    try:
        return process.parent() == parent
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
