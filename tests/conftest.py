"""What many tests need: a random generator, a full disk, an eye on worker processes, no time limit for Hypothesis."""

import signal
import threading

import numpy as np
import pytest
from hypothesis import settings

from charrnn.parallel import processes
from tests.browser import browser  # noqa: F401 (a fixture)
from tests.dvc_project import environment, first_outs, first_run, repository  # noqa: F401 (these are fixtures)
from tests.requirements_report import requirements_report
from tests.stage_project import finished, printed, project  # noqa: F401
from tests.worker_jobs import GUARD

settings.register_profile("charrnn", deadline=None)
settings.load_profile("charrnn")

# A shell that runs pytest in the background lets it ignore Ctrl-C, and the programs that tests start inherit this.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def full_disk(monkeypatch):
    """Only half of an archive can be written, then no space is left."""

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)


@pytest.fixture
def started(monkeypatch):
    """The worker processes that the test starts. When it is over, none may be left; if it hangs, they are killed."""
    started, start = [], processes._start

    def start_noted(*args):
        started.append(start(*args))
        return started[-1]

    monkeypatch.setattr(processes, "_start", start_noted)
    guard = threading.Timer(GUARD, lambda: [process.kill() for process in started])
    guard.start()
    yield started
    guard.cancel()
    assert [process.args for process in started if process.returncode is None] == []


def pytest_report_header():
    return requirements_report()
