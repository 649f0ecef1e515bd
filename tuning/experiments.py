"""Trials as DVC experiments: the real pipeline, run with a trial's params and compared with what the trial measured."""

import json
import subprocess
import sys
from collections.abc import Mapping

from charrnn.errors import InputError
from stages.params import Value
from stages.search_space import as_yaml

DVC = (sys.executable, "-m", "dvc")


def require_dvc() -> None:
    """Fail now rather than when the search is over.

    Raises
    ------
    InputError
        If this is no folder in which DVC can run experiments.
    """
    for command in (("git", "rev-parse", "--verify", "HEAD"), (*DVC, "root")):
        ended = subprocess.run(command, capture_output=True, encoding="utf-8")
        if ended.returncode:
            reason = (ended.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise InputError(f"experiments need a Git and DVC repository with a commit, or --top 0: {reason}")


def run_experiment(name: str, params: Mapping[str, Value]) -> float:
    """Run the pipeline with these params in a folder of its own; returns the validation loss that it recorded.

    An experiment of that name is replaced. What DVC has run before with the same params it does not run again.

    Raises
    ------
    InputError
        If DVC fails, which has said why.
    """
    if name in _run("exp", "list", "--name-only", capture=True).split():
        _run("exp", "remove", name, capture=True)
    settings = [part for key, value in params.items() for part in ("-S", f"{key}={as_yaml(value)}")]
    _run("exp", "run", "--temp", "-n", name, *settings)
    for of_commit in json.loads(_run("exp", "show", "--json", capture=True)):
        for experiment in of_commit["experiments"] or []:
            if experiment["name"] == name:
                return experiment["revs"][0]["data"]["metrics"]["metrics/train.json"]["data"]["validation_loss"]
    raise InputError(f"`dvc exp show` does not list {name}, which has just been run")


def _run(*arguments: str, capture: bool = False) -> str:
    ended = subprocess.run(
        [*DVC, *arguments], stdout=subprocess.PIPE if capture else None, stdin=subprocess.DEVNULL, encoding="utf-8"
    )
    if ended.returncode:
        raise InputError(f"`dvc {' '.join(arguments)}` failed, for the reason that it gives above")
    return ended.stdout or ""
