"""What can happen around the training loop: checkpoints, progress, stopping."""

from typing import Any

from charrnn.errors import InputError
from charrnn.training.state import TrainingState


class Callback:
    """The base class of callbacks. Every method may be left out.

    Raises
    ------
    InputError
        When a subclass is defined: if it has a method on_… that is none of those below, and so would never be called.

    >>> class PrintLoss(Callback):
    ...     def on_epoch(self, now):
    ...         print(now.history[-1]["validation_loss"])
    """

    def on_batch(self, now: TrainingState, loss: float) -> None:
        """After every batch; `loss` is that of the batch, in nats per character."""

    def on_epoch(self, now: TrainingState) -> None:
        """After every epoch, whose row is the last of `now.history`."""

    def should_stop(self) -> bool:
        """Whether training should stop after this batch, on all workers."""
        return False

    def on_stop(self, now: TrainingState) -> None:
        """After a batch in which `should_stop` was true on any worker. To end training, it must raise an exception."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in vars(cls):
            if name.startswith("on_") and name not in vars(Callback):
                known = ", ".join(name for name in vars(Callback) if name.startswith("on_"))
                raise InputError(f"{cls.__name__}: callbacks have no {name}; known are {known}")
