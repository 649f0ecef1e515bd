"""The end of the DVC process that started a stage; tests/test_dvc_reliability.py has the real DVC."""

import os

import psutil
import pytest

from stages.common import parent
from stages.common.parent import DVCWatch


@pytest.fixture
def checked_always(monkeypatch):
    monkeypatch.setattr(parent, "SECONDS", -1)


def test_a_parent_that_ended_during_the_imports_is_noticed(monkeypatch, checked_always):
    monkeypatch.setenv("DVC_STAGE", "train")
    assert not DVCWatch().has_ended()
    monkeypatch.setattr(parent, "FIRST_PARENT", os.getppid() + 1)
    assert DVCWatch().has_ended()


def test_without_dvc_the_parent_may_end(monkeypatch, checked_always):
    monkeypatch.delenv("DVC_STAGE", raising=False)
    monkeypatch.setattr(parent, "FIRST_PARENT", os.getppid() + 1)
    assert not DVCWatch().has_ended()


def test_a_shell_that_has_just_ended_has_taken_dvc_with_it(monkeypatch):
    def ended(self):
        raise psutil.NoSuchProcess(self.pid)

    monkeypatch.setenv("DVC_STAGE", "train")
    monkeypatch.setattr(psutil.Process, "parent", ended)
    assert DVCWatch().has_ended()
