"""One trial. It trains exactly like `python -m stages.train`, so the pipeline reproduces its validation loss."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna
from optuna.trial import Trial

from charrnn.arrays import Array
from charrnn.config import Value
from charrnn.errors import CharRNNError
from charrnn.preprocessing import TextVectorizer
from charrnn.training import Callback, TrainingState, best_epoch
from stages.common.initial_model import Init, initial_model
from stages.common.training import StopOnSignal, fit_with_params
from tuning.dimensions import SearchSpace, suggest


@dataclass(frozen=True)
class Task:
    """The inputs that all trials of a search share.

    Attributes
    ----------
    space
        The hyperparameters that the search varies.
    fixed
        A value for every hyperparameter of training, used wherever the space does not apply.
    texts
        The training ids and the validation ids.
    init
        The model that every trial starts from; None for random weights.
    """

    space: SearchSpace
    fixed: Mapping[str, Value]
    texts: tuple[Array, Array]
    vectorizer: TextVectorizer
    init: Init | None


def run_trial(trial: Trial, task: Task, stop: StopOnSignal, show: Callable[[int, float], None]) -> list[float]:
    """Train with the hyperparameters that Optuna suggests.

    Parameters
    ----------
    show
        Called after every epoch with its number and validation loss.

    Returns
    -------
    list of float
        The lowest validation loss, and if the study has two objectives, the seconds of training.

    Raises
    ------
    optuna.TrialPruned
        If the study prunes the trial, or if training fails; the trial's attribute `problem` then says why.
    KeyboardInterrupt
        If a signal arrives.
    """
    params = suggest(task.space, trial, task.fixed)
    trial.set_user_attr("params", {name: params[name] for name in task.space})
    report = EpochReport(trial, params["num_epochs"], show)
    try:
        model, rng = initial_model(params, task.vectorizer, task.texts[0], task.init)
        history = fit_with_params(params, model, task.texts, rng=rng, callbacks=[report, stop])
    except (CharRNNError, MemoryError) as error:  # other hyperparameters may work
        trial.set_user_attr("problem", str(error) or "out of memory")
        raise optuna.TrialPruned from None
    objectives = [best_epoch(history)["validation_loss"], report.record_seconds()]
    return objectives[: len(trial.study.directions)]


class EpochReport(Callback):
    """Reports the validation loss of every epoch to the study, which may then prune the trial."""

    def __init__(self, trial: Trial, num_epochs: int, show: Callable[[int, float], None]) -> None:
        self.trial, self.num_epochs, self.show = trial, num_epochs, show
        self.started = time.perf_counter()

    def on_epoch(self, now: TrainingState) -> None:
        entered = time.perf_counter()
        losses = [row["validation_loss"] for row in now.history]
        self.trial.set_user_attr("losses", losses)
        self.record_seconds()
        self.show(len(losses), losses[-1])
        if len(self.trial.study.directions) == 1:  # with two objectives, Optuna can't prune
            self.trial.report(losses[-1], len(losses))
            if len(losses) < self.num_epochs and self.trial.should_prune():
                raise optuna.TrialPruned
        self.started += time.perf_counter() - entered  # waiting for the database is not training

    def record_seconds(self) -> float:
        """Store the training time so far in the study, and return it."""
        seconds = time.perf_counter() - self.started
        self.trial.set_user_attr("seconds", seconds)
        return seconds
