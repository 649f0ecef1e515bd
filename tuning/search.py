"""The search: one trial after another, until the study has enough or time is up."""

import time
from collections import Counter
from math import inf

import optuna
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState
from tqdm import tqdm

from charrnn.messages import counted
from stages.common.training import KEPT, StopOnSignal
from tuning.storage import repeat_trial
from tuning.study import best_trials, searched_params
from tuning.trials import Task, run_trial

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
POLL_SECONDS = 0.5


class Search:
    """Runs trials in a study that other searches, on this machine or others, may share.

    Parameters
    ----------
    num_trials
        Stop when the study has this many finished trials, including trials of other searches.
    deadline
        No trial starts after this time, as measured by `time.monotonic`.
    """

    bar: tqdm

    def __init__(self, study: optuna.Study, task: Task, stop: StopOnSignal, num_trials: float, deadline: float) -> None:
        self.study, self.task, self.stop = study, task, stop
        self.num_trials, self.deadline = num_trials, deadline
        self.trial: Trial | None = None

    def run(self) -> None:
        """Run trials until the study has enough or time is up.

        Raises
        ------
        KeyboardInterrupt
            If a signal arrives; the next search repeats the trial that was running.
        """
        total = self.num_trials if self.num_trials < inf else None
        with tqdm(total=total, desc="trials", unit="trial", disable=None) as self.bar:
            while time.monotonic() < self.deadline:
                if self.stop.received:
                    raise KeyboardInterrupt(KEPT)
                optuna.storages.fail_stale_trials(self.study)
                states = Counter(trial.state for trial in self._trials())
                finished = sum(states[state] for state in FINISHED)
                self.bar.update(finished - self.bar.n)
                if finished >= self.num_trials:
                    break
                if finished + states[TrialState.RUNNING] < self.num_trials:
                    self._run_one_trial()
                else:  # if another search dies, this one repeats its trial
                    trials = counted(states[TrialState.RUNNING], "trial")
                    self.bar.set_postfix_str(f"waiting for {trials} of other searches")
                    time.sleep(POLL_SECONDS)

    def _run_one_trial(self) -> None:
        self.trial = None
        try:
            self.study.optimize(self._objective, n_trials=1)
        except KeyboardInterrupt:
            if self.trial and self._frozen(self.trial).state == TrialState.FAIL:  # not if it had just finished
                repeat_trial(self.study, self._frozen(self.trial))
            raise
        except (RuntimeError, ValueError):
            # Optuna raises these if another search missed the heartbeat of this trial and repeats it.
            if not self.trial or not self._is_repeated(self.trial):
                raise
            self.bar.write(f"trial {self.trial.number}: its heartbeat stopped, so another search repeats it")
        else:
            assert self.trial is not None
            self.bar.write(self._line(self._frozen(self.trial)))

    def _objective(self, trial: Trial) -> list[float]:
        self.trial = trial
        return run_trial(trial, self.task, self.stop, self._show_epoch)

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _frozen(self, trial: Trial) -> FrozenTrial:
        return self._trials()[trial.number]

    def _is_repeated(self, lost: Trial) -> bool:
        return any(lost.number in RetryHeartbeatStaleTrialCallback.retry_history(trial) for trial in self._trials())

    def _show_epoch(self, epoch: int, loss: float) -> None:
        assert self.trial is not None
        self.bar.set_postfix_str(f"trial {self.trial.number}, epoch {epoch}: {loss:.4f}{self._best()}")

    def _line(self, trial: FrozenTrial) -> str:
        if problem := trial.user_attrs.get("problem"):
            outcome = problem
        else:
            losses = trial.user_attrs["losses"]
            pruned = "pruned, " if trial.state == TrialState.PRUNED else ""
            outcome = f"{pruned}validation loss {min(losses):.4f} after {len(losses)} epoch{'s' * (len(losses) > 1)}"
        return f"trial {trial.number} ({searched_params(trial)}): {outcome}{self._best()}"

    def _best(self) -> str:
        best = best_trials(self.study)
        return f"; best: {best[0].values[0]:.4f}, trial {best[0].number}" if best else ""
