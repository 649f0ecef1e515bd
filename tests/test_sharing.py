"""docs/sharing.md under the real DVC, with folders as remotes: models, experiments and texts travel between clones."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.dvc_project import MODEL, OUTS, ROOT, contents, run, set_params, stages_run
from tests.stage_project import ENVIRONMENT

PAGE = (ROOT / "docs/sharing.md").read_text(encoding="utf-8")
RAW = "data/raw/input.txt"
NOT_OVERWRITTEN = "is not a text that this stage wrote, and would be overwritten"


def documented(command):
    """A command that docs/sharing.md shows."""
    assert re.search(rf"(?m)^{re.escape(command)}", PAGE), command
    return command.split()


@pytest.fixture
def shared(repository, tmp_path):
    """A repository with a Git and a DVC remote, to which everything was pushed."""
    run(tmp_path, "git", "init", "-q", "--bare", "-b", "main", "origin.git")
    run(repository, "git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    assert "dvc remote add --default store /path/to/store" in PAGE
    run(repository, "dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    run(repository, "git", "commit", "-qam", "A DVC remote")
    run(repository, *documented("dvc push"))
    run(repository, "git", "push", "-q", "origin", "HEAD:main")
    return repository


@pytest.fixture
def clone(shared, tmp_path):
    """A second clone, as on another machine, whose DVC cache is empty."""
    run(tmp_path, "git", "clone", "-q", "-b", "main", "origin.git", "clone")
    run(tmp_path / "clone", "git", "config", "user.name", "Other")
    run(tmp_path / "clone", "git", "config", "user.email", "other@example.org")
    return tmp_path / "clone"


def sample(folder, *flags):
    command = [sys.executable, "-m", "stages.sample", "--num-to-generate", "20", *flags]
    ended = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT | {"PYTHONPATH": str(folder)}, capture_output=True, encoding="utf-8"
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_second_clone_pulls_and_samples_without_training(shared, clone, first_outs):
    assert not (clone / MODEL).exists()
    run(clone, *documented("dvc pull"))
    assert contents(clone, OUTS) == first_outs
    assert sample(clone) == sample(shared) != ""
    assert stages_run(run(clone, "dvc", "repro")) == []
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_the_model_alone_is_enough_to_sample(clone, first_outs):
    run(clone, *documented("dvc pull models/char_rnn.npz"))
    assert not (clone / RAW).exists()
    assert (clone / MODEL).read_bytes() == first_outs[MODEL]
    assert sample(clone, "--weights-path", MODEL)


def test_an_experiment_is_pushed_and_applied_elsewhere(shared, clone):
    run(shared, "dvc", "exp", "run", "--temp", "--name", "wider", "-S", "hidden_dim=9")
    run(shared, *documented("dvc exp push origin wider"))
    assert run(clone, *documented("dvc exp list origin"), "--name-only").stdout.split() == ["wider"]
    run(clone, *documented("dvc exp pull origin wider"))
    run(clone, *documented("dvc exp apply wider"))
    assert "hidden_dim: 9\n" in (clone / "params.yaml").read_text(encoding="utf-8")
    assert sample(clone)
    run(clone, "dvc", "pull")
    assert stages_run(run(clone, "dvc", "repro")) == []


def test_the_model_is_an_artifact_that_can_be_had_by_its_name(shared, clone, tmp_path, first_outs):
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["artifacts"]
    ((name, artifact),) = declared.items()
    assert (name, artifact["path"], artifact["type"]) == ("char-rnn", MODEL, "model")
    assert artifact["desc"] and artifact["labels"]

    assert "git tag -a char-rnn@v1.0.0 -m" in PAGE
    run(shared, "git", "tag", "-a", "char-rnn@v1.0.0", "-m", "The first model")
    run(shared, "git", "push", "-q", "origin", "char-rnn@v1.0.0")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "char-rnn --rev v1.0.0 --out shakespeare.npz" in PAGE
    url = str(tmp_path / "origin.git")
    run(elsewhere, "dvc", "artifacts", "get", url, "char-rnn", "--rev", "v1.0.0", "--out", "shakespeare.npz")
    assert (elsewhere / "shakespeare.npz").read_bytes() == first_outs[MODEL]
    run(elsewhere, "dvc", "artifacts", "get", url, "char-rnn")  # the newest version
    assert (elsewhere / "char_rnn.npz").read_bytes() == first_outs[MODEL]
    assert sample(clone, "--weights-path", elsewhere / "shakespeare.npz")


def test_a_text_put_in_place_by_hand_survives_dvc_and_can_be_used(repository):
    text = ("mein eigener Text, von Hand\n" * 400).encode()
    (repository / RAW).write_bytes(text)
    set_params(repository, start_string="mein")
    for command in (["repro"], ["repro", "--force", "download"]):
        failed = run(repository, "dvc", *command, fails=True)
        assert NOT_OVERWRITTEN in failed.stderr
        assert (repository / RAW).read_bytes() == text

    run(repository, "dvc", "commit", "-q", "-f", "download")
    assert "download" not in stages_run(run(repository, "dvc", "repro"))
    assert "another text" in (repository / "metrics/report.html").read_text(encoding="utf-8")
    assert stages_run(run(repository, "dvc", "repro")) == []

    set_params(repository, data_url="text.txt")  # DVC has the other text in its cache now
    run(repository, "dvc", "repro", "--force", "prepare")
    assert (repository / RAW).read_bytes() == (repository / "text.txt").read_bytes()


@pytest.mark.parametrize(
    "change", ["data_url='texts/*.txt'", "data_url=texts", "data_url=[{join: [texts/a.txt, texts/b.txt]}, nowhere.txt]"]
)
def test_experiments_join_texts(repository, change):
    (repository / "texts").mkdir()
    text = (repository / "text.txt").read_text(encoding="utf-8")
    (repository / "texts/a.txt").write_text(text[:5000], encoding="utf-8")
    (repository / "texts/b.txt").write_text(text[5000:], encoding="utf-8")
    set_params(repository, data_url=["nowhere.txt", "text.txt"])  # a list, as by default
    run(repository, "dvc", "exp", "run", "-S", change)
    assert (repository / RAW).read_text(encoding="utf-8") == text[:5000] + "\n" + text[5000:]
    about = json.loads((repository / "metrics/data.json").read_bytes())
    assert [os.path.basename(file["name"]) for file in about["files"]] == ["a.txt", "b.txt"]
    assert stages_run(run(repository, "dvc", "repro")) == []
    run(repository, "dvc", "exp", "run", "-S", "data_url=text.txt")
    assert (repository / RAW).read_text(encoding="utf-8") == text


def test_a_folder_among_the_deps_is_watched(repository):
    """As docs/guide.md says."""
    guide = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    assert "data/bundled/tide_clock.txt, texts]" in guide
    (repository / "texts").mkdir()
    shutil.copy(repository / "text.txt", repository / "texts/a.txt")
    set_params(repository, data_url="texts")
    pipeline = (repository / "dvc.yaml").read_text(encoding="utf-8")
    assert "data/bundled/tide_clock.txt]" in pipeline
    pipeline = pipeline.replace("data/bundled/tide_clock.txt]", "data/bundled/tide_clock.txt, texts]")
    (repository / "dvc.yaml").write_text(pipeline, encoding="utf-8")
    run(repository, "dvc", "repro", "prepare")
    assert stages_run(run(repository, "dvc", "repro", "prepare")) == []
    (repository / "texts/b.txt").write_text("more of it", encoding="utf-8")
    assert stages_run(run(repository, "dvc", "repro", "prepare")) == ["download", "prepare"]
    assert (repository / RAW).read_text(encoding="utf-8").endswith("\nmore of it")


@pytest.mark.skipif(os.name == "nt", reason="a Bash script")
def test_continuous_integration_shows_what_has_changed(repository):
    def shown(*base):
        return run(repository, "bash", ".ci/metrics", *base).stdout

    loss = json.loads((repository / "metrics/evaluation.json").read_bytes())["loss"]
    assert "No metric has changed." in shown("HEAD")
    for base in ([], [""], ["0" * 40], ["nonsense"]):
        assert "There is no earlier commit" in shown(*base) and str(loss) in shown(*base)
    path = repository / "metrics/evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"loss": loss + 1}), encoding="utf-8")
    run(repository, "git", "commit", "-qam", "Worse")
    summary = shown("HEAD~1")
    assert re.search(r"\| metrics/evaluation.json +\| loss +\| [\d.]+ +\| [\d.]+ +\| 1\.0 +\|", summary), summary
    assert "perplexity" not in summary
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    assert '.ci/metrics "$BASE" >> "$GITHUB_STEP_SUMMARY"' in workflow


@pytest.mark.parametrize("path", [".devcontainer/devcontainer.json", ".vscode/extensions.json"])
def test_what_editors_read_is_valid(path):
    settings = json.loads((ROOT / path).read_text(encoding="utf-8"))
    recommended = settings.get("recommendations") or settings["customizations"]["vscode"]["extensions"]
    assert "iterative.dvc" in recommended and "ms-python.python" in recommended
