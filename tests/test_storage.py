"""Files: written whole or not at all, on the disk before they get their names; archives: what goes in comes out."""

import contextlib
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.storage.archive import read_archive, write_archive
from charrnn.storage.files import atomic_write, open_regular, require_writable

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
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_file_that_was_written_takes_the_place_of_the_old_one(path):
    before = path.read_bytes()
    with open(path, "rb") as reader:
        with atomic_write(path) as file:
            file.write(b"new")
            written = os.fstat(file.fileno()).st_ino
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
    with atomic_write(tmp_path / "a/b/file") as file:
        file.write(b"new")
    assert (tmp_path / "a/b/file").read_bytes() == b"new"


WRITE_AND_WAIT = """
import sys
from charrnn.storage.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def writer(path):
    """A process that is writing a file."""
    command = [sys.executable, "-c", WRITE_AND_WAIT, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_what_killed_processes_have_left_is_removed_and_what_others_write_is_not(path):
    folder, digits = path.parent, "0123456789abcdef"
    others = [folder / name for name in (f".other.{digits}.partial", ".archive.x.partial", f"archive.{digits}.partial")]
    for file in others:
        file.write_bytes(b"not mine")
    with writer(path) as killed:
        (leftover,) = set(folder.iterdir()) - {path, *others}
        killed.kill()  # and not waited for: as a zombie it keeps its number
        with writer(path), atomic_write(path) as file:
            file.write(b"new")
            assert not leftover.exists()
            assert len(set(folder.iterdir()) - {path, *others}) == 2
        assert path.read_bytes() == b"new"


def test_a_pattern_as_a_name_removes_nothing(tmp_path):
    precious = tmp_path / ".precious.0123456789abcdef.partial"
    precious.write_bytes(b"not mine")
    with atomic_write(tmp_path / "p*") as file:
        file.write(b"new")
    assert precious.exists()


def test_two_writers_of_one_file_never_mix(path):
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write(b"first")
        second.write(b"second, longer")
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_of_a_file_are_kept_and_those_of_its_temporary_file_are_never_wider(path):
    path.chmod(0o600)
    with atomic_write(path) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
        file.write(b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o751)
    with atomic_write(path) as file:
        file.write(b"newer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o751


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "file") as file:
            file.write(b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_that_may_not_be_written_is_refused(path):
    path.chmod(0o444)  # such as a link into DVC's cache
    for write in (lambda: require_writable(path), lambda: write_archive(path, 1, {}, {})):
        with pytest.raises(PermissionError) as error:
            write()
        assert (error.value.filename, error.value.strerror) == (str(path), "is not writable")


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_links_are_followed(path, tmp_path):
    for name, target in (("link", path), ("dangling", tmp_path / "elsewhere" / "new")):
        link = tmp_path / name
        link.symlink_to(target)
        with atomic_write(link) as file:
            file.write(name.encode())
        assert link.is_symlink() and target.read_bytes() == name.encode()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
def test_a_pipe_is_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(pipe) as file:
        file.write(b"new")
    assert os.read(reader, 100) == b"new" and stat.S_ISFIFO(pipe.stat().st_mode)
    os.close(reader)
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_keeps_its_owner(path):
    os.chown(path, 12345, 12345)
    with atomic_write(path) as file:
        file.write(b"new")
    assert (path.stat().st_uid, path.stat().st_gid, path.read_bytes()) == (12345, 12345, b"new")


def test_a_folder_in_the_place_of_the_file_is_an_error(tmp_path):
    for write in (lambda: require_writable(tmp_path), lambda: write_archive(tmp_path, 1, {}, {})):
        with pytest.raises(IsADirectoryError) as error:
            write()
        assert error.value.filename == str(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError) as error:
        require_writable(tmp_path / "file")
    assert error.value.filename == str(tmp_path)


def test_the_group_of_a_file_is_kept(path):
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can give files to any group")
    os.chown(path, 0, 12345)
    path.chmod(0o660)
    with atomic_write(path) as file:
        file.write(b"new")
    assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (12345, 0o660, b"new")


@pytest.mark.skipif(sys.platform != "linux", reason="a name of an open file")
def test_a_name_of_an_open_file_that_has_been_removed_is_written_into(path):
    with open(path, "r+b") as file:
        path.unlink()
        with atomic_write(f"/proc/self/fd/{file.fileno()}") as output:
            output.write(b"new")
        assert file.read().endswith(b"new")  # after what others may have written
    assert list(path.parent.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
def test_a_pipe_is_not_opened_to_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is not a regular file, but a pipe or a device"):
        open_regular(tmp_path / "pipe")


def test_a_folder_that_cannot_be_listed_can_be_written_to(path, monkeypatch):
    def fail(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "iterdir", fail)
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
