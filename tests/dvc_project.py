"""What dvc.yaml describes, and a copy of the repository with a small run of it, for tests with the real DVC."""

import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import modify_yaml

ROOT = Path(__file__).resolve().parents[1]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = PIPELINE["stages"]
OUTS = {
    path: flags or {}
    for stage in STAGES.values()
    for out in stage["outs"]
    for path, flags in (out if isinstance(out, dict) else {out: {}}).items()
}
MODEL = "models/char_rnn.npz"


def run(folder, *command, fails=False):
    """Run a command, expect it to succeed or to fail, and return the process with what it printed."""
    process = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL)
    shown = f"{' '.join(command)} ended with {process.returncode}\n{process.stdout}{process.stderr}"
    assert (process.returncode != 0) is fails, shown
    return process


def stages_run(process):
    return re.findall(r"^Running stage '(\w+)'", process.stdout, re.MULTILINE)


def set_params(folder, **changes):
    """Change params.yaml as `dvc exp run -S` does."""
    with modify_yaml(folder / "params.yaml") as params:
        params.update(changes)


def contents(folder, paths):
    return {path: (folder / path).read_bytes() for path in paths}


def generated_text():
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(1, 9))) for _ in range(300)]
    return "".join(word + rng.choice("    \n,.") for word in rng.choices(words, k=3300))


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Programs of this Python first, and no settings of the user, of a Git hook or of a DVC stage around the tests."""
    own = tmp_path_factory.mktemp("settings")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # DVC must ignore it, and programs start faster
        for name in [name for name in os.environ if name.startswith(("DVC_", "GIT_"))]:
            patch.delenv(name)
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        for name in ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR"):
            patch.setenv(name, str(own / name))
        for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
            patch.setenv(name, os.devnull)
        yield


@pytest.fixture(scope="session")
def first_run(environment, tmp_path_factory):
    """A small run of the whole pipeline, committed: its folder, only to be read, and the bytes of its outputs."""
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
def repository(first_run, tmp_path):
    """A copy of the folder of the first run, with its Git history and DVC cache, to do anything with."""
    return shutil.copytree(first_run[0], tmp_path / "repository", symlinks=True)


@pytest.fixture
def first_outs(first_run):
    """The bytes of each output of the first run."""
    return first_run[1]
