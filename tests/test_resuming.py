"""Training that is stopped or killed, in one process or two: it ends in one line, and resumes to the same bytes."""

import importlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from charrnn.model_file import load_model
from charrnn.storage.archive import CHECKPOINT_FORMAT, read_archive, write_archive
from tests.stage_project import (
    CHECKPOINT,
    ENVIRONMENT,
    MODEL,
    TRAINED,
    assert_none_left,
    begin,
    call,
    command,
    complaints,
    figures,
    files,
    printed_by,
    run,
    running_in,
    start,
    untrained,
)

KEPT = "progress is saved, and the same command resumes from there"
INTERRUPTED = f"interrupted; {KEPT}"
ENDLESS = ("--num-epochs", 10**9, "--checkpoint-seconds", 1000)
HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none
linux = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows can't send these signals to one process")


@pytest.fixture
def project(project):
    """A folder in which all stages but training have run."""
    untrained(project)
    return project


def uninterrupted(finished, folder, *flags):
    """Flags for a training, and the files that it leaves if nothing stops it."""
    shutil.copytree(finished, folder)
    untrained(folder)
    run(folder, "train", *flags)
    assert CHECKPOINT not in files(folder)
    return flags, files(folder)


@pytest.fixture(scope="module", params=[1, 2])
def saved_often(request, finished, tmp_path_factory):
    """A training that saves a checkpoint after each batch, see `uninterrupted`."""
    folder = tmp_path_factory.mktemp("often") / "project"
    flags = ("--num-epochs", 4, "--dropout", 0.2, "--workers", request.param, "--checkpoint-seconds", 0)
    return uninterrupted(finished, folder, *flags)


@pytest.fixture(scope="module", params=[1, 2])
def saved_seldom(request, finished, tmp_path_factory):
    """A longer training that saves a checkpoint after each epoch, see `uninterrupted`."""
    folder = tmp_path_factory.mktemp("seldom") / "project"
    flags = ("--num-epochs", 30, "--dropout", 0.2, "--workers", request.param, "--checkpoint-seconds", 1000)
    return uninterrupted(finished, folder, *flags)


@pytest.fixture(scope="module")
def interrupted(finished, tmp_path_factory):
    """A folder in which Ctrl-C ended the first training after its first epoch, with the exit code and stderr."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("interrupted") / "project")
    untrained(folder)
    with begin(folder, *ENDLESS) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    return folder, process.returncode, errors


def test_interrupted_training_fails_in_one_line_and_leaves_a_checkpoint_but_no_model(interrupted, finished):
    folder, code, errors = interrupted
    assert (code, errors.strip()) == (130, INTERRUPTED)
    left = files(folder)
    assert set(left) - {"metrics/history.csv", "metrics/evolution.txt", CHECKPOINT} == set(files(finished)) - TRAINED
    assert CHECKPOINT in left


def test_a_checkpoint_of_another_run_is_left_aside_with_a_word(interrupted, tmp_path, finished):
    project = shutil.copytree(interrupted[0], tmp_path / "copy")
    left_aside = f"not resuming from a checkpoint: {CHECKPOINT} belongs to a run with different num_epochs\n"
    assert left_aside in printed_by(project, "train")
    assert files(project) == files(finished)


def test_a_damaged_checkpoint_is_left_aside_with_a_word(project, finished):
    (project / CHECKPOINT).parent.mkdir(exist_ok=True)
    (project / CHECKPOINT).write_bytes(b"half")
    left_aside = f"not resuming from a checkpoint: {CHECKPOINT} is not a charrnn file"
    assert left_aside in printed_by(project, "train")
    assert files(project) == files(finished)


def test_a_checkpoint_whose_arrays_do_not_fit_is_ignored_with_a_message(interrupted, tmp_path, finished):
    project = shutil.copytree(interrupted[0], tmp_path / "copy")
    description, arrays = read_archive(project / CHECKPOINT, CHECKPOINT_FORMAT)
    description["run"]["num_epochs"] = load_model(finished / MODEL).params["num_epochs"]  # so that it is of this run
    del description["format"]
    write_archive(
        project / CHECKPOINT, CHECKPOINT_FORMAT, description, arrays | {"parameters": arrays["parameters"][1:]}
    )
    reason = f"{CHECKPOINT} is not a checkpoint of this run: parameters is float32 ("
    assert f"not resuming from a checkpoint: {reason}" in printed_by(project, "train")
    assert files(project) == files(finished)


def test_a_run_that_resumes_after_its_last_epoch_leaves_all_files(project, finished, monkeypatch):
    """It was killed before it had written its results, and DVC has deleted what it had."""

    def killed(*results):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("stages.train"), "write_results", killed)
        assert call(project, "train").returncode == 130
    for name in TRAINED:
        (project / name).unlink(missing_ok=True)
    assert "resuming from" in printed_by(project, "train")
    assert files(project) == files(finished)


@pytest.mark.parametrize("name", ["metrics/train.json", "metrics/evolution.txt", "metrics/history.csv", CHECKPOINT])
@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_that_cannot_be_written_is_refused_before_training(project, name):
    (project / name).touch()
    (project / name).chmod(0o444)
    ended = call(project, "train")
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", f"error: {name}: is not writable\n")


KILLED_AT_AN_EVENT = """
import os, signal, sys
from stages import train
from stages.common.program import run

