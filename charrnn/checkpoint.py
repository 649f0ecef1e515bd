"""How far an unfinished training has come, in memory and in a file, so that it can go on as if it had never stopped.

Both runs end with the same bytes, because whatever changes during training is here or follows from the number of the
batch, as the learning rate and the masks of dropout do. With another number of threads or ranks (`charrnn.ranks`) it
goes on as well, and then differs by rounding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from charrnn.archive import DAMAGE, damaged, read_archive, write_archive
from charrnn.arrays import State
from charrnn.errors import InputError

FORMAT = 1
ARRAYS = ("parameters", "best", "memory", "state")


@dataclass
class TrainingState:
    """Everything that changes while a model is trained, between two batches.

    Attributes
    ----------
    parameters, best
        (P,) those of now, which are the model's own, and those after the best epoch.
    memory
        Of the optimizer: arrays and numbers.
    shuffling
        The state of the random generator when the epoch began.
    history
        A row for each epoch that is done.
    epoch, batch, num_batches
        The epoch in hand, from 1; how many of its batches are done, and how many it has.
    state
        What is carried from the batch before to the next one, a dict of (B, H) a layer, if anything is.
    total_loss, total_norm, positions
        Sums over the batches done: of loss · positions, of the gradient's norm, of positions.
    """

    parameters: np.ndarray
    best: np.ndarray
    memory: Any
    shuffling: Mapping[str, Any]
    history: list[dict[str, float]]
    num_batches: int
    epoch: int = 1
    batch: int = 0
    state: State | None = None
    total_loss: float = 0.0
    total_norm: float = 0.0
    positions: int = 0

    def add_batch(self, loss: float, norm: float, positions: int, state: State | None) -> None:
        """One more batch is done."""
        self.batch, self.state = self.batch + 1, state
        self.total_loss += loss * positions
        self.total_norm += norm
        self.positions += positions

    def begin_epoch(self, epoch: int, shuffling: Mapping[str, Any]) -> None:
        """Nothing of this epoch is done."""
        self.epoch, self.batch, self.state, self.shuffling = epoch, 0, None, shuffling
        self.total_loss, self.total_norm, self.positions = 0.0, 0.0, 0


def save_checkpoint(path: str | Path, run: Mapping[str, Any], now: TrainingState) -> None:
    """Write a checkpoint, whole or not at all; `run` tells this training from others, in values that JSON can hold.

    Raises
    ------
    OSError
        If it can't be written.
    """
    memory, state = vars(now.memory), now.state or []
    arrays = {"parameters": now.parameters, "best": now.best}
    arrays |= {f"memory.{name}": value for name, value in memory.items() if isinstance(value, np.ndarray)}
    arrays |= {f"state.{i}.{name}": h for i, of_layer in enumerate(state) for name, h in of_layer.items()}
    description = {
        "run": dict(run),
        "memory": {name: value for name, value in memory.items() if not isinstance(value, np.ndarray)},
        "state": [list(of_layer) for of_layer in state] or None,
        "now": {field.name: getattr(now, field.name) for field in fields(now) if field.name not in ARRAYS},
    }
    write_archive(path, FORMAT, description, arrays)


def load_checkpoint(path: str | Path, run: Mapping[str, Any]) -> TrainingState:
    """The training state that was saved for the same `run`.

    Raises
    ------
    InputError
        If it is of another run, naming what differs, or damaged.
    OSError
        If it can't be read.
    """
    description, arrays = read_archive(path, FORMAT)
    try:
        differing = [
            name for name in sorted(run.keys() | description["run"]) if run.get(name) != description["run"].get(name)
        ]
        if differing:
            raise InputError(f"{path} is of a run with another {', '.join(differing)}")
        memory = {name.removeprefix("memory."): a.copy() for name, a in arrays.items() if name.startswith("memory.")}
        names = description["state"]
        return TrainingState(
            parameters=arrays["parameters"].copy(),
            best=arrays["best"].copy(),
            memory=SimpleNamespace(**description["memory"], **memory),
            state=names and [{h: arrays[f"state.{i}.{h}"] for h in of_layer} for i, of_layer in enumerate(names)],
            **description["now"],
        )
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(damaged(path, error)) from None
