"""The state of a training run between two batches: everything that changes, and that a checkpoint must store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charrnn.arrays import HiddenState

FIGURES = ("epoch", "train_loss", "validation_loss", "validation_accuracy", "learning_rate", "gradient_norm")
History = list[dict[str, float]]  # a row for each epoch with FIGURES, see `charrnn.training.train`


@dataclass
class TrainingState:
    """The progress of a training run.

    Attributes
    ----------
    parameters, best_parameters
        (P,) the current parameters, which are the network's own, and a copy from the best epoch.
    optimizer_state
        The state of the optimizer: arrays and numbers.
    rng_state
        The state of the random generator at the start of the epoch.
    history
        A row for each finished epoch, with FIGURES.
    epoch, batch, num_batches
        The current epoch, from 1; the number of batches done in it; the number of batches it has.
    hidden_state
        With carry_state, the state that the next batch starts from: (B, H) arrays by layer and name.
    total_loss, total_norm, positions
        Sums over the finished batches of the epoch: loss · positions, gradient norm, positions.
    samples
        (epoch, text) for each sample that a callback has drawn.
    seconds
        The training time so far, including the time before the run resumed.
    """

    parameters: np.ndarray
    best_parameters: np.ndarray
    optimizer_state: Any
    rng_state: Mapping[str, Any]
    history: History
    num_batches: int
    epoch: int = 1
    batch: int = 0
    hidden_state: HiddenState | None = None
    total_loss: float = 0.0
    total_norm: float = 0.0
    positions: int = 0
    samples: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """The number of batches done in all epochs."""
        return (self.epoch - 1) * self.num_batches + self.batch

    def finish_batch(self, loss: float, norm: float, positions: int, hidden_state: HiddenState | None) -> None:
        """Add a batch to the sums."""
        self.batch, self.hidden_state = self.batch + 1, hidden_state
        self.total_loss += loss * positions
        self.total_norm += norm
        self.positions += positions

    def finish_epoch(self, row: dict[str, float], rng_state: Mapping[str, Any]) -> None:
        """Add the epoch to the history, keep its parameters if it is the best so far, and begin the next."""
        self.history.append(row)
        if best_epoch(self.history) is row:
            self.best_parameters[...] = self.parameters
        self.epoch, self.batch, self.hidden_state, self.rng_state = self.epoch + 1, 0, None, rng_state
        self.total_loss, self.total_norm, self.positions = 0.0, 0.0, 0


def best_epoch(history: History) -> dict[str, float]:
    """The row with the lowest validation loss, or the first of several."""
    return min(history, key=lambda row: row["validation_loss"])
