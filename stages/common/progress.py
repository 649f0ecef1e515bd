"""The progress of a training run: a progress bar, a line for each epoch, and the learning curve as a file."""

from pathlib import Path

from tqdm import tqdm

from charrnn.messages import figure
from charrnn.training import Callback, TrainingState
from stages.common.metrics_files import write_csv


class Progress(Callback):
    """A progress bar during an epoch, if the output is a terminal, and a line after it."""

    def __init__(self, log_interval: int, num_epochs: int) -> None:
        self.log_interval, self.num_epochs = log_interval, num_epochs
        self.bar: tqdm | None = None

    def on_batch(self, now: TrainingState, loss: float) -> None:
        if self.bar is None:
            self.bar = tqdm(
                total=now.num_batches, desc=f"epoch {now.epoch}/{self.num_epochs}", leave=False, disable=None
            )
        if now.batch % self.log_interval == 0:
            self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            self.bar.update(now.batch - self.bar.n)

    def on_epoch(self, now: TrainingState) -> None:
        if self.bar is not None:  # training may have resumed at the very end of the epoch
            self.bar.close()
        self.bar, row = None, now.history[-1]
        print(
            f"epoch {row['epoch']}/{self.num_epochs}: train loss {figure(row['train_loss'])}, "
            f"validation loss {figure(row['validation_loss'])}, accuracy {row['validation_accuracy']:.2%}, "
            f"{now.seconds:.0f} s",
            flush=True,
        )


class LearningCurve(Callback):
    """Writes the history of all epochs to a file after each one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch(self, now: TrainingState) -> None:
        write_csv(self.path, now.history)
