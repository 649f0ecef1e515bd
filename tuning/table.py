"""The table of all trials, as CSV."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState

from stages.common.metrics_files import write_csv
from stages.common.params import as_yaml

OUTCOMES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "lost"}


def write_table(path: Path, study: optuna.Study) -> None:
    """Write a row for each trial that has ended; `again_as` is the trial that repeats a lost one."""
    trials = study.get_trials(deepcopy=False, states=tuple(OUTCOMES))
    names = list(dict.fromkeys(name for trial in trials for name in trial.user_attrs.get("params", {})))
    repeats = {}
    for trial in study.get_trials(deepcopy=False):
        if history := RetryHeartbeatStaleTrialCallback.retry_history(trial):
            repeats[history[-1]] = trial.number
    if trials:
        write_csv(path, [_row(trial, names, repeats) for trial in trials])


def _row(trial: FrozenTrial, names: Iterable[str], repeats: Mapping[int, int]) -> dict[str, Any]:
    losses, params = trial.user_attrs.get("losses", []), trial.user_attrs.get("params", {})
    return {
        "trial": trial.number,
        "outcome": "failed" if "problem" in trial.user_attrs else OUTCOMES[trial.state],
        "again_as": repeats.get(trial.number),
        "validation_loss": min(losses, default=None),
        "epochs": len(losses),
        "seconds": trial.user_attrs.get("seconds"),
        # As text, with all digits: rounded like metrics, they would not repeat the trial exactly.
        **{name: as_yaml(params[name]) if name in params else None for name in names},
    }
