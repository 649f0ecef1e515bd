"""A study: the trials of one search, in a database that several processes and machines may share."""

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from charrnn.config import Value
from charrnn.errors import InputError
from charrnn.messages import shown
from stages.common.params import as_yaml
from tuning.dimensions import SearchSpace
from tuning.sampler import NumberedSampler
from tuning.search_space import IRRELEVANT


def subject_of(
    space: SearchSpace,
    fixed: Mapping[str, Value],
    data: Mapping[str, Any],
    init_sha256: str | None,
    *,
    pareto: bool,
) -> dict[str, Any]:
    """What the trials of a study must have in common: text, start, ranges, other hyperparameters, objectives."""
    subject = dict(data)
    for name, value in fixed.items():
        dimension = space.get(name)
        if dimension is None:
            subject[name] = str(value)
        else:
            subject[name] = f"{dimension}, else {value}" if dimension.when else str(dimension)
    subject["init_from"] = init_sha256  # another file may have the same name
    subject["objectives"] = "loss and seconds" if pareto else "loss"
    return {name: value for name, value in subject.items() if name not in IRRELEVANT}


def open_study(storage: BaseStorage, name: str, subject: Mapping[str, Any], *, pareto: bool, seed: int) -> optuna.Study:
    """Open the study of this name, or create it.

    Raises
    ------
    InputError
        If it exists with another subject.
    """
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["minimize"] * (2 if pareto else 1),
        sampler=NumberedSampler(seed),
        # After epochs 1, 3, 9 and so on, the best third of the trials continues.
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
        load_if_exists=True,
    )
    before = study.user_attrs.get("about")
    if before is None:
        study.set_user_attr("about", dict(subject))
    elif before != subject:
        differing = [key for key in {**before, **subject} if before.get(key) != subject.get(key)]
        raise InputError(
            f"study {name!r} was started with different {shown(', '.join(differing))}; --study NAME starts a new one"
        )
    return study


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials, lowest validation loss first; with two objectives, only those on the Pareto front."""
    if len(study.directions) == 1:
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    else:
        trials = study.best_trials
    return sorted(trials, key=lambda trial: (trial.values[0], trial.number))


def searched_params(trial: FrozenTrial) -> str:
    """The hyperparameters that the search varies, rounded for reading; the table has all digits."""
    params = trial.user_attrs["params"].items()
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={as_yaml(value)}" for name, value in params
    )
