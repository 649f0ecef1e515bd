"""What can be relied on under the real DVC: runs that are killed, run at once, or run in any of its ways end alike."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from ruamel.yaml import YAML

from tests.dvc_project import MODEL, contents, restore, run, set_params
from tests.test_pipeline import OUTS, STAGES

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills process groups")


def killed_in(folder, stage, delay):
    """Start `dvc repro`, and kill DVC and all that it has started when the stage has run for so many seconds."""
    with subprocess.Popen(
        ["dvc", "repro"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        for line in process.stdout:
            if line.startswith(f"Running stage '{stage}'".encode()):
                break
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("stage", STAGES)
def test_killed_in_any_stage_the_next_repro_leaves_the_same_bytes(stage, repository, first_outs, tmp_path):
    run(tmp_path, "git", "clone", "-q", str(repository), "clone")
    folder = tmp_path / "clone"
    for delay in (0.05, random.Random(stage).uniform(0.1, 0.6)):
        killed_in(folder, stage, delay)
    run(folder, "dvc", "repro")
    assert contents(folder, OUTS) == first_outs
    assert not list(folder.rglob("*.partial"))
    assert run(folder, "git", "status", "--porcelain").stdout == ""
    assert not list(folder.glob("models/*.checkpoint"))


def test_killed_between_epochs_the_next_repro_goes_on(without_experiments):
    """All of DVC is killed after the second of four epochs."""
    folder = without_experiments
    set_params(folder, num_epochs=4, dropout=0.3, learning_rate=0.002)
    with subprocess.Popen(
        ["dvc", "repro"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        for line in process.stdout:
            if line.startswith(b"epoch 2/"):
                break
        os.killpg(process.pid, signal.SIGKILL)
    assert "going on from models/char_rnn.npz.checkpoint: epoch " in run(folder, "dvc", "repro").stdout
    left = contents(folder, OUTS)
    run(folder, "dvc", "repro", "-f")
    assert contents(folder, OUTS) == left


def test_interrupted_training_is_no_success_and_goes_on(repository, first_outs, tmp_path):
    run(tmp_path, "git", "clone", "-q", str(repository), "clone")
    folder = tmp_path / "clone"
    set_params(folder, num_epochs=400)
    with subprocess.Popen(
        ["dvc", "repro"], cwd=folder, stdout=subprocess.PIPE, encoding="utf-8", start_new_session=True
    ) as process:
        while not process.stdout.readline().startswith("epoch 2/"):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) != 0
    assert (folder / "models/char_rnn.npz.checkpoint").exists() and not (folder / MODEL).exists()

    set_params(folder, num_epochs=1)
    assert "is of a run with another num_epochs" in run(folder, "dvc", "exp", "run").stdout
    assert contents(folder, OUTS) == first_outs


def test_params_edited_during_training_are_found_out(repository):
    set_params(repository, num_epochs=300)
    with subprocess.Popen(
        ["dvc", "repro"], cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        while not process.stdout.readline().startswith("epoch 1/"):
            assert process.poll() is None
        set_params(repository, learning_rate=0.123)
        _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "models/char_rnn.npz was trained with learning_rate 0.001, but params.yaml has 0.123" in errors


@pytest.fixture(scope="module")
def outcomes(first_run, tmp_path_factory):
    """What `python -m stages.train` says of some seeds outside DVC: validation loss by seed."""
    folder, losses = first_run[0], {}
    restore(folder)
    for seed in (71, 72, 73):
        out = tmp_path_factory.mktemp("alone")
        run(
            folder, sys.executable, "-m", "stages.train",
            "--seed", str(seed), "--model-dir", str(out), "--metrics-dir", str(out),
        )  # fmt: skip
        losses[seed] = json.loads((out / "train.json").read_text(encoding="utf-8"))["validation_loss"]
    assert len(set(losses.values())) == 3
    return losses


def experiments(folder):
    """The validation loss and the hash of the model of every experiment: (seed, loss, MD5) each."""
    _, baseline = json.loads(run(folder, "dvc", "exp", "show", "--json").stdout)
    found = []
    for experiment in baseline["experiments"]:
        revision = experiment["revs"][0]
        lock = YAML(typ="safe").load(run(folder, "git", "show", f"{revision['rev']}:dvc.lock").stdout)
        md5 = next(out["md5"] for out in lock["stages"]["train"]["outs"] if out["path"] == MODEL)
        data = revision["data"]
        seed = data["params"]["params.yaml"]["data"]["seed"]
        found.append((seed, data["metrics"]["metrics/train.json"]["data"]["validation_loss"], md5))
    return sorted(found)


@pytest.fixture
def without_experiments(repository):
    run(repository, "dvc", "exp", "remove", "-A", "-q")
    yield repository
    run(repository, "dvc", "exp", "remove", "-A", "-q")


def test_two_temp_experiments_at_once(without_experiments, outcomes):
    folder = without_experiments
    both = [
        subprocess.Popen(
            ["dvc", "exp", "run", "--temp", "-f", "-S", f"seed={seed}"], cwd=folder, stdout=subprocess.PIPE
        )
        for seed in (71, 72)
    ]
    assert [process.communicate(timeout=180) and process.returncode for process in both] == [0, 0]
    assert [(seed, loss) for seed, loss, _ in experiments(folder)] == [(seed, outcomes[seed]) for seed in (71, 72)]


def test_a_queue_with_two_workers(without_experiments, outcomes):
    folder = without_experiments
    run(folder, "dvc", "exp", "run", "--queue", "-f", "-S", "seed=71,72,73")
    run(folder, "dvc", "queue", "start", "--jobs", "2")
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        status = run(folder, "dvc", "queue", "status").stdout
        if status.count("Success") + status.count("Failed") == 3:
            break
        time.sleep(1)
    assert status.count("Success") == 3, status
    run(folder, "dvc", "queue", "stop", "--kill")
    assert [(seed, loss) for seed, loss, _ in experiments(folder)] == sorted(outcomes.items())


def test_every_way_to_run_gives_the_same_bytes(without_experiments, outcomes):
    folder = without_experiments
    for way in (["-f"], ["-f", "--temp"], ["-f", "--queue"]):
        run(folder, "dvc", "exp", "run", "-q", *way, "-n", "way" + "".join(way), "-S", "seed=71", "-S", "dropout=0.2")
    run(folder, "dvc", "exp", "run", "--run-all", "-q")
    ways = experiments(folder)
    assert len(ways) == 3 and len(set(ways)) == 1

    set_params(folder, seed=71, dropout=0.2)
    run(folder, "dvc", "repro", "-f")
    lock = YAML(typ="safe").load(folder / "dvc.lock")
    assert ways[0][2] in [out["md5"] for out in lock["stages"]["train"]["outs"]]
