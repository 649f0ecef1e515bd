"""What training shows while it runs: a bar that moves now and then, and a line an epoch."""

import re
from types import SimpleNamespace
from typing import ClassVar

import pytest

from stages import train


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
    monkeypatch.setattr(train, "tqdm", Bar)
    monkeypatch.setattr(Bar, "opened", [])
    return Bar.opened


def run(log_interval, num_epochs=2, num_batches=7):
    progress = train.Progress(log_interval, num_epochs)
    for epoch in range(1, num_epochs + 1):
        for batch in range(1, num_batches + 1):
            progress.batch_done(SimpleNamespace(epoch=epoch, batch=batch, num_batches=num_batches), loss=batch / 8)
        row = dict(epoch=epoch, train_loss=1.5, validation_loss=1.75, validation_accuracy=0.5, learning_rate=0.1)
        progress.epoch_done(SimpleNamespace(history=[row]))


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
    figures = "train loss 1.5000, validation loss 1.7500, accuracy 50.00%"
    assert [re.sub(r", \d+ s$", "", line) for line in lines] == [f"epoch 1/2: {figures}", f"epoch 2/2: {figures}"]


def test_there_is_no_bar_where_the_output_is_not_a_terminal(capsys):
    run(log_interval=1)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert len(re.findall("^epoch", captured.out, re.MULTILINE)) == 2
