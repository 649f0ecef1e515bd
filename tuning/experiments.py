"""The best trials as DVC experiments: the whole pipeline, run with a trial's hyperparameters."""

import json
import subprocess
import sys
from collections.abc import Mapping

from charrnn.config import Value
from charrnn.errors import InputError
from charrnn.messages import shown
from stages.common.metrics_files import DIGITS
from stages.common.params import as_yaml

DVC = (sys.executable, "-m", "dvc")
ASCII_ONLY = "DVC can't run experiments here: it copies some settings as ASCII, which can't express"


def require_dvc() -> None:
    """Raise InputError unless DVC can run experiments in this folder, before the search rather than after it."""
    _answer("git", "rev-parse", "--verify", "HEAD")
    cache = _answer(*DVC, "cache", "dir")
    if not cache.isascii():
        raise InputError(
            f"{ASCII_ONLY} the path of the cache, {shown(cache)}; move it with `mv .dvc/cache FOLDER` and "
            "`dvc cache dir --local FOLDER`, where FOLDER is an absolute ASCII path, or skip experiments with --top 0"
        )
    for setting in _answer("git", "config", "--local", "--list").splitlines():
        if not setting.isascii():
            name = shown(setting.partition("=")[0])  # without the value, which may be a URL with a password
            raise InputError(
                f"{ASCII_ONLY} {name} in .git/config; remove it with `git config --unset {name}`, perhaps after "
                "`git config --global`, or skip experiments with --top 0"
            )


def _answer(*command: str) -> str:
    """The output of a command, without the line break at its end."""
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", errors="surrogateescape")
    if ended.returncode:
        reason = shown((ended.stderr.strip().splitlines() or ["no reason given"])[-1])
        raise InputError(f"experiments need a Git and DVC repository with a commit; --top 0 makes none: {reason}")
    return ended.stdout.rstrip("\n")


def make_experiment(name: str, params: Mapping[str, Value], loss: float) -> None:
    """Run a trial as an experiment, and print whether it has the trial's validation loss."""
    recorded, expected = run_experiment(name, params), float(f"{loss:.{DIGITS}g}")
    if recorded == expected:
        message = f"experiment {name} has validation loss {recorded}, like its trial; `dvc exp apply {name}` applies it"
    else:
        message = (
            f"warning: experiment {name} has validation loss {recorded}, but its trial had {expected}: the trial ran "
            "with other code or on another kind of processor"
        )
    print(message, flush=True)


def run_experiment(name: str, params: Mapping[str, Value]) -> float:
    """Run the pipeline with these hyperparameters, outside the workspace.

    It replaces an experiment of the same name. DVC takes stages that it has already run from its cache.

    Returns
    -------
    float
        The validation loss that the experiment recorded.

    Raises
    ------
    InputError
        If DVC fails. It has printed the reason.
    """
    if name in _dvc("exp", "list", "--name-only", capture=True).split():
        _dvc("exp", "remove", name, capture=True)
    changes = [part for key, value in params.items() for part in ("-S", f"{key}={as_yaml(value)}")]
    _dvc("exp", "run", "--temp", "-n", name, *changes)
    for commit in json.loads(_dvc("exp", "show", "--json", capture=True)):
        for experiment in commit["experiments"] or []:
            if experiment["name"] == name:
                return experiment["revs"][0]["data"]["metrics"]["metrics/train.json"]["data"]["validation_loss"]
    raise InputError(f"`dvc exp show` does not list experiment {name}, which has just run")


def _dvc(*arguments: str, capture: bool = False) -> str:
    ended = subprocess.run(
        [*DVC, *arguments], stdout=subprocess.PIPE if capture else None, stdin=subprocess.DEVNULL, encoding="utf-8"
    )
    if ended.returncode:
        raise InputError(f"`dvc {' '.join(arguments)}` failed; see its own message above")
    return ended.stdout or ""
