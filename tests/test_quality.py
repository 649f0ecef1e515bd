"""The benchmark of quality, from end to end on a small text."""

import bz2
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import harness, pipeline, quality, quality_results
from benchmarks.pipeline import DEFAULTS
from charrnn.model_file import load_model
from charrnn.models import create_char_rnn_model
from stages.common.params import params_file

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "data" / "bundled" / "tide_clock.txt").read_text(encoding="utf-8")[:6000]
TINY = {"train_size": 0.9, "validation_size": 0.1, "hidden_dim": 8, "num_epochs": 1, "carry_state": True, "workers": 1}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Run the benchmark on a small text; returns the rows that it wrote by name."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(quality, "NETWORKS", ("tiny", "workers"))
    monkeypatch.setattr(quality, "NAMES", (*quality.ORDERS, *quality.COMPRESSORS, "tiny", "workers"))
    monkeypatch.setattr(quality, "RECIPES", tmp_path)
    (tmp_path / "tiny.yaml").write_text(params_file(DEFAULTS | TINY), encoding="utf-8")
    (tmp_path / "workers.yaml").write_text(params_file(DEFAULTS | TINY | {"workers": 2}), encoding="utf-8")
    text = tmp_path / "text.txt"
    text.write_bytes(TEXT.encode())

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["quality", "--text", str(text), *arguments])
        quality.main()
        results = json.loads((tmp_path / "results" / "quality-text.json").read_text(encoding="utf-8"))
        return {row["name"]: row for row in results["rows"]}

    return run


def test_from_end_to_end(bench, capsys):
    rows = bench()
    out, err = capsys.readouterr()
    others = ["uniform", "unigram", "bigram", "5-gram", "xz", "bz2"]
    assert list(rows) == [*others, "tiny", "tiny × 3", "workers", "workers × 3"]
    assert quality_results.table(list(rows.values())) in out and harness.table(quality_results.PUBLISHED) not in out
    assert "is not Tiny Shakespeare" in err and "tiny, seed 2: loss " in err

    (uniform,), (bz2_figures,) = rows["uniform"]["runs"], rows["bz2"]["runs"]
    assert uniform["loss"] == pytest.approx(np.log(len(set(TEXT)))) and uniform["accuracy"] is None
    added = len(bz2.compress(TEXT.encode())) - len(bz2.compress(TEXT[:5400].encode()))
    assert bz2_figures["loss"] == pytest.approx(added * 8 * np.log(2) / 600)

    runs = rows["tiny"]["runs"]
    assert rows["tiny"]["params"] == TINY
    assert [run["seed"] for run in runs] == [42, 1, 2] and len({run["loss"] for run in runs}) == 3
    assert all(0 < run["loss"] < 1.1 * uniform["loss"] and run["seconds"] > 0 for run in runs)
    low, middle, high = (f"{loss:.4f}" for loss in sorted(run["loss"] for run in runs))
    assert f"{middle} ({low} to {high})" in out
    assert rows["workers"]["runs"][0]["loss"] == pytest.approx(runs[0]["loss"], abs=0.01)
    (average,) = rows["tiny × 3"]["runs"]
    assert average["loss"] < np.mean([run["loss"] for run in runs])  # as -log is convex
    assert average["parameters"] == 3 * runs[0]["parameters"]
    assert average["seconds"] == pytest.approx(sum(run["seconds"] for run in runs))


def test_only_some_with_other_seeds_are_kept(bench, tmp_path):
    rows = bench("--only", "bigram", "workers", "--seeds", "7", "--keep", str(tmp_path / "kept"))
    assert list(rows) == ["bigram", "workers"]
    assert [run["seed"] for run in rows["workers"]["runs"]] == [7]
    assert load_model(tmp_path / "kept/workers-7/models/char_rnn.npz").params["seed"] == 7


