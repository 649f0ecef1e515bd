"""The pipeline under the real DVC, in a copy of the repository: what is rerun, restored, compared and reproduced."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.test_pipeline import OUTS, PIPELINE, ROOT, STAGES

MODEL = "models/char_rnn.npz"
UP_TO_DATE = "Data and pipelines are up to date."


def run(folder, *command, fails=False):
    """Run a command, expect it to succeed or to fail, and return the process with what it printed."""
    process = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL)
    shown = f"{' '.join(command)} ended with {process.returncode}\n{process.stdout}{process.stderr}"
    assert (process.returncode != 0) is fails, shown
    return process


def stages_run(process):
    return re.findall(r"^Running stage '(\w+)'", process.stdout, re.MULTILINE)


def set_params(folder, **changes):
    yaml, path = YAML(), folder / "params.yaml"
    params = yaml.load(path)
    params.update(changes)
    yaml.dump(params, path)


def restore(folder):
    run(folder, "git", "checkout", "-qf", ".")
    run(folder, "dvc", "checkout", "-q")


def contents(folder, paths):
    return {path: (folder / path).read_bytes() for path in paths}


def generated_text():
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 9))) for _ in range(300)]
    return "".join(word + rng.choice("    \n,.") for word in rng.choices(words, k=3300))


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Programs of this Python first, and no settings of the user, of a Git hook or of a DVC stage around the tests."""
    own = tmp_path_factory.mktemp("settings")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_"))]:
            patch.delenv(name)
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
            patch.setenv(name, str(own / name))
        for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
            patch.setenv(name, os.devnull)
        yield


@pytest.fixture(scope="module")
def first_run(environment, tmp_path_factory):
    """A small run of the whole pipeline, committed: its folder, and the bytes of its outputs."""
    folder = tmp_path_factory.mktemp("repository")
    listed = run(ROOT, "git", "-c", "safe.directory=*", "ls-files", "-co", "-z", "--exclude-standard").stdout
    for path in filter(None, listed.split("\0")):
        if (ROOT / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, folder / path)

    text = generated_text()
    (folder / "text.txt").write_text(text, encoding="utf-8")
    sizes = {"embedding_dim": 4, "hidden_dim": 8, "window_size": 20, "stride": 20, "num_epochs": 1}
    set_params(folder, data_url="text.txt", start_string=text[:6], **sizes)

    run(folder, "git", "init", "-q")
    run(folder, "git", "config", "user.name", "Test")
    run(folder, "git", "config", "user.email", "test@example.org")
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "first run")
    return folder, contents(folder, OUTS)


@pytest.fixture
def repository(first_run):
    """The folder of the first run, as it was committed."""
    restore(first_run[0])
    return first_run[0]


@pytest.fixture
def first_outs(first_run):
    """The bytes of each output of the first run."""
    return first_run[1]


def test_git_tracks_metrics_and_lock_and_ignores_what_dvc_caches(repository):
    tracked = set(run(repository, "git", "ls-files").stdout.splitlines())
    assert "dvc.lock" in tracked
    assert {path for path in OUTS if path in tracked} == {path for path in OUTS if path.startswith("metrics/")}
    assert run(repository, "git", "status", "--porcelain").stdout == ""


def test_second_repro_runs_nothing(repository):
    again = run(repository, "dvc", "repro")
    assert stages_run(again) == []
    assert UP_TO_DATE in again.stdout


def test_temperature_reruns_only_sample(repository):
    assert stages_run(run(repository, "dvc", "exp", "run", "-S", "temperature=0.5")) == ["sample"]


def test_hidden_dim_reruns_training_and_what_follows_and_metrics_are_compared(repository):
    experiment = run(repository, "dvc", "exp", "run", "-S", "hidden_dim=9")
    assert sorted(stages_run(experiment)) == ["evaluate", "sample", "train"]

    changes = json.loads(run(repository, "dvc", "metrics", "diff", "--json").stdout)["metrics/train.json"]
    assert changes["parameters"]["old"] < changes["parameters"]["new"]
    assert changes["validation_loss"]["old"] != changes["validation_loss"]["new"]


def test_git_restore_and_dvc_checkout_bring_the_first_run_back(repository, first_outs):
    run(repository, "dvc", "exp", "run", "-S", "embedding_dim=5")
    assert (repository / MODEL).read_bytes() != first_outs[MODEL]

    run(repository, "git", "restore", "params.yaml", "dvc.lock", "metrics")
    run(repository, "dvc", "checkout")
    assert contents(repository, OUTS) == first_outs
    assert run(repository, "dvc", "status").stdout.strip() == UP_TO_DATE


def test_same_seed_in_a_fresh_clone_gives_the_same_bytes(repository, first_outs, tmp_path):
    run(tmp_path, "git", "clone", "-q", str(repository), "clone")
    clone = tmp_path / "clone"
    assert sorted(stages_run(run(clone, "dvc", "repro", "--force"))) == sorted(STAGES)
    assert contents(clone, OUTS) == first_outs
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_another_seed_gives_another_model(repository, first_outs):
    set_params(repository, seed=43)
    assert stages_run(run(repository, "dvc", "repro", "train")) == ["train"]
    assert (repository / MODEL).read_bytes() != first_outs[MODEL]


def test_temp_experiment_is_listed_and_leaves_the_workspace_alone(repository, first_outs):
    run(repository, "dvc", "exp", "run", "--temp", "-S", "temperature=0.25")
    assert run(repository, "git", "status", "--porcelain").stdout == ""
    assert contents(repository, OUTS) == first_outs

    _, baseline = json.loads(run(repository, "dvc", "exp", "show", "--json").stdout)
    params = [experiment["revs"][0]["data"]["params"]["params.yaml"]["data"] for experiment in baseline["experiments"]]
    assert 0.25 in [values["temperature"] for values in params]


def test_bad_param_fails_by_name_and_the_model_can_be_restored(repository, first_outs):
    failed = run(repository, "dvc", "exp", "run", "-S", "hidden_dim=-1", fails=True)
    assert "hidden_dim is -1" in failed.stdout + failed.stderr

    restore(repository)
    assert contents(repository, OUTS) == first_outs


def test_plots_have_points_and_the_graph_names_every_stage(repository):
    plots = json.loads(run(repository, "dvc", "plots", "show", "--json").stdout)["data"]
    assert set(plots) == {title for plot in PIPELINE["plots"] for title in plot}
    assert all(plot["content"]["data"]["values"] for renderings in plots.values() for plot in renderings)

    graph = run(repository, "dvc", "dag").stdout
    assert all(name in graph for name in STAGES)
