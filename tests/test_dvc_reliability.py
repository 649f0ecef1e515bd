"""What can be relied on under the real DVC: runs that are killed, run at once, or run in any of its ways end alike."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
import yaml

from tests.dvc_project import MODEL, OUTS, STAGES, contents, run, set_params
from tests.stage_project import CHECKPOINT, assert_none_left, running_in

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills process groups")


def begin_repro(folder, shown, *targets):
    """Start `dvc repro`, and return the process once it prints a line that begins so, or has ended."""
    process = subprocess.Popen(
        ["dvc", "repro", *targets],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    for line in process.stdout:
        if line.startswith(shown):
            break
    return process


def stop_beside_stage(process):
    """Stop DVC itself once the stage runs. Killed while it writes dvc.lock, it leaves half of one and can't go on."""
    deadline = time.monotonic() + 10
    while sys.platform == "linux" and time.monotonic() < deadline:
        tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
        if any(task.read_text().strip() for task in tasks):
            break
    os.kill(process.pid, signal.SIGSTOP)


def kill_all(process, folder):
    """Kill a process group, and wait until a half-written file has no owner; to the next run a zombie would be one."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with suppress(ProcessLookupError):
        while list(folder.rglob("*.partial")):
            os.killpg(process.pid, 0)
            time.sleep(0.02)
    in_use = folder / ".dvc/tmp/rwlock"  # DVC writes it in place, and can't read half of it
    with suppress(FileNotFoundError):
        try:
            json.loads(in_use.read_bytes())
        except ValueError:
            in_use.unlink()


@pytest.fixture
def clone(first_run, tmp_path):
    """A fresh clone of the first run, without the files and the cache of DVC."""
    run(tmp_path, "git", "clone", "-q", str(first_run[0]), "clone")
    return tmp_path / "clone"


def test_killed_twice_in_every_stage_the_next_repro_leaves_the_same_bytes(clone, first_outs):
    """All of DVC is killed, first when the stage has hardly begun, then somewhere in it."""
    lock = yaml.safe_load((clone / "dvc.lock").read_text(encoding="utf-8"))
    (clone / "dvc.lock").unlink()  # with it, evaluate and sample would not run: Git has their outputs
    for stage in STAGES:
        for delay in (0.05, random.Random(stage).uniform(0.1, 0.3)):
            with begin_repro(clone, f"Running stage '{stage}'", stage) as process:
                stop_beside_stage(process)
                time.sleep(delay)
                kill_all(process, clone)
            assert process.returncode == -signal.SIGKILL
    run(clone, "dvc", "repro")
    assert contents(clone, OUTS) == first_outs
    assert not list(clone.rglob("*.partial"))
    assert yaml.safe_load((clone / "dvc.lock").read_text(encoding="utf-8")) == lock  # perhaps in another order
    run(clone, "git", "checkout", "-q", "dvc.lock")
    assert run(clone, "git", "status", "--porcelain").stdout == ""
    assert not (clone / CHECKPOINT).exists()


def test_killed_between_epochs_the_next_repro_resumes(repository):
    """First one worker is killed, which fails the stage, then all of DVC, which leaves no worker."""
    set_params(repository, num_epochs=6, dropout=0.3, learning_rate=0.002)
    if sys.platform == "linux":
        with begin_repro(repository, "epoch 1/") as process:
            os.kill(running_in(repository)[-1], signal.SIGKILL)
            _, errors = process.communicate(timeout=60)
        assert process.returncode != 0
        assert "error: worker 1 died (signal 9), so all workers were stopped; progress is saved" in errors
    with begin_repro(repository, "epoch 4/") as process:
        kill_all(process, repository)
    if sys.platform == "linux":
        assert_none_left(repository)
    assert f"resuming from {CHECKPOINT}: epoch " in run(repository, "dvc", "repro").stdout
    left = contents(repository, OUTS)
    run(repository, "dvc", "repro", "-f")
    assert contents(repository, OUTS) == left


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize("number", [getattr(signal, "SIGKILL", None), signal.SIGTERM])
@pytest.mark.parametrize("shell", ["/bin/sh", sys.executable], ids=["sh", "a shell that stays"])
def test_training_saves_a_checkpoint_and_ends_after_its_dvc(
    shell, number, repository, first_outs, monkeypatch, tmp_path
):
    """Only DVC is killed, not its stage; the results of the next run do not mix with the stage's."""
    if shell == sys.executable:  # `sh -c` may replace itself by the command
        shell = tmp_path / "shell"
        shell.write_text('#!/bin/sh\n/bin/sh "$@"\nexit $?\n')
        shell.chmod(0o755)
    monkeypatch.setenv("SHELL", str(shell))
    set_params(repository, num_epochs=10**6)
    with begin_repro(repository, "epoch 2/") as process:
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=60)  # ends when the stage does, which has the same standard error
    assert process.returncode == -number
    assert errors.count("interrupted; DVC, which started this stage, has ended; progress is saved") == 1
    assert_none_left(repository)
    assert (repository / CHECKPOINT).exists() and not (repository / MODEL).exists()
    set_params(repository, num_epochs=1)
    assert "belongs to a run with different num_epochs" in run(repository, "dvc", "repro", "-f", "train").stdout
    run(repository, "dvc", "repro")
    assert contents(repository, OUTS) == first_outs


