"""The figures in README.md and docs/ are those that the benchmarks wrote, and what they time is what it should be."""

import argparse
import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import anatomy, harness, preparation, quality_results, sampling, scaling, training, workers
from benchmarks.harness import RESULTS
from benchmarks.rivals import Contender
from benchmarks.step import Charrnn, Shape, random_batch
from charrnn.layers.projection import LookupEmbedding

ROOT = Path(__file__).parents[1]
README, PERFORMANCE, RECIPES, SCALING = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("README.md", "docs/performance.md", "docs/recipes.md", "docs/scaling.md")
)
IN_NUMPY = (
    "plain GRU",
    "textbook",
    "textbook, float32",
)  # the others take long to import; each run checks them
SMALL, DEEP = Shape(H=8, B=4, T=6), Shape(H=8, B=4, T=6, num_layers=2)


def results(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("document", "name", "key", "table"),
    [
        (README, "training", "shapes", training.summary),
        (README, "quality", "rows", quality_results.summary),
        (RECIPES, "quality", "rows", quality_results.table),
        (RECIPES, "quality-greek", "rows", quality_results.table),
        (PERFORMANCE, "training", "shapes", training.table),
        (PERFORMANCE, "anatomy", "rows", anatomy.table),
        (PERFORMANCE, "sampling", "figures", sampling.table),
        (PERFORMANCE, "preparation", "figures", preparation.table),
        (PERFORMANCE, "scaling", "steps", scaling.step_table),
        (PERFORMANCE, "scaling", "corpora", scaling.corpus_table),
        (PERFORMANCE, "scaling", "imports", scaling.import_table),
        (SCALING, "workers", "shapes", workers.table),
        (SCALING, "workers", "shapes", workers.estimate_table),
    ],
)
def test_the_tables_are_those_of_the_results(document, name, key, table):
    assert table(results(name)[key]) in document


def test_published_figures_are_next_to_the_measured_ones():
    assert harness.table(quality_results.PUBLISHED) in RECIPES


@pytest.mark.parametrize(
    ("document", "name"),
    [
        *((PERFORMANCE, name) for name in ("training", "anatomy", "sampling", "preparation", "scaling")),
        (SCALING, "workers"),
    ],
)
def test_the_machine_is_named(document, name):
    machine = results(name)["machine"]
    assert f"{machine['processor']}, {machine['cores']} cores" in document


def test_the_machines_of_the_quality_benchmark_are_named():
    rows = results("quality")["rows"] + results("quality-greek")["rows"]
    for machine in (row["machine"] for row in rows):
        assert f"{machine['processor']}, {machine['cores']} cores" in RECIPES


def test_turns_alternate_and_their_first_calls_do_not_count():
    calls = []
    contenders = {name: lambda name=name: calls.append(name) for name in "ab"}
    timings = harness.interleaved(contenders, rounds=2, calls=3, warm_up=2, pause=0)
    assert "".join(calls) == "aaaaa" + "bbbbb" + "bbbbb" + "aaaaa"
    assert [len(timing.seconds) for timing in timings.values()] == [6, 6]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_charrnn_is_timed_in_the_steps_of_training(num_workers):
    contender = Charrnn(SMALL, *random_batch(SMALL), num_workers=num_workers)
    turns = []
    for _ in range(2):
        with contender.turn():
            assert isinstance(contender.training_step.network.layers[0], LookupEmbedding)
            assert contender.training_step.workers.size == num_workers
            turns.append([contender.step() for _ in range(50)])
    assert turns[0] == turns[1] and turns[0][-1] < turns[0][0] - 0.1


@pytest.mark.parametrize("shape", [SMALL, DEEP], ids=str)
def test_contenders_compute_the_same(shape):
    contenders = training.contenders_at(shape, list(training.CHARRNN), training.installed(IN_NUMPY))
    assert list(contenders) == [*training.CHARRNN, *(IN_NUMPY if shape is SMALL else ())]
    for contender in contenders.values():
        with contender.turn():
            contender.step()


