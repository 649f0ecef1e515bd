"""Checkpoints: an unfinished training run is saved in a file, and can resume as if it had never stopped.

A resumed run and an uninterrupted one end with the same bytes, because everything that changes during training is in
`TrainingState` or is determined by the number of the batch, like the learning rate and the dropout masks. A run can
also resume with another number of workers; it then differs by rounding.
"""

import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from charrnn.errors import InputError
from charrnn.messages import shown
from charrnn.storage.archive import CHECKPOINT_FORMAT, DAMAGE, damaged, read_archive, write_archive
from charrnn.training.callbacks import Callback
from charrnn.training.resuming import require_resumable
from charrnn.training.state import TrainingState

Run = Mapping[str, Any]  # identifies a training run; its values can be written as JSON
ARRAYS = ("parameters", "best_parameters", "optimizer_state", "hidden_state")


class Checkpointing(Callback):
    """Saves a checkpoint after every epoch, at intervals within an epoch, and when training is asked to stop.

    Parameters
    ----------
    path, run, model
        See `save_checkpoint`.
    seconds
        The interval between two checkpoints within an epoch.
    """

    def __init__(self, path: Path, run: Run, model: Mapping[str, Any], seconds: float) -> None:
        self.path, self.run, self.model, self.seconds = path, run, model, seconds
        self.saved_at = time.monotonic()

    def on_batch(self, now: TrainingState, loss: float) -> None:
        if time.monotonic() - self.saved_at > self.seconds:
            self._save(now)

    def on_epoch(self, now: TrainingState) -> None:
        self._save(now)

    def on_stop(self, now: TrainingState) -> None:
        self._save(now)

    def _save(self, now: TrainingState) -> None:
        save_checkpoint(self.path, self.run, self.model, now)
        self.saved_at = time.monotonic()


def save_checkpoint(path: str | Path, run: Run, model: Mapping[str, Any], now: TrainingState) -> None:
    """Write a checkpoint atomically.

    Parameters
    ----------
    run
        Identifies the training run.
    model
        Describes the model (`charrnn.model_file.describe`), so that it can be used before training has finished.

    Raises
    ------
    OSError
        If it can't be written.
    """
    remembered, state = vars(now.optimizer_state), now.hidden_state or []
    arrays = {"parameters": now.parameters, "best_parameters": now.best_parameters}
    arrays |= {f"optimizer.{name}": value for name, value in remembered.items() if isinstance(value, np.ndarray)}
    arrays |= {f"hidden.{i}.{name}": h for i, of_layer in enumerate(state) for name, h in of_layer.items()}
    description = {
        "run": dict(run),
        "model": dict(model),
        "optimizer": {name: value for name, value in remembered.items() if not isinstance(value, np.ndarray)},
        "hidden": [list(of_layer) for of_layer in state] or None,
        "now": {field.name: getattr(now, field.name) for field in fields(now) if field.name not in ARRAYS},
    }
    write_archive(path, CHECKPOINT_FORMAT, description, arrays)


def load_checkpoint(path: str | Path, run: Run, fresh: TrainingState, rng: np.random.Generator) -> TrainingState:
    """The training state that was saved for the same `run`, which begins with `fresh` and trains with `rng`.

    Raises
    ------
    InputError
        If it belongs to another run, in which case the message names what differs, can't be a state of this one, or is
        damaged.
    OSError
        If it can't be read.
    """
    description, arrays = read_archive(path, CHECKPOINT_FORMAT)
    try:
        _require_same_run(path, description["run"], run)
        prefix = "optimizer."
        remembered = {name.removeprefix(prefix): a.copy() for name, a in arrays.items() if name.startswith(prefix)}
        hidden = description["hidden"]
        state = TrainingState(
            parameters=arrays["parameters"].copy(),
            best_parameters=arrays["best_parameters"].copy(),
            optimizer_state=SimpleNamespace(**description["optimizer"], **remembered),
            hidden_state=hidden and [{h: arrays[f"hidden.{i}.{h}"] for h in names} for i, names in enumerate(hidden)],
            **{
                field.name: description["now"][field.name]
                for field in fields(TrainingState)
                if field.name not in ARRAYS
            },
        )
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(damaged(path, error)) from None
    try:
        require_resumable(state, fresh, rng)
    except InputError as error:
        raise InputError(f"{shown(path)} is not a checkpoint of this run: {error}") from None
    return state


def _require_same_run(path: str | Path, saved: Run, run: Run) -> None:
    differing = [name for name in sorted(run.keys() | saved.keys()) if run.get(name) != saved.get(name)]
    if differing:
        raise InputError(f"{shown(path)} belongs to a run with different {shown(', '.join(differing))}")
