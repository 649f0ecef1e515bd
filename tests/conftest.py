"""What many tests need: a random generator of their own, and no time limit on what Hypothesis tries."""

import numpy as np
import pytest
from hypothesis import settings

from tests.dvc_project import environment, first_outs, first_run, repository  # noqa: F401 (these are fixtures)

settings.register_profile("charrnn", deadline=None)
settings.load_profile("charrnn")


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def full_disk(monkeypatch):
    """Archives are written half, and then there is no space left."""

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