def test_a_contender_that_computes_something_else_ends_the_benchmark():
    reference = Charrnn(SMALL, *random_batch(SMALL), num_workers=1)

    class Wrong(Contender):
        def loss_and_gradients(self):
            loss, gradients = reference.loss_and_gradients()
            gradients["gru1.bias"] = 1.001 * gradients["gru1.bias"]
            return loss, gradients

        def step(self):
            pass

    training.require_agreement("right", reference, reference)
    with pytest.raises(
        SystemExit, match=r"^wrong: gru1.bias differs from charrnn's by 1.0e-03; at most 1e-05 is allowed$"
    ):
        training.require_agreement("wrong", Wrong(), reference)


def test_training_from_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    shapes = ["--shape", "8,4,6", "--shape", "2x8,4,6"]
    monkeypatch.setattr(
        sys, "argv", ["training", "--only", "charrnn", "plain GRU", "textbook", *shapes, "--rounds", "1"]
    )
    training.main()
    written = json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))["shapes"]
    out = capsys.readouterr().out
    assert training.table(written) in out and training.summary(written) in out
    of_one_layer, of_two_layers = (figures["contenders"] for figures in written)
    assert list(of_one_layer) == ["charrnn", "charrnn LSTM", "plain GRU", "textbook"]
    assert list(of_two_layers) == ["charrnn", "charrnn LSTM"]
    assert of_one_layer["charrnn"]["relative"] == of_one_layer["charrnn LSTM"]["relative"] == 1
    predictions = {name: row["predictions_per_second"] * row["ms"] / 1000 for name, row in of_one_layer.items()}
    assert predictions == pytest.approx({"charrnn": 24, "charrnn LSTM": 24, "plain GRU": 24, "textbook": 4})
    assert "textbook" not in training.summary(written)


def test_shapes_on_the_command_line():
    assert training.parse_shape("128,32,100") == (128, 32, 100, 1)
    assert training.parse_shape("2x384,32,64") == (384, 32, 64, 2)
    for text in ("128,32", "128,32,100,1", "0,1,1", "x1,1,1", "2x,1,1", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="integer"):
            training.parse_shape(text)


def test_multiply_adds_by_hand():
    gates, E, V = 3, 16, 65
    first, second = gates * (E * 8 + 8 * 8), gates * (8 * 8 + 8 * 8)
    assert DEEP.multiply_adds("gru", "every") == 3 * 4 * 6 * (first + second + 8 * V)
    assert SMALL.multiply_adds("gru", "last") == 3 * 4 * (6 * first + 8 * V)
    assert SMALL.multiply_adds("lstm", "every") == 3 * 4 * 6 * (4 * (E * 8 + 8 * 8) + 8 * V)


def test_numbers_of_workers_are_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["workers", "--shape", "8,4,6", "--rounds", "1", "--workers", "1", "3"])
    workers.main()
    written = json.loads((tmp_path / "workers.json").read_text(encoding="utf-8"))["shapes"]
    out = capsys.readouterr().out
    assert workers.table(written) in out and workers.estimate_table(written) in out
    (figures,) = written
    one, three = figures["groups"]
    assert (one["workers"], three["workers"]) == (1, 3)
    assert one["share_in_sum"] < 0.2 and 0 < three["share_in_sum"] < 1 and three["sum_alone_ms"] > 0


def test_an_estimate_by_hand():
    """A step of 20 ms at 64 sequences, 5 ms at 2; 8 machines with 8 sequences each; a message of 1 MB."""
    group = {"workers": 2, "ms": 20, "one_sequence_ms": 5}
    figures = {**Shape(H=1, B=64, T=1)._asdict(), "bytes": 1e6, "groups": [group]}
    row = workers.estimate([figures])[0]
    assert row["n"] == 8
    network = 14 / 8 * 8 + 14 * 0.05  # 1 MB takes 8 ms
    assert row["network_ms_1"] == pytest.approx(network)
    assert row["same_batch_1"] == pytest.approx(20 / (5 + 15 * 6 / 62 + network))
    assert row["n_batches_1"] == pytest.approx(8 * 20 / (20 + network))


