"""Files: written whole or not at all, on the disk before they get their names; archives: what goes in comes out."""

import os
import subprocess
import sys

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.storage.archive import read_archive, write_archive
from charrnn.storage.files import atomic_write, require_writable

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "ids": np.array([1, 255], np.uint8), "none": np.zeros(0)}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "archive"
    write_archive(path, 3, {"text": "é", "list": [1, None]}, ARRAYS)
    return path


def test_round_trip(path):
    description, arrays = read_archive(path, 3)
    assert description == {"format": 3, "text": "é", "list": [1, None]}
    assert list(arrays) == list(ARRAYS)
    for name, array in arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        np.testing.assert_array_equal(array, ARRAYS[name], strict=True)
        assert not array.flags.writeable


def test_another_format_is_refused(path):
    with pytest.raises(InputError) as error:
        read_archive(path, 4)
    assert str(error.value) == f"{path}: the format is 3; this version reads format 4"


def test_equal_contents_make_equal_files(path):
    before = path.read_bytes()
    write_archive(path, 3, {"text": "é", "list": [1, None]}, ARRAYS)
    assert path.read_bytes() == before
    write_archive(path, 3, {"text": "é", "list": [1, 0]}, ARRAYS)
    assert path.read_bytes() != before


def test_a_failed_write_leaves_the_old_file(path, full_disk):
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left on device: .*archive"):
        write_archive(path, 3, {}, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_an_error_in_the_block_leaves_the_old_file(path):
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_file_that_was_written_takes_the_place_of_the_old_one(path):
    before = path.read_bytes()
    with open(path, "rb") as reader:
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"new")
            written = temporary.stat().st_ino
        assert reader.read() == before
    assert path.stat().st_ino == written
    assert path.read_bytes() == b"new"


def test_what_was_written_is_on_the_disk_before_it_is_renamed(path, monkeypatch):
    """Otherwise a loss of power may leave the new name and nothing under it."""
    calls, fsync, rename = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: calls.append(("fsync", os.fstat(file).st_ino)) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda a, b: calls.append(("rename", os.stat(a).st_ino)) or rename(a, b))
    write_archive(path, 3, {}, {})
    inode = path.stat().st_ino
    assert calls == [("fsync", inode), ("rename", inode)]


def test_missing_folders_are_made(tmp_path):
    with atomic_write(tmp_path / "a/b/file") as temporary:
        temporary.write_bytes(b"new")
    assert (tmp_path / "a/b/file").read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no harmless way to ask whether a process runs")
def test_what_killed_processes_have_left_is_removed_and_what_others_write_is_not(path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    leftover, in_use = (path.with_name(f".archive.{pid}.partial") for pid in (ended.pid, os.getppid()))
    others = [path.with_name(name) for name in (f".other.{ended.pid}.partial", ".archive.x.partial", "archive.partial")]
    for file in (leftover, in_use, *others):
        file.write_bytes(b"half")
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"new")
    assert set(path.parent.iterdir()) == {path, in_use, *others}


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path):
    for write in (lambda: require_writable(tmp_path), lambda: write_archive(tmp_path, 1, {}, {})):
        with pytest.raises(IsADirectoryError) as error:
            write()
        assert error.value.filename == str(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_to_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError) as error:
        require_writable(tmp_path / "file")
    assert error.value.filename == str(tmp_path)