def test_finished_rows_are_there_after_an_interruption(bench, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(quality, "network_figures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench("--only", "bigram", "tiny")
    (row,) = json.loads((tmp_path / "results" / "quality-text.json").read_text(encoding="utf-8"))["rows"]
    assert row["name"] == "bigram" and len(row["runs"]) == 1


def test_nothing_is_written_if_it_should_not_be(bench, tmp_path):
    with pytest.raises(FileNotFoundError):
        bench("--only", "bigram", "--no-write")
    assert not (tmp_path / "results").exists()


def test_tiny_shakespeare_has_a_results_file_of_its_own_and_published_rivals(bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(quality, "TINY_SHAKESPEARE", quality.Corpus.read(tmp_path / "text.txt").sha256)
    with pytest.raises(FileNotFoundError):  # that of the fixture, for another text
        bench("--only", "bigram")
    assert (tmp_path / "results" / "quality.json").exists()
    out, err = capsys.readouterr()
    assert harness.table(quality_results.PUBLISHED) in out and "is not Tiny Shakespeare" not in err


def test_what_is_measured_again_replaces_what_was_measured_before(tmp_path, monkeypatch):
    path, names = tmp_path / "quality.json", ["bigram", "tiny", "large"]
    monkeypatch.setattr(harness, "RESULTS", tmp_path)

    def add(name, params, text="a", machine="one", date="today", **figures):
        monkeypatch.setattr(harness, "machine", lambda: {"processor": machine, "cores": 2, "date": date})
        results = quality_results.Results(text, names, path)
        results.add(name, params, figures)
        results.write()
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return [(row["name"], [(run.get("seed"), run["loss"]) for run in row["runs"]]) for row in rows]

    add("large", {"H": 2}, seed=1, loss=1.5)
    add("large × 2", {"H": 2}, loss=1.25)
    add("tiny", {"H": 1}, seed=1, loss=2.5)
    assert add("bigram", {}, loss=3.0) == [
        ("bigram", [(None, 3.0)]), ("tiny", [(1, 2.5)]), ("large", [(1, 1.5)]), ("large × 2", [(None, 1.25)])
    ]  # fmt: skip
    assert add("tiny", {"H": 1}, date="tomorrow", seed=2, loss=2.25)[1] == ("tiny", [(1, 2.5), (2, 2.25)])
    assert add("tiny", {"H": 1}, seed=1, loss=2.0)[1] == ("tiny", [(2, 2.25), (1, 2.0)])
    assert add("tiny", {"H": 1}, machine="two", seed=3, loss=2.0)[1] == ("tiny", [(3, 2.0)])
    assert add("large", {"H": 2}, seed=2, loss=1.75)[2:] == [
        ("large", [(1, 1.5), (2, 1.75)]), ("large × 2", [(None, 1.25)])
    ]  # fmt: skip
    assert add("large", {"H": 3}, seed=2, loss=1.0)[2:] == [("large", [(2, 1.0)])]  # without the old average
    assert add("bigram", {}, text="b", loss=4.0) == [("bigram", [(None, 4.0)])]


def test_machines_are_named_in_the_table_if_they_differ():
    runs = [{"seed": 1, "parameters": 7, "seconds": 3.0, "loss": 1.5, "accuracy": 0.5}]
    rows = [{"name": name, "params": {}, "machine": {"processor": name.upper()}, "runs": runs} for name in "ab"]
    assert "processor" not in quality_results.table(rows[:1])
    assert [line.split("|")[-2].strip() for line in quality_results.table(rows).splitlines()[2:]] == ["A", "B"]


def test_seeds_of_the_networks():
    assert quality.seeds_of("default", None) == (42,)
    assert quality.seeds_of("best", None) == (42, 1, 2)
    assert quality.seeds_of("default", [7, 8]) == [7, 8]


def test_what_would_fail_after_hours_is_refused_at_once(bench, tmp_path):
    with pytest.raises(SystemExit, match="^error: a seed is given twice; each must be different$"):
        bench("--only", "tiny", "--seeds", "7", "7")
    (tmp_path / "kept" / "tiny-1").mkdir(parents=True)
    with pytest.raises(SystemExit, match="tiny-1 exists already; move it, or keep the pipelines in another folder$"):
        bench("--only", "bigram", "tiny", "--keep", str(tmp_path / "kept"))


def test_a_stage_that_fails_ends_it(tmp_path, capfd):
    pipeline.set_up(tmp_path / "folder", DEFAULTS | {"hidden_dim": 0})
    with pytest.raises(SystemExit, match="^error: the train stage ended with exit code 1; it must be 0$"):
        pipeline.run_stage("train", tmp_path / "folder")
    assert "hidden_dim is 0" in capfd.readouterr().err


def test_the_network_is_measured_on_the_last_tenth(tmp_path, monkeypatch):
    """A model with nothing but output biases has the cross-entropy of its one distribution and the last tenth."""
    text = tmp_path / "text.txt"
    text.write_bytes(TEXT.encode())
    corpus = quality.Corpus.read(text)
    assert corpus.cut == 5400 and corpus.text == TEXT
    load = quality.load_model

    def only_biases(path):
        trained = load(path)
        assert trained.params["hidden_dim"] == 8 and trained.data["train_size"] == 0.9
        trained.model.parameters[...] = 0
        trained.model.parameters[-len(trained.vectorizer.vocabulary)] = 1.0  # the bias of the first character
        return trained

    monkeypatch.setattr(quality, "load_model", only_biases)
    figures, _ = quality.network_figures(DEFAULTS | TINY, 42, corpus, tmp_path / "run")
    p = np.full(corpus.vectorizer.vocabulary_size, 1.0)
    p[0] = np.e
    expected = -np.log(p / p.sum())[corpus.ids[5401:]].mean()
    assert figures["loss"] == pytest.approx(expected, rel=1e-5)
    assert figures["accuracy"] == pytest.approx((corpus.ids[5401:] == 0).mean())
    assert figures["loss_from_256"] == pytest.approx(expected, abs=0.05)


def test_the_average_is_of_probabilities(rng, monkeypatch):
    monkeypatch.setattr("charrnn.evaluation.POSITIONS_AT_ONCE", 100)  # several batches, with carried state
    models = [create_char_rnn_model(5, rng, hidden_dim=7, embedding_initializer=rng_normal) for _ in range(3)]
    ids = rng.integers(0, 5, 300)
    runs = [{"parameters": 10, "seconds": 2.5}] * 3
    figures = quality.average_figures(runs, models, ids)
    mean = np.mean([model.predict(ids[:-1]) for model in models], axis=0)
    assert figures["loss"] == pytest.approx(-np.log(mean[np.arange(299), ids[1:]]).mean(), rel=1e-5)
    assert figures["accuracy"] == pytest.approx((mean.argmax(axis=1) == ids[1:]).mean())
    assert (figures["parameters"], figures["seconds"]) == (30, 7.5)


def rng_normal(shape, rng):
    return 3 * rng.standard_normal(shape)