def test_steps_of_every_size_are_timed(monkeypatch):
    monkeypatch.setattr(scaling, "VARIED", {"H": (8, 16), "B": (1,)})
    monkeypatch.setattr(scaling, "CENTRE", {"H": 8, "B": 4, "T": 6})
    rows = scaling.step_times(rounds=1)
    assert [(row["varied"], row["H"], row["B"], row["T"]) for row in rows] == [
        ("H", 8, 4, 6),
        ("H", 16, 4, 6),
        ("B", 8, 1, 6),
    ]
    assert "| 1 worker | 2 workers |" in scaling.step_table(rows)
    assert all(row["characters_per_second"] == pytest.approx(row["B"] * 6000 / row["milliseconds_2"]) for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_start_of_training_is_timed(tmp_path):
    scaling.write_corpus(scaling.set_up(tmp_path / "pipeline"), 1)
    scaling.run_stage("prepare", tmp_path / "pipeline")
    figures = scaling.training_start(tmp_path / "pipeline", seconds=0)
    assert 0.1 < figures["seconds_to_first_step"] < 60
    assert 40 < figures["mapped_megabytes"] < figures["peak_megabytes_at_first_step"] <= figures["peak_megabytes"]


@pytest.mark.skipif(sys.platform != "linux", reason="uses os.wait4")
def test_peak_memory_of_a_process():
    hungry = [sys.executable, "-c", f"text = b'x' * {100 * 10**6}"]
    program = f"from benchmarks.preparation import peak_megabytes; print(peak_megabytes({hungry}))"
    printed = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, encoding="utf-8")
    assert 100 < float(printed) < 150


def test_a_rival_leaves_the_weights_it_was_made_from_alone():
    x, y = random_batch(SMALL)
    for name, rival in training.installed(IN_NUMPY).items():
        weights = Charrnn(SMALL, x, y).weights()
        before = {key: array.copy() for key, array in weights.items()}
        rival(weights, x, y).step()
        for key, array in weights.items():
            np.testing.assert_array_equal(array, before[key], err_msg=f"{name}, {key}")


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_parts_of_a_step_are_timed_in_steps_that_compute_the_same(cell, monkeypatch):
    losses = []
    take = anatomy.TrainingStep.take
    contender = Charrnn(SMALL, *random_batch(SMALL), cell=cell, num_workers=1)
    with monkeypatch.context() as patched:
        patched.setattr(anatomy.TrainingStep, "take", lambda self: losses.append(take(self)))
        patched.setattr(anatomy, "time", SimpleNamespace(perf_counter=count().__next__))  # so a call takes 1 second
        patched.setattr(anatomy, "median_seconds", lambda call: 0.25)  # of which a quarter is the clock's
        parts = anatomy.parts_of_step(contender)
    with contender.turn():
        assert losses == [contender.step() for _ in range(anatomy.WARM_UP + anatomy.STEPS)]
    # In each time step a GRU has 2 products forward and 2 backward, an LSTM 1 and 1. Besides: the table of inputs; dU,
    # of which a GRU has 2; three for the gradients of the table's product; three of the dense layer.
    T = SMALL.T
    num_products = 4 * T + 9 if cell == "gru" else 2 * T + 8
    assert parts.products == 0.75 * num_products
    assert parts.element_wise == 0.75 * (parts.num_calls - num_products)


def test_anatomy_from_end_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["anatomy", "--shape", "8,4,6", "--rounds", "1"])
    anatomy.main()
    rows = json.loads((tmp_path / "anatomy.json").read_text(encoding="utf-8"))["rows"]
    assert [row["cell"] for row in rows] == ["gru", "lstm"]
    assert all(row["ms"] > 0 and row["num_calls"] > 50 for row in rows)
    assert anatomy.table(rows) in capsys.readouterr().out


def test_what_remains_of_a_step_is_the_rest():
    shares = {"products": 0.5, "element_wise": 0.25, "calls": 0.08, "sums_and_waiting": 0.1}
    row = {**SMALL._asdict(), "cell": "lstm", "ms": 5.55, "num_calls": 1234, **shares}
    cells = [cell.strip() for cell in anatomy.table([row]).splitlines()[-1].strip("|").split("|")]
    assert cells == [str(SMALL), "LSTM", "5.5", "50%", "25%", "8%", "1,234", "10%", "15%"]


def test_settings_of_the_environment_that_slow_numpy_down_are_reported(monkeypatch):
    for name in harness.TUNING:
        monkeypatch.delenv(name, raising=False)
    assert harness.machine()["environment"] == {}
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert harness.machine()["environment"] == {"OPENBLAS_CORETYPE": "Haswell"}
