"""Notice that the DVC which has started this stage is gone, for example killed."""

import os
import time
from collections.abc import Iterator

import psutil

SECONDS = 1.0  # between two looks


class DVCWatch:
    """Whether the DVC that has started this process, perhaps through a shell, has ended; False without DVC."""

    def __init__(self) -> None:
        stage = os.environ.get("DVC_STAGE")
        self.links = list(_links_to_dvc(stage)) if stage else []
        self.looked_at, self.ended = time.monotonic(), False

    def has_ended(self) -> bool:
        """Cheap enough to be called after every batch: it looks about once a second."""
        if self.links and time.monotonic() - self.looked_at > SECONDS:
            self.ended = any(not _is_child(process, parent) for process, parent in self.links)
            self.looked_at = time.monotonic()
        return self.ended


def _links_to_dvc(stage: str) -> Iterator[tuple[psutil.Process, psutil.Process]]:
    """The pairs of child and parent between this process and DVC, which is the first one without this DVC_STAGE."""
    child = psutil.Process()
    while (parent := child.parent()) is not None:
        yield child, parent
        if _stage_of(parent) != stage:
            return
        child = parent


def _stage_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get("DVC_STAGE")
    except psutil.Error:  # it is somebody else's
        return None


def _is_child(process: psutil.Process, parent: psutil.Process) -> bool:
    """Whether `parent` is still the parent of the process; one that has ended no longer is, on any operating system."""
    try:
        return process.parent() == parent
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
