"""The benchmark of quality: its recipes, and one run of it from end to end on a small text."""

import bz2
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import harness, quality
from benchmarks.recipes import RECIPES, command
from stages import prepare, train
from stages.params import PARAMS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXT = (ROOT / "data" / "bundled" / "tide_clock.txt").read_text(encoding="utf-8")[:6000]
TINY = {"train_size": 0.9, "validation_size": 0.1, "hidden_dim": 8, "num_epochs": 1, "carry_state": True}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_what_the_readme_says_and_the_stages_accept(name):
    recipe = RECIPES[name]
    assert f"\n{command(recipe)}\n" in README
    for param, value in recipe.items():
        assert param in (*prepare.PARAMS, *train.PARAMS)
        assert PARAMS[param].parse(value) == value != PARAMS[param].default


@pytest.mark.parametrize("recipe", quality.NETWORKS.values(), ids=quality.NETWORKS)
def test_nothing_learns_from_what_measures_it(recipe):
    assert recipe.get("train_size", PARAMS["train_size"].default) <= quality.FIRST_PART


def test_a_command_says_the_params_as_dvc_reads_them():
    recipe = {"train_size": 0.9, "carry_state": True, "cell": "lstm", "weight_decay": 1e-5}
    line = command(recipe)
    assert line == "dvc exp run -S train_size=0.9 -S carry_state=true -S cell=lstm -S weight_decay=1e-05"
    said = dict(setting.split("=") for setting in line.split(" -S ")[1:])
    assert {name: PARAMS[name].parse(value) for name, value in said.items()} == recipe


def test_flags_are_what_the_stages_take():
    recipe = {"carry_state": True, "hidden_dim": 8, "schedule": "cosine", "train_size": 0.9}
    names = ("hidden_dim", "carry_state", "schedule")
    assert quality.flags(recipe, names) == ["--hidden-dim=8", "--carry-state", "--schedule=cosine"]
    assert quality.flags({"carry_state": False}, ("carry_state",)) == ["--no-carry-state"]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Run the benchmark on a small text; returns the rows that it wrote by name."""
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(quality, "NETWORKS", {"default": TINY | {"train_size": 0.8}, "fast": TINY})
    monkeypatch.setattr(quality, "SEVERAL_SEEDS", {"fast": (42, 1, 2)})
    text = tmp_path / "text.txt"
    text.write_bytes(TEXT.encode())

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["quality", "--text", str(text), *arguments])
        quality.main()
        results = json.loads((tmp_path / "results" / "quality.json").read_text(encoding="utf-8"))
        return {row["name"]: row for row in results["rows"]}

    return run


def test_from_end_to_end(bench, capsys):
    rows = bench()
    out, err = capsys.readouterr()
    assert list(rows) == ["uniform", "unigram", "bigram", "5-gram", "xz", "bz2", "default", "fast"]
    assert quality.table(list(rows.values())) in out and harness.table(quality.PUBLISHED) in out
    assert "is not Tiny Shakespeare" in err and "fast, seed 2: loss " in err

    (uniform,), (bz2_figures,) = rows["uniform"]["runs"], rows["bz2"]["runs"]
    assert uniform["loss"] == pytest.approx(np.log(len(set(TEXT)))) and uniform["accuracy"] is None
    added = len(bz2.compress(TEXT.encode())) - len(bz2.compress(TEXT[:5400].encode()))
    assert bz2_figures["loss"] == pytest.approx(added * 8 * np.log(2) / 600)

    runs = rows["fast"]["runs"]
    assert rows["fast"]["params"] == TINY
    assert [run["seed"] for run in runs] == [42, 1, 2] and len({run["loss"] for run in runs}) == 3
    assert all(0 < run["loss"] < 1.1 * uniform["loss"] and run["seconds"] > 0 for run in runs)
    low, middle, high = (f"{loss:.4f}" for loss in sorted(run["loss"] for run in runs))
    assert f"{middle} ({low} to {high})" in out


def test_only_some_with_other_seeds(bench):
    rows = bench("--only", "bigram", "default", "--seeds", "7")
    assert list(rows) == ["bigram", "default"]
    assert [run["seed"] for run in rows["default"]["runs"]] == [7]


def test_finished_rows_are_there_after_an_interruption(bench, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(quality, "network_figures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench("--only", "bigram", "default")
    (row,) = json.loads((tmp_path / "results" / "quality.json").read_text(encoding="utf-8"))["rows"]
    assert row["name"] == "bigram" and len(row["runs"]) == 1


def test_nothing_is_written_if_told_so(bench, tmp_path):
    with pytest.raises(FileNotFoundError):
        bench("--only", "bigram", "--no-write")
    assert not (tmp_path / "results").exists()


def test_a_stage_that_fails_ends_it(capfd):
    with pytest.raises(SystemExit, match="^error: the train stage ended with exit code 1; it must be 0$"):
        quality.run_stage("train", "--hidden-dim=0")
    assert "hidden_dim is '0'" in capfd.readouterr().err


def test_the_network_is_measured_on_the_last_tenth(tmp_path, monkeypatch):
    """A model whose output biases are all that it is gives the entropy of its own distribution of the last tenth."""
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
    figures = quality.network_figures(TINY, 42, corpus)
    p = np.full(corpus.vectorizer.vocabulary_size, 1.0)
    p[0] = np.e
    expected = -np.log(p / p.sum())[corpus.ids[5401:]].mean()
    assert figures["loss"] == pytest.approx(expected, rel=1e-5)
    assert figures["accuracy"] == pytest.approx((corpus.ids[5401:] == 0).mean())
    assert figures["loss_from_256"] == pytest.approx(expected, abs=0.05)
