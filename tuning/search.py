"""The search itself: a study in a database, which any number of processes and machines may work on at the same time.

A trial trains as `stages.train` does, so that its validation loss is what the pipeline gets with the same params.
"""

import contextlib
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from tqdm import tqdm

from charrnn.checkpoint import TrainingState
from charrnn.errors import CharRNNError, InputError
from charrnn.training import best_epoch
from stages.params import Value
from stages.search_space import SearchSpace, as_yaml, suggest
from stages.train import KEPT, fit_as_told, fresh_model

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

BEATS_TO_DEATH = 4  # a worker that has not been heard of for so many heartbeats is taken for dead
OPENING_TRIES = 5
DONE = (TrialState.COMPLETE, TrialState.PRUNED)

take_up_again = RetryHeartbeatStaleTrialCallback()


class NumberedSampler(optuna.samplers.BaseSampler):
    """Tree-structured Parzen estimators whose draws depend on the seed and the trial's number, and on nothing before.

    So a study that is continued after a whole trial goes on as if it had never been stopped, and no two workers draw
    the same.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.of_trial: dict[int, optuna.samplers.TPESampler] = {}

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        seed = int(np.random.SeedSequence((self.seed, trial.number)).generate_state(1)[0])
        self.of_trial = {trial.number: optuna.samplers.TPESampler(seed=seed)}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.of_trial[trial.number].infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.of_trial[trial.number].sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.of_trial[trial.number].sample_independent(study, trial, param_name, param_distribution)


@contextlib.contextmanager
def database_named(url: str) -> Iterator[None]:
    """Whatever goes wrong with the database in this block is one line that names it, without its password."""
    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        raise InputError(f"the storage is {url!r}; it must be a URL such as sqlite:///tuning/study.db") from None
    try:
        yield
    except ImportError as error:
        driver = getattr(error.__cause__, "name", None) or error.name
        raise InputError(f"{shown} needs {driver}, which is not installed") from None
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
        reason = " ".join(str(getattr(cause, "orig", None) or cause).split())
        raise InputError(f"{shown}: {reason}") from None


def open_study(
    url: str, name: str, about: Mapping[str, Any], objectives: int, *, seed: int, heartbeat: int
) -> optuna.Study:
    """The study of that name, a new one if there is none; `about` is what its trials must have in common.

    Raises
    ------
    InputError
        If the study that is there is about something else.
    """
    study = optuna.create_study(
        storage=_storage(url, heartbeat),
        study_name=name,
        directions=["minimize"] * objectives,
        sampler=NumberedSampler(seed),
        # A third of the trials goes on after epochs 1, 3, 9 and so on.
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
        load_if_exists=True,
    )
    before = study.user_attrs.get("about")
    if before is None:
        study.set_user_attr("about", dict(about))
    elif before != about:
        differing = [key for key in {**before, **about} if before.get(key) != about.get(key)]
        raise InputError(f"study {name!r} is one with another {', '.join(differing)}; --study NAME begins a new one")
    return study


def _storage(url: str, heartbeat: int) -> RDBStorage:
    # SQLAlchemy's own choice of a driver depends on its version.
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    tries = 1
    while True:
        try:
            return RDBStorage(
                parsed.render_as_string(hide_password=False),
                engine_kwargs={"pool_pre_ping": True},  # a server may be started again
                heartbeat_interval=heartbeat,
                grace_period=BEATS_TO_DEATH * heartbeat,
                heartbeat_stale_trial_callback=take_up_again,
            )
        except SQLAlchemyError:  # also what happens when two workers make the tables at the same time
            if tries == OPENING_TRIES:
                raise
            tries += 1
            time.sleep(0.2)


@dataclass
class Search:
    """What a worker needs to do trials until the budget is used up.

    Attributes
    ----------
    fixed
        All params of training, for whatever is not in the space.
    texts
        The ids to train on and those to validate with.
    num_trials, deadline
        The budget: so many trials in the study, whoever did them, and no new one after this `time.monotonic`.
    stopped
        Asked after every batch; once it is true, the trial is given back and the search ends.
    """

    study: optuna.Study
    space: SearchSpace
    fixed: Mapping[str, Value]
    texts: tuple[np.ndarray, np.ndarray]
    vocabulary_size: int
    num_trials: float
    deadline: float
    stopped: Callable[[], bool]
    bar: tqdm = field(init=False)
    trial: Trial | None = field(init=False)

    def run(self) -> None:
        """Do trials until the budget is used up.

        Raises
        ------
        KeyboardInterrupt
            When it is stopped; the trial in hand will be done again by whoever is next.
        """
        total = self.num_trials if self.num_trials < inf else None
        with tqdm(total=total, desc="trials", unit="trial", disable=None) as self.bar:
            while time.monotonic() < self.deadline:
                self._raise_if_stopped()
                optuna.storages.fail_stale_trials(self.study)
                states = Counter(trial.state for trial in self.study.get_trials(deepcopy=False))
                done = sum(states[state] for state in DONE)
                self.bar.update(done - self.bar.n)
                if done >= self.num_trials:
                    break
                if done + states[TrialState.RUNNING] >= self.num_trials:
                    # Others have the rest in hand. If one of them dies, its trial is to be done here.
                    self.bar.set_postfix_str(f"waiting for {states[TrialState.RUNNING]} trials of other workers")
                    time.sleep(0.5)
                else:
                    self._do_a_trial()

    def _do_a_trial(self) -> None:
        self.trial = None
        try:
            self.study.optimize(self._objective, n_trials=1)
        except KeyboardInterrupt:
            if self.trial and self._frozen(self.trial).state == TrialState.FAIL:  # not if it had just ended
                take_up_again(self.study, self._frozen(self.trial))
            raise
        except (RuntimeError, ValueError):
            # Such is what Optuna raises where another worker took this one for dead. The trial is the other's now.
            if not self.trial or not self._taken_over(self.trial):
                raise
            self.bar.write(f"trial {self.trial.number} took too long to be heard of; another worker does it")
        else:
            assert self.trial is not None
            self.bar.write(self._line(self._frozen(self.trial)))

    def _objective(self, trial: Trial) -> float | tuple[float, float]:
        self.trial = trial
        params = suggest(self.space, trial, self.fixed)
        trial.set_user_attr("params", {name: params[name] for name in self.space})
        losses = []
        began = time.perf_counter()

        def batch_done(now: TrainingState, loss: float) -> None:
            self._raise_if_stopped()

        def epoch_done(now: TrainingState) -> None:
            losses.append(now.history[-1]["validation_loss"])
            trial.set_user_attr("losses", losses)
            trial.set_user_attr("seconds", time.perf_counter() - began)
            self.bar.set_postfix_str(f"trial {trial.number}, epoch {len(losses)}: {losses[-1]:.4f}{self._best()}")
            if len(self.study.directions) == 1:  # Optuna prunes no trial with two objectives
                trial.report(losses[-1], len(losses))
                if len(losses) < params["num_epochs"] and trial.should_prune():
                    raise optuna.TrialPruned

        try:
            model, rng = fresh_model(params, self.vocabulary_size)
            history = fit_as_told(params, model, *self.texts, rng=rng, on_batch=batch_done, on_epoch=epoch_done)
        except (CharRNNError, MemoryError) as error:  # these params can't be trained with; others can
            trial.set_user_attr("problem", str(error) or "out of memory")
            raise optuna.TrialPruned from None
        seconds = time.perf_counter() - began
        trial.set_user_attr("seconds", seconds)
        loss = best_epoch(history)["validation_loss"]
        return loss if len(self.study.directions) == 1 else (loss, seconds)

    def _raise_if_stopped(self) -> None:
        if self.stopped():
            raise KeyboardInterrupt(KEPT)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _taken_over(self, taken: Trial) -> bool:
        return any(
            taken.number in RetryHeartbeatStaleTrialCallback.retry_history(trial)
            for trial in self.study.get_trials(deepcopy=False)
        )

    def _best(self) -> str:
        best = best_trials(self.study)
        return f"; best {best[0].values[0]:.4f} of trial {best[0].number}" if best else ""

    def _line(self, trial: FrozenTrial) -> str:
        if problem := trial.user_attrs.get("problem"):
            outcome = problem
        else:
            losses = trial.user_attrs["losses"]
            epochs = f"{len(losses)} epoch{'s' * (len(losses) > 1)}"
            pruned = ", pruned" if trial.state == TrialState.PRUNED else ""
            outcome = f"validation loss {min(losses):.4f}, {epochs}{pruned}"
        return f"trial {trial.number}: {outcome}{self._best()} ({settings(trial)})"


def settings(trial: FrozenTrial) -> str:
    """The params that were searched, rounded to be read; the table has all digits."""
    params = trial.user_attrs["params"].items()
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={as_yaml(value)}" for name, value in params
    )


def best_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The complete trials, lowest validation loss first; with two objectives, only those of the Pareto front."""
    if len(study.directions) == 1:
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    else:
        trials = study.best_trials
    return sorted(trials, key=lambda trial: (trial.values[0], trial.number))
