"""What training shows while it runs: a bar that moves now and then, a line for each epoch, and the learning curve."""

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

    def __init__(self, total, **options):
        self.total, self.n, self.moves, self.postfixes, self.closed = total, 0, [], [], False
        self.opened.append(self)

    def set_postfix(self, refresh=True, **values):
        self.postfixes.append(values)

    def update(self, n):
        self.n += n
        self.moves.append(self.n)

    def close(self):
        self.closed = True


@pytest.fixture
def bars(monkeypatch):
    monkeypatch.setattr(progress, "tqdm", Bar)
    monkeypatch.setattr(Bar, "opened", [])
    return Bar.opened


def run(log_interval, num_epochs=2, num_batches=7):
    shown = Progress(log_interval, num_epochs)
    for epoch in range(1, num_epochs + 1):
        for batch in range(1, num_batches + 1):
            shown.on_batch(SimpleNamespace(epoch=epoch, batch=batch, num_batches=num_batches), loss=batch / 8)
        row = dict(epoch=epoch, train_loss=1.5, validation_loss=1.75, validation_accuracy=0.5, learning_rate=0.1)
        shown.on_epoch(SimpleNamespace(history=[row], seconds=61.4))


@pytest.mark.parametrize(("log_interval", "moves"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6]), (7, [7]), (8, [])])
def test_a_bar_an_epoch_moves_every_log_interval_batches(bars, log_interval, moves):
    run(log_interval)
    assert [(bar.total, bar.moves, bar.closed) for bar in bars] == [(7, moves, True)] * 2


def test_the_bar_shows_the_loss_of_the_batch(bars):
    run(log_interval=4)
    assert [bar.postfixes for bar in bars] == [[{"loss": "0.500"}]] * 2


def test_every_epoch_is_one_line(bars, capsys):
    run(log_interval=3)
    lines = capsys.readouterr().out.splitlines()
    figures = "train loss 1.5000, validation loss 1.7500, accuracy 50.00%, 61 s"
    assert lines == [f"epoch 1/2: {figures}", f"epoch 2/2: {figures}"]


def test_there_is_no_bar_where_the_output_is_not_a_terminal(capsys):
    run(log_interval=1)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert len(re.findall("^epoch", captured.out, re.MULTILINE)) == 2


def test_an_epoch_that_resumed_at_its_very_end_has_no_bar(bars, capsys):
    row = dict(epoch=1, train_loss=1.5, validation_loss=1.75, validation_accuracy=0.5, learning_rate=0.1)
    Progress(log_interval=1, num_epochs=1).on_epoch(SimpleNamespace(history=[row], seconds=61.4))
    assert bars == [] and capsys.readouterr().out.startswith("epoch 1/1: train loss 1.5000, ")


def test_the_learning_curve_is_written_whole_after_every_epoch(tmp_path):
    curve, history = LearningCurve(tmp_path / "metrics/history.csv"), []
    for epoch in (1, 2):
        history.append(dict(epoch=epoch, train_loss=1.23456789 / epoch))
        curve.on_epoch(SimpleNamespace(history=history))
        expected = [{"epoch": "1", "train_loss": "1.23457"}, {"epoch": "2", "train_loss": "0.617284"}]
        assert rows(tmp_path / "metrics/history.csv") == expected[:epoch]
