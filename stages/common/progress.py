"""The progress of a training run: a progress bar, a line for each epoch, and the learning curve as a file."""

import time
from pathlib import Path

from tqdm import tqdm

from charrnn.messages import figure, shown_lines
from charrnn.training import Callback, TrainingState
from stages.common.metrics_files import write_csv

BAR = "{desc} {percentage:3.0f}% |{bar}| {elapsed} < {remaining}{postfix}"


class Progress(Callback):
    """A progress bar for the whole run, if the output is a terminal, and a line after each epoch.

    It is a context manager: the bar disappears when the block ends, with or without an error.
    """

    def __init__(self, log_interval: int, num_epochs: int) -> None:
        self.log_interval, self.num_epochs = log_interval, num_epochs
        self.bar: tqdm | None = None
        self.characters, self.moved_at = 0, time.perf_counter()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def on_batch(self, now: TrainingState, loss: float) -> None:
        if self.bar is None:
            total, done = self.num_epochs * now.num_batches, now.step - 1  # above 0 if training has resumed
            self.bar = tqdm(total=total, initial=done, bar_format=BAR, leave=False, disable=None)
        self.characters += now.positions // now.batch  # of this batch; the last one of an epoch may be smaller
        if now.step % self.log_interval == 0:
            speed = self.characters / max(time.perf_counter() - self.moved_at, 1e-9)
            self.characters, self.moved_at = 0, time.perf_counter()
            self.bar.set_description_str(f"epoch {now.epoch}/{self.num_epochs}", refresh=False)
            last = f", validation {figure(now.history[-1]['validation_loss'])}" if now.history else ""
            self.bar.set_postfix_str(f"loss {figure(loss)}{last}, {speed:,.0f} characters/s", refresh=False)
            self.bar.update(now.step - self.bar.n)

    def on_epoch(self, now: TrainingState) -> None:
        row = now.history[-1]
        self.characters, self.moved_at = 0, time.perf_counter()  # the speed is that of training
        with tqdm.external_write_mode():  # above the bar
            print(
                f"epoch {row['epoch']}/{self.num_epochs}: train loss {figure(row['train_loss'])}, "
                f"validation loss {figure(row['validation_loss'])}, accuracy {row['validation_accuracy']:.2%}, "
                f"{now.seconds:.0f} s",
                flush=True,
            )
            if now.samples and now.samples[-1][0] == row["epoch"]:
                print(f"\n{shown_lines(now.samples[-1][1])}\n", flush=True)


class LearningCurve(Callback):
    """Writes the history of all epochs to a file after each one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_epoch(self, now: TrainingState) -> None:
        write_csv(self.path, now.history)
