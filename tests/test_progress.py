"""What training shows while it runs: a bar that moves now and then, a line for each epoch, and the learning curve."""

import contextlib
import itertools
import re
from types import SimpleNamespace
from typing import ClassVar

import pytest

from stages.common import progress
from stages.common.progress import LearningCurve, Progress
from tests.stage_project import rows


class Bar:
    """As much of a tqdm as is needed to see how far it got and how often it moved."""

    opened: ClassVar[list] = []

    def __init__(self, total, initial, **options):
        self.total, self.initial, self.n = total, initial, initial
        self.moves, self.shown, self.closed = [], [], False
        self.opened.append(self)

    def set_description_str(self, text, refresh=True):
        self.description = text

    def set_postfix_str(self, text, refresh=True):
        self.shown.append(f"{self.description}, {text}")

    def update(self, n):
        self.n += n
        self.moves.append(self.n)

    def close(self):
        self.closed = True

    external_write_mode = staticmethod(contextlib.nullcontext)


@pytest.fixture
def bars(monkeypatch):
    monkeypatch.setattr(progress, "tqdm", Bar)
    monkeypatch.setattr(Bar, "opened", [])
    return Bar.opened


def state(epoch, batch=0, num_batches=7, samples=()):
    """The training state after a batch of 10 characters, or after an epoch."""
    rows = [dict(epoch=n, train_loss=1.5, validation_loss=1.75, validation_accuracy=0.5) for n in range(1, epoch + 1)]
    return SimpleNamespace(
        epoch=epoch,
        batch=batch,
        num_batches=num_batches,
        step=(epoch - 1) * num_batches + batch,
        positions=10 * batch,
        history=rows,
        seconds=61.4,
        samples=list(samples),
    )


def run(log_interval, num_epochs=2, num_batches=7, first=1):
    with Progress(log_interval, num_epochs) as shown:
        for epoch in range(1, num_epochs + 1):
            for batch in range(first if epoch == 1 else 1, num_batches + 1):
                now = state(epoch, batch, num_batches)
                now.history = now.history[:-1]
                shown.on_batch(now, loss=batch / 8)
            shown.on_epoch(state(epoch))


@pytest.mark.parametrize(
    ("log_interval", "moves"), [(1, [*range(1, 15)]), (3, [3, 6, 9, 12]), (7, [7, 14]), (8, [8]), (20, [])]
)
def test_one_bar_for_all_epochs_moves_every_log_interval_batches(bars, log_interval, moves):
    run(log_interval)
    assert [(bar.total, bar.moves, bar.closed) for bar in bars] == [(14, moves, True)]


def test_the_bar_of_a_run_that_has_resumed_begins_there(bars):
    run(log_interval=1, first=5)
    assert [(bar.total, bar.initial, bar.moves) for bar in bars] == [(14, 4, [*range(5, 15)])]


def test_the_bar_shows_the_epoch_losses_and_the_speed_of_training(bars, monkeypatch):
    seconds = itertools.count(step=2)  # between two looks at the clock
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(seconds))
    run(log_interval=4)
    # Four batches of 10 characters in 2 s; the batch before the second bar move is the first of its epoch.
    assert [bar.shown for bar in bars] == [
        [
            "epoch 1/2, loss 0.5000, 20 characters/s",
            "epoch 2/2, loss 0.1250, validation 1.7500, 5 characters/s",
            "epoch 2/2, loss 0.6250, validation 1.7500, 20 characters/s",
        ]
    ]


def test_the_bar_is_removed_if_training_is_interrupted(bars):
    with pytest.raises(KeyboardInterrupt), Progress(log_interval=1, num_epochs=2) as shown:
        shown.on_batch(state(1, 1), loss=1.0)
        raise KeyboardInterrupt
    assert bars[0].closed


def test_every_epoch_is_one_line(bars, capsys):
    run(log_interval=3)
    figures = "train loss 1.5000, validation loss 1.7500, accuracy 50.00%, 61 s"
    assert capsys.readouterr().out.splitlines() == [f"epoch 1/2: {figures}", f"epoch 2/2: {figures}"]


def test_the_sample_of_an_epoch_follows_its_line(bars, capsys):
    shown, samples = Progress(log_interval=1, num_epochs=3), [(1, "first\nsample"), (3, "third\x1b[31m")]
    for epoch, so_far in ((1, samples[:1]), (2, samples[:1]), (3, samples)):
        shown.on_epoch(state(epoch, samples=so_far))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:5] == ["", "first", "sample", ""]
    assert [line.partition(":")[0] for line in lines[5:7]] == ["epoch 2/3", "epoch 3/3"]
    assert lines[7:] == ["", r"third\x1b[31m", ""]


def test_there_is_no_bar_where_the_output_is_not_a_terminal(capsys):
    run(log_interval=1)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert len(re.findall("^epoch", captured.out, re.MULTILINE)) == 2


def test_an_epoch_that_resumed_at_its_very_end_has_no_bar(bars, capsys):
    Progress(log_interval=1, num_epochs=1).on_epoch(state(1))
    assert bars == [] and capsys.readouterr().out.startswith("epoch 1/1: train loss 1.5000, ")


def test_the_learning_curve_is_written_whole_after_every_epoch(tmp_path):
    curve, history = LearningCurve(tmp_path / "metrics/history.csv"), []
    for epoch in (1, 2):
        history.append(dict(epoch=epoch, train_loss=1.23456789 / epoch))
        curve.on_epoch(SimpleNamespace(history=history))
        expected = [{"epoch": "1", "train_loss": "1.23457"}, {"epoch": "2", "train_loss": "0.617284"}]
        assert rows(tmp_path / "metrics/history.csv") == expected[:epoch]