def test_while_a_stage_runs_on_without_dvc_the_next_one_is_refused(repository):
    """DVC is killed and its stage is stopped, so that it can't notice."""
    set_params(repository, num_epochs=10**6)
    with begin_repro(repository, "epoch 2/") as process:
        stage = int((repository / "models/.char_rnn.npz.lock").read_text().split()[1])
        os.kill(stage, signal.SIGSTOP)
        try:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            before = yaml.safe_load((repository / "dvc.lock").read_bytes())["stages"]["train"]
            set_params(repository, num_epochs=1)
            errors = run(repository, "dvc", "repro", fails=True).stderr
            assert f"error: {MODEL} is being written by process {stage} on " in errors
            assert yaml.safe_load((repository / "dvc.lock").read_bytes())["stages"]["train"] == before
        finally:
            os.kill(stage, signal.SIGCONT)
            process.communicate(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_is_no_success_and_resumes(number, clone, first_outs):
    """Ctrl-C in a terminal reaches DVC and the stage."""
    set_params(clone, num_epochs=400)
    with begin_repro(clone, "epoch 2/") as process:
        os.killpg(process.pid, number)
        process.communicate(timeout=60)
    assert process.returncode != 0
    if sys.platform == "linux":
        assert_none_left(clone)
    assert (clone / CHECKPOINT).exists() and not (clone / MODEL).exists()

    set_params(clone, num_epochs=1)
    assert "belongs to a run with different num_epochs" in run(clone, "dvc", "exp", "run").stdout
    assert contents(clone, OUTS) == first_outs


def test_params_edited_during_training_are_found_out(repository):
    set_params(repository, num_epochs=100)
    with begin_repro(repository, "epoch 1/") as process:
        set_params(repository, learning_rate=0.123)
        _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert f"{MODEL} was trained with learning_rate 0.001, but params.yaml has 0.123" in errors


@pytest.fixture(scope="module")
def outcomes(first_run, tmp_path_factory):
    """What `python -m stages.train` leaves outside DVC: for each seed its validation loss and the hash of its model."""
    found = []
    for seed in (71, 72, 73):
        out = tmp_path_factory.mktemp("alone")
        run(
            first_run[0], sys.executable, "-m", "stages.train", "--seed", str(seed), "--dropout", "0.2",
            "--model-dir", str(out), "--metrics-dir", str(out),
        )  # fmt: skip
        loss = json.loads((out / "train.json").read_text(encoding="utf-8"))["validation_loss"]
        found.append((seed, loss, hashlib.md5((out / Path(MODEL).name).read_bytes()).hexdigest()))
    assert len({loss for _, loss, _ in found}) == 3
    return found


def md5_of_model(lock):
    """What the text of a dvc.lock says of the model."""
    return next(out["md5"] for out in yaml.safe_load(lock)["stages"]["train"]["outs"] if out["path"] == MODEL)


def experiments(folder):
    """The seed, the validation loss and the hash of the model of every experiment, in ascending order."""
    _, baseline = json.loads(run(folder, "dvc", "exp", "show", "--json").stdout)
    found = []
    for experiment in baseline["experiments"]:
        revision = experiment["revs"][0]
        data = revision["data"]
        seed = data["params"]["params.yaml"]["data"]["seed"]
        loss = data["metrics"]["metrics/train.json"]["data"]["validation_loss"]
        lock = run(folder, "git", "show", f"{revision['rev']}:dvc.lock").stdout
        found.append((seed, loss, md5_of_model(lock)))
    return sorted(found)


CHANGES = ("-f", "-S", "dropout=0.2", "-S")


def test_repro_and_an_experiment_give_the_bytes_of_a_run_outside_dvc(repository, outcomes):
    set_params(repository, seed=71, dropout=0.2)
    run(repository, "dvc", "repro", "-f", "train")
    assert md5_of_model((repository / "dvc.lock").read_text(encoding="utf-8")) == outcomes[0][2]
    run(repository, "dvc", "exp", "run", *CHANGES, "seed=72", "train")
    assert experiments(repository) == outcomes[1:2]


def test_two_temp_experiments_at_once_give_the_same_bytes(repository, outcomes):

    def experiment(seed):
        """DVC itself waits only some seconds for another DVC, which may take longer on a busy machine."""
        command = ["dvc", "exp", "run", "--temp", *CHANGES, f"seed={seed}", "train"]
        while True:
            ended = subprocess.run(command, cwd=repository, capture_output=True, encoding="utf-8", timeout=300)
            if "Unable to acquire lock" not in ended.stderr:
                return ended.returncode

    with ThreadPool(2) as pool:
        assert pool.map(experiment, (71, 72)) == [0, 0]
    assert experiments(repository) == outcomes[:2]


def test_a_queue_with_two_workers_gives_the_same_bytes(repository, outcomes):
    run(repository, "dvc", "exp", "run", "--queue", *CHANGES, "seed=71,72,73", "train")
    run(repository, "dvc", "queue", "start", "--jobs", "2")
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        status = run(repository, "dvc", "queue", "status").stdout
        if status.count("Success") + status.count("Failed") == 3:
            break
        time.sleep(1)
    assert status.count("Success") == 3, status
    run(repository, "dvc", "queue", "stop", "--kill")
    assert experiments(repository) == outcomes
