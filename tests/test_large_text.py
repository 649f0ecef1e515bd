"""The benchmark on text8 and enwik8, on a small text: its split, its time, its bits per character."""

import argparse
import sys

import numpy as np
import pytest

from benchmarks import large_text
from charrnn.evaluation import evaluate
from charrnn.models import Model
from charrnn.preprocessing import count_ids
from tests.markov import MarkovChain


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(large_text, "NETWORK", {"hidden_dim": 8})
    monkeypatch.setattr(large_text, "SETTINGS", large_text.SETTINGS | {"window_size": 10})
    monkeypatch.setattr(large_text, "SHORTEST", 1000)
    monkeypatch.setattr(large_text, "PROBE", 4)


def test_the_split_is_the_usual_one():
    train, validation, test = large_text.split(np.arange(1000))
    assert (train[0], train[-1], validation[0], validation[-1], test[0], test[-1]) == (0, 899, 900, 949, 950, 999)


def test_bits_of_bytes_after_training_on_the_end_of_the_training_text(small, tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    data = (MarkovChain(4, rng).draw(6000, rng) + 0xBE).tobytes()  # bytes that are not UTF-8
    (tmp_path / "text").write_bytes(data)
    monkeypatch.setattr(large_text, "characters_a_second", lambda texts, V, workers: 20.0)
    evaluated, read = [], []

    def evaluate_and_note(model, ids, **options):
        evaluated.append((ids, evaluate(model, ids, **options)["loss"]))
        return {"loss": evaluated[-1][1]}

    def count_and_note(ids, V):
        read.append((ids + 0xBE).astype(np.uint8).tobytes())
        return count_ids(ids, V)

    def fit_and_note(model, *texts, workers, **settings):
        workers_of_fit.append(workers)
        return fit(model, *texts, workers=workers, **settings)

    fit, workers_of_fit = Model.fit, []
    monkeypatch.setattr(Model, "fit", fit_and_note)
    monkeypatch.setattr(large_text, "evaluate", evaluate_and_note)
    monkeypatch.setattr(large_text, "count_ids", count_and_note)
    monkeypatch.setattr(sys, "argv", ["large_text", str(tmp_path / "text"), "--minutes", "2", "60", "--workers", "1"])
    large_text.main()
    assert read == [data[3000:5400], data[:5400]]  # the second reads all there is
    assert workers_of_fit == [1, 1]
    rows = capsys.readouterr().out.splitlines()[2:]
    for (ids, loss), row in zip(evaluated, rows, strict=True):
        assert (ids + 0xBE).astype(np.uint8).tobytes() == data[5700:]
        assert f"{loss / np.log(2):.3f}" in row
    assert evaluated[1][1] < evaluated[0][1] < np.log(4)


def test_the_speed_does_not_count_the_start(monkeypatch):
    monkeypatch.setattr(large_text, "train", lambda texts, V, length, workers: (None, 5 + length / 1000 / workers))
    assert large_text.characters_a_second([], 4, workers=2) == pytest.approx(2000)


def test_a_short_text_is_refused(tmp_path, monkeypatch):
    (tmp_path / "text").write_bytes(b"short")
    monkeypatch.setattr(sys, "argv", ["large_text", str(tmp_path / "text")])
    with pytest.raises(SystemExit, match="text has 5 bytes; it must have at least 100,000$"):
        large_text.main()


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "x"])
def test_a_duration_that_is_none_is_refused(minutes):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^'{minutes}' must be a number above 0$"):
        large_text.duration(minutes)
