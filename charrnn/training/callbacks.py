"""Callbacks of the training loop, for checkpoints, progress and stopping."""

from difflib import get_close_matches
from typing import Any

from charrnn.errors import InputError
from charrnn.training.state import TrainingState


class Callback:
    """The base class of callbacks. Every method is optional.

    Raises
    ------
    InputError
        When a subclass is defined with a method on_… that callbacks do not have: it would never be called.

    >>> class PrintLoss(Callback):
    ...     def on_epoch(self, now):
    ...         print(now.history[-1]["validation_loss"])
    """

    def on_batch(self, now: TrainingState, loss: float) -> None:
        """Called after every batch; `loss` is the loss of the batch, in nats per character."""

    def on_epoch(self, now: TrainingState) -> None:
        """Called after every epoch; the row of the epoch is the last of `now.history`."""

    def should_stop(self) -> bool:
        """Whether training should stop after this batch, on all workers."""
        return False

    def on_stop(self, now: TrainingState) -> None:
        """Called after a batch if `should_stop` is true on any worker. To end training, raise an exception."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        known = [name for name in vars(Callback) if not name.startswith("_")]
        for name in vars(cls).keys() - known:
            if name.startswith("on_") or get_close_matches(name, known, cutoff=0.8):
                raise InputError(f"{cls.__name__}: callbacks have no {name}; they have {', '.join(known)}")
