"""The figures in README.md, docs/performance.md and docs/scaling.md are those that the benchmarks wrote."""

import json
from pathlib import Path

import pytest

from benchmarks import harness, preparation, quality, ranks, sampling, scaling, training
from benchmarks.harness import RESULTS
from charrnn import parts
from charrnn.projection import EmbeddingOfRows

ROOT = Path(__file__).parents[1]
README, PERFORMANCE, SCALING = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/performance.md", "docs/scaling.md")
)


def results(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("document", "name", "key", "table"),
    [
        (README, "training", "shapes", training.summary),
        (README, "quality", "rows", quality.table),
        (PERFORMANCE, "training", "shapes", training.table),
        (PERFORMANCE, "sampling", "figures", sampling.table),
        (PERFORMANCE, "preparation", "figures", preparation.table),
        (PERFORMANCE, "scaling", "steps", scaling.step_table),
        (PERFORMANCE, "scaling", "corpora", scaling.corpus_table),
        (PERFORMANCE, "scaling", "imports", scaling.import_table),
        (SCALING, "ranks", "shapes", ranks.table),
        (SCALING, "ranks", "shapes", ranks.estimate_table),
    ],
)
def test_the_tables_are_those_of_the_results(document, name, key, table):
    assert table(results(name)[key]) in document


def test_a_step_is_timed_within_its_turn_whichever_way_it_uses_threads(monkeypatch):
    steps = []
    monkeypatch.setattr(
        training,
        "batch_work",
        lambda *args: steps.append([part.steps for part in parts.batch_work(*args)]) or parts.batch_work(*args),
    )
    monkeypatch.setattr(scaling, "VARIED", {"H": (128, 320)})
    monkeypatch.setattr(scaling, "CENTRE", {"H": 128, "B": 32, "T": 50})
    monkeypatch.setattr(training, "available_cores", lambda: {0, 1})
    assert [(row["varied"], row["H"], row["T"]) for row in scaling.step_times(1)] == [("H", 128, 50), ("H", 320, 50)]
    assert steps == [[slice(0, 25), slice(25, 50)], [slice(0, 50)] * 2]


def test_what_is_published_stands_beside_what_is_measured():
    assert harness.table(quality.PUBLISHED) in README


@pytest.mark.parametrize(
    ("document", "name"),
    [
        *((PERFORMANCE, name) for name in ("training", "sampling", "preparation", "scaling", "quality")),
        (SCALING, "ranks"),
    ],
)
def test_the_machine_is_named(document, name):
    machine = results(name)["machine"]
    assert f"{machine['processor']}, {machine['cores']} cores" in document


def test_turns_alternate_and_their_first_calls_do_not_count():
    calls = []
    contenders = {name: lambda name=name: calls.append(name) for name in "ab"}
    timings = harness.interleaved(contenders, rounds=2, calls=3, warm_up=2, pause=0)
    assert "".join(calls) == "aaaaa" + "bbbbb" + "bbbbb" + "aaaaa"
    assert [len(timing.seconds) for timing in timings.values()] == [6, 6]


def test_charrnn_is_timed_in_the_steps_of_training():
    shape = training.Shape(H=8, B=4, T=6)
    x, y = training.random_batch(shape)
    contender = training.Charrnn(shape, x, y, reset_after=False)
    assert all(isinstance(part.model.layers[0], EmbeddingOfRows) for part in contender.parts)
    with contender.turn():
        losses = [contender.step() for _ in range(50)]
    assert losses[-1] < losses[0] - 0.1
