"""Locks on the files that a stage writes: only one process has them, and it loses them however it ends."""

import contextlib
import os
import subprocess
import sys

import pytest

from charrnn.errors import InputError
from stages.common import lock
from stages.common.lock import sole_writer

HOLD = """
import sys
from pathlib import Path
from stages.common.lock import sole_writer
with sole_writer(*map(Path, sys.argv[1:])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holder(*paths):
    """A process that has locked files."""
    command = [sys.executable, "-c", HOLD, *map(str, paths)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_in_one_line_with_the_number_of_the_first(tmp_path):
    model, curve, other = tmp_path / "models/a.npz", tmp_path / "metrics/b.csv", tmp_path / "c"
    with holder(model, curve) as process:
        for path in (model, curve):
            with pytest.raises(InputError) as refused, sole_writer(other, path):
                pass
            start, _, rest = str(refused.value).partition(" on ")
            assert start == f"{path} is being written by process {process.pid}"
            assert rest.endswith("; wait until it has ended, or stop it")
        with sole_writer(other, tmp_path / "models/d.npz"):  # which was released when the others were refused
            pass


def test_the_lock_file_goes_with_the_lock_and_a_killed_process_leaves_no_lock(tmp_path):
    path, file = tmp_path / "a", tmp_path / ".a.lock"
    with holder(path) as process:
        assert file.exists()
        process.kill()  # and not waited for
        process.stdout.read()
        with sole_writer(path):
            assert file.read_text().startswith(f"process {os.getpid()} on ")
        assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_block_releases_the_lock(tmp_path):
    with pytest.raises(KeyboardInterrupt), sole_writer(tmp_path / "a"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_two_names_of_one_file_are_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with sole_writer(tmp_path / "a"), pytest.raises(InputError, match="link is being written by"):
        sole_writer(tmp_path / "link").__enter__()


def test_a_child_process_does_not_keep_the_lock(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as before:
        with sole_writer(tmp_path / "a"):
            child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
        with sole_writer(tmp_path / "a"):
            pass
        for process in (before, child):
            process.communicate(b"\n")


def test_a_lock_file_that_its_holder_has_just_removed_is_no_lock(tmp_path, monkeypatch):
    """Another process may open the file before it is removed, and lock it after that."""
    path, file, try_to_lock = tmp_path / "a", tmp_path / ".a.lock", lock._lock

    def remove_then_lock(descriptor):
        monkeypatch.setattr(lock, "_lock", try_to_lock)
        file.unlink()
        return try_to_lock(descriptor)

    monkeypatch.setattr(lock, "_lock", remove_then_lock)
    with sole_writer(path):
        assert file.exists()
        with pytest.raises(InputError, match="is being written by"), sole_writer(path):
            pass


@pytest.mark.parametrize("name", ["open", "lock"])
def test_where_files_cannot_be_locked_a_stage_continues(name, tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(*((os, "open") if name == "open" else (lock, "_lock")), fail)
    with sole_writer(tmp_path / "a"), sole_writer(tmp_path / "a"):
        pass


def test_devices_are_not_locked():
    with sole_writer(lock.Path(os.devnull)), sole_writer(lock.Path(os.devnull)):
        pass


def test_a_file_that_is_not_writable_is_an_error_before_anything_is_done(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError), sole_writer(tmp_path / "b", tmp_path / "a"):
        pass
    assert not list(tmp_path.glob(".*"))


def test_a_lock_file_of_another_user_is_respected(tmp_path, monkeypatch):
    """It can be read, but not written."""
    path, open_file = tmp_path / "a", os.open

    def deny(name, flags, *mode):
        if str(name).endswith(".a.lock") and flags & os.O_RDWR:
            raise PermissionError
        return open_file(name, flags, *mode)

    with holder(path) as process:
        monkeypatch.setattr(os, "open", deny)
        with pytest.raises(InputError, match=f"is being written by process {process.pid} on "), sole_writer(path):
            pass