remaining = int(sys.argv.pop(1))

def count(event, args):
    global remaining
    remaining -= event in ("open", "os.listdir", "os.rename", "os.remove", "subprocess.Popen")
    if remaining == 0:
        remaining = -1  # os.kill is an event too
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
run(train.main)
"""


def test_training_killed_at_twenty_random_moments_leaves_the_same_bytes(project, saved_often):
    """It is killed at audit events, most of which precede the creation, renaming or removal of a file."""
    flags, expected = saved_often
    moments, kills = random.Random(8), 0
    while kills < 20 / 2:  # for each number of workers
        program = ["-c", KILLED_AT_AN_EVENT, str(moments.randint(1, 300)), *map(str, flags)]
        ended = subprocess.run([sys.executable, *program], cwd=project, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        assert ended.returncode in (0, -signal.SIGKILL)
        kills += ended.returncode != 0
        (project / MODEL).unlink(missing_ok=True)  # as DVC would before it starts again
    if sys.platform == "linux":
        assert_none_left(project)
    has_checkpoint = CHECKPOINT in files(project)
    printed = run(project, "train", *flags)
    assert printed.count(f"resuming from {CHECKPOINT}") == has_checkpoint
    assert files(project) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, HANG_UP])
def test_training_that_was_asked_to_stop_resumes_within_the_epoch_to_the_same_bytes(number, project, saved_seldom):
    flags, expected = saved_seldom
    with begin(project, *flags, shown="epoch 2/") as process:
        os.killpg(process.pid, number)  # as a terminal does
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, INTERRUPTED)
    assert MODEL not in files(project)
    resumed = re.search(
        rf"resuming from {CHECKPOINT}: epoch \d+, (\d+) batch(?:es)? done", run(project, "train", *flags)
    )
    assert int(resumed[1]) > 0
    assert files(project) == expected


@pytest.mark.parametrize("workers", [1, 2])
def test_training_asked_to_stop_after_its_last_batch_fails_too(workers, project):
    code = (
        "import os, signal\n"
        "from charrnn.training import trainer\n"
        "from stages import train\n"
        "from stages.common.program import run\n"
        "evaluate = trainer.evaluate\n"
        "trainer.evaluate = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT) or evaluate(*a, **k)\n"
        "run(train.main)"
    )
    flags = ("--num-epochs", "1", "--workers", str(workers))
    ended = subprocess.run(
        [sys.executable, "-c", code, *flags], cwd=project, env=ENVIRONMENT, capture_output=True, encoding="utf-8"
    )
    assert (ended.returncode, ended.stderr.strip()) == (130, INTERRUPTED)
    assert MODEL not in files(project)
    assert f"resuming from {CHECKPOINT}: epoch 2, 0 " in printed_by(project, "train", *flags)
    assert MODEL in files(project)


@linux
@pytest.mark.parametrize("saved_seldom", [2], indirect=True)
def test_a_worker_that_dies_ends_all_in_one_line_and_the_same_command_resumes(project, saved_seldom):
    flags, expected = saved_seldom
    with begin(project, *flags) as process:
        first, second = running_in(project)
        assert first == process.pid
        os.kill(second, signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    message = f"error: worker 1 died (signal 9), so all workers were stopped; {KEPT}\n"
    assert (process.returncode, errors) == (1, message)
    assert_none_left(project)
    assert f"resuming from {CHECKPOINT}: epoch " in run(project, "train", *flags)
    assert files(project) == expected


@linux
def test_sigterm_to_every_process_stops_training_as_to_the_first_one(project):
    """As a batch system or `docker stop` may send it: only the first process decides what to do."""
    with begin(project, "--workers", 3, *ENDLESS) as process:
        for pid in reversed(running_in(project)):
            os.kill(pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, complaints(errors).strip()) == (130, INTERRUPTED)
    assert_none_left(project)
    assert CHECKPOINT in files(project)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_that_closes_leaves_a_checkpoint(workers, project):
    """It sends SIGHUP, and nothing can be written to it any more."""
    import pty

    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.execve(sys.executable, command("train", *ENDLESS, "--workers", workers), ENVIRONMENT)
    shown = b""
    while b"epoch 1/" not in shown:
        shown += os.read(terminal, 1 << 16)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (1, 130)  # 1 if it has just printed a line
    if sys.platform == "linux":
        assert_none_left(project)
    assert CHECKPOINT in files(project) and MODEL not in files(project)


def test_several_sighup_are_one(project):
    with begin(project, *ENDLESS) as process:
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, INTERRUPTED)
    assert CHECKPOINT in files(project)


@pytest.mark.parametrize("number", [signal.SIGINT, HANG_UP])
def test_a_signal_that_is_ignored_as_under_nohup_does_not_stop_training(number, project, saved_seldom):
    flags, expected = saved_seldom
    ignoring = f"import os, signal, sys; signal.signal({int(number)}, signal.SIG_IGN); "
    before = [sys.executable, "-c", ignoring + "os.execv(sys.argv[1], sys.argv[1:])"]
    with begin(project, *flags, before=before) as process:
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert files(project) == expected


def test_a_second_training_of_the_same_model_is_refused(project):
    with begin(project, *ENDLESS) as process:
        before = files(project)
        for flags in ((), ("--metrics-dir", "elsewhere"), ("--model-dir", "elsewhere")):
            refused = start(project, "train", *flags)
            assert refused.returncode == 1 and refused.stdout == ""
            assert f" is being written by process {process.pid} on " in refused.stderr
            assert len(refused.stderr.splitlines()) == 1
        run(project, "train", "--metrics-dir", "elsewhere", "--model-dir", "elsewhere")
        run(project, "evaluate", "--model-dir", "elsewhere")
        assert MODEL not in before and CHECKPOINT in files(project)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[1].strip() == INTERRUPTED


@linux
def test_one_of_three_workers_that_dies_ends_all(project):
    with begin(project, "--workers", 3, *ENDLESS) as process:
        os.kill(running_in(project)[-1], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and len(complaints(errors).splitlines()) == 1
    assert_none_left(project)


@linux
def test_workers_end_with_the_stage_that_has_started_them(project):
    with begin(project, "--workers", 3, *ENDLESS) as process:
        groups = {os.getpgid(pid) for pid in running_in(project)}
        assert len(groups) == 3  # so that Ctrl-C in a terminal reaches the first only
        process.kill()
        assert_none_left(project)
        assert complaints(process.stderr.read()) == ""


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_is_left_whenever_a_signal_comes(number, project):
    """While modules are imported, while workers start, in training, or twice at once.

    Python loses a KeyboardInterrupt that is raised in a callback of its own, as in the locks of its imports. Then one
    presses Ctrl-C again. So does the import with which coverage begins to measure a process.
    """
    unmeasured = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("COVERAGE")}
    for seconds in (0.05, 0.15, 0.25, 0.35, 0.45, 0.6):
        with begin(project, "--workers", 2, *ENDLESS, shown="", environment=unmeasured) as process:
            time.sleep(seconds)
            os.killpg(process.pid, number)
            if seconds > 0.5:
                os.killpg(process.pid, number)
            try:
                process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, number)
                process.communicate(timeout=60)
        assert process.returncode != 0
        assert_none_left(project)


@pytest.mark.parametrize("flags", [("--dropout", 0.3), ("--carry-state",)], ids=str)
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_another_number_of_workers_resumes_to_the_same_figures_but_for_rounding(before, after, flags, project):
    flags = (*flags, "--num-epochs", 20, "--checkpoint-seconds", 1000)
    printed_by(project, "train", *flags)
    expected = figures(project)
    untrained(project)
    with begin(project, *flags, "--workers", before) as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.strip()) == (130, INTERRUPTED)
    assert f"resuming from {CHECKPOINT}: epoch " in printed_by(project, "train", *flags, "--workers", after)
    np.testing.assert_allclose(figures(project), expected, rtol=1e-3)
