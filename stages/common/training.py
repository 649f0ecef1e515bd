"""Train a model with hyperparameters, for both the stage `train` and the search."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import numpy as np

from charrnn.config import ModelConfig, TrainingConfig, Value
from charrnn.messages import counted
from charrnn.models import Model
from charrnn.parallel.workers import ALONE, Workers
from charrnn.preprocessing import require_window
from charrnn.training import Callback, History, TrainingState, fit, train
from stages.common.params import InitConfig, RunConfig, config_from, params_of
from stages.common.parent import DVCWatch

PARAMS = params_of(InitConfig, ModelConfig, TrainingConfig, RunConfig)
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else [])]
KEPT = "progress is saved, and the same command resumes from there"


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def warn_of_workers(workers: int) -> None:
    """Print a warning if there are more workers than cores."""
    cores = available_cores()
    if workers > cores:
        print(
            f"warning: workers is {workers}, but there {'is' if cores == 1 else 'are'} {counted(cores, 'core')}; "
            "processes that share a core slow each other down",
            file=sys.stderr,
            flush=True,
        )


def fit_with_params(
    params: Mapping[str, Value],
    model: Model,
    texts: Sequence[np.ndarray],
    *,
    rng: np.random.Generator,
    group: Workers | None = None,
    callbacks: Sequence[Callback] = (),
    resume: TrainingState | None = None,
) -> History:
    """Train with these params, in our own processes or as one of a group that has already started.

    Parameters
    ----------
    texts
        The training ids and the validation ids.

    Raises
    ------
    InputError
        If the validation text is not longer than a window.
    CharRNNError
        If training fails.
    """
    train_ids, validation_ids = texts
    require_window(len(validation_ids), params["window_size"], "validation text")
    config = config_from(params, TrainingConfig)
    options: dict[str, Any] = dict(rng=rng, callbacks=callbacks, resume=resume)
    if group is None:
        return fit(model, train_ids, validation_ids, config, **options)
    return train(model, train_ids, validation_ids, config, workers=group, **options)


class StopOnSignal(Callback):
    """A context manager in which Ctrl-C, SIGTERM and SIGHUP stop training after the current batch.

    A second Ctrl-C or SIGTERM ends it at once. A terminal that closes may send SIGHUP several times. A signal
    that the process ignores, as under nohup, stays ignored. Training also stops once the DVC that started it has ended.

    Attributes
    ----------
    received
        Whether a signal has arrived.
    """

    def __init__(self, group: Workers = ALONE) -> None:
        self.group, self.received, self.dvc = group, False, DVCWatch()

    def __enter__(self) -> "StopOnSignal":
        handled = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self.handlers = {number: signal.signal(number, self._receive) for number in handled}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received and number in (signal.SIGINT, signal.SIGTERM):
            raise KeyboardInterrupt
        self.received = True

    def should_stop(self) -> bool:
        return self.received or self.dvc.has_ended()

    def on_stop(self, now: TrainingState) -> None:
        self.group.broadcast(None)  # the others wait until rank 0 has saved its checkpoint
        reasons = ["DVC, which started this stage, has ended"] if self.dvc.ended else []
        raise KeyboardInterrupt(*reasons, KEPT)
