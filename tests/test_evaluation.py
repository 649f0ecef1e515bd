"""Evaluation: one streamed pass gives what reading the whole text at once gives, and figures that belong together."""

from itertools import chain

import numpy as np
import pytest

from charrnn import evaluation
from charrnn.errors import InputError
from charrnn.evaluation import context_curve, context_runs, evaluate
from charrnn.models import create_char_rnn_model


@pytest.fixture
def model():
    return create_char_rnn_model(5, np.random.default_rng(0), embedding_dim=4, hidden_dim=16)


@pytest.fixture
def ids():
    return np.random.default_rng(1).integers(5, size=301).astype(np.uint8)


def test_streamed_pass_equals_one_pass_over_the_whole_text(model, ids, monkeypatch):
    monkeypatch.setattr(evaluation, "POSITIONS_AT_ONCE", 7)
    p = model.predict(ids[:-1])
    metrics = evaluate(model, ids)
    np.testing.assert_allclose(metrics["loss"], -np.log(p[np.arange(300), ids[1:]]).mean(), rtol=1e-5)
    assert metrics["accuracy"] == (p.argmax(axis=1) == ids[1:]).mean()
    assert metrics["characters"] == 300


def test_several_streams_are_texts_of_their_own(model, ids):
    metrics = evaluate(model, ids, num_streams=3)
    parts = [evaluate(model, ids[start : start + 101]) for start in (0, 100, 200)]
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(metrics[name], np.mean([part[name] for part in parts]), rtol=1e-6)
    assert metrics["characters"] == 300


def test_figures_belong_together(model, ids):
    metrics = evaluate(model, ids)
    assert metrics["bits_per_char"] == pytest.approx(metrics["loss"] / np.log(2))
    assert metrics["perplexity"] == pytest.approx(np.exp(metrics["loss"]))


def test_a_model_that_knows_nothing_scores_as_chance_does(ids):
    model = create_char_rnn_model(5, np.random.default_rng(0))
    model.parameters[...] = 0
    metrics = evaluate(model, ids)
    assert metrics["loss"] == pytest.approx(np.log(5), rel=1e-6)
    assert metrics["accuracy"] == (ids[1:] == 0).mean()


def test_losses_are_summed_in_double_precision(model, ids):
    """Every loss is the same number in float32, and so is their mean; their sum in float32 is rounded."""
    model.parameters[...] = 0
    expected = float(np.log(np.float32(5)))
    for num_streams in (1, 7):
        assert evaluate(model, ids, num_streams=num_streams)["loss"] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(context_curve(model, ids, window_size=2)["loss"], expected, rtol=1e-12)


def test_evaluation_changes_nothing(model, ids):
    before = model.parameters.copy()
    evaluate(model, ids)
    np.testing.assert_array_equal(model.parameters, before)


def test_context_curve_is_the_mean_by_position_from_a_zero_state(model, ids, monkeypatch):
    monkeypatch.setattr(evaluation, "POSITIONS_AT_ONCE", 150)
    curve = context_curve(model, ids, window_size=20, runs=[slice(0, 56), slice(225, 281)])
    losses, hits = [], []
    for start in chain(range(56), range(225, 281)):
        window, p = ids[start : start + 21], model.predict(ids[start : start + 20])
        losses.append(-np.log(p[np.arange(20), window[1:]]))
        hits.append(p.argmax(axis=1) == window[1:])
    np.testing.assert_allclose(curve["loss"], np.mean(losses, axis=0), rtol=1e-5)
    np.testing.assert_allclose(curve["accuracy"], np.mean(hits, axis=0))


def test_windows_of_the_context_curve_come_in_long_runs_spread_over_the_text():
    runs = context_runs(100_000, window_size=100, V=65)
    assert runs[0].start == 0 and runs[-1].stop == 100_000
    assert {run.stop - run.start for run in runs} == {1000}
    assert len(runs) == 8  # so 8,000 windows are read
    steps = np.diff([run.start for run in runs])
    assert steps.max() - steps.min() <= 1
    assert context_runs(40, window_size=3, V=65) == [slice(0, 40)]


@pytest.mark.parametrize(("n", "window_size", "V"), [(100_000, 1000, 70_000), (20_000, 2000, 65), (10**6, 10**4, 100)])
def test_where_there_is_no_time_for_runs_as_long_as_a_window_windows_are_drawn_at_random(n, window_size, V):
    starts = np.concatenate(context_runs(n, window_size, V))
    assert len(starts) == min(8 * n, (1 << 31) // V) // window_size
    assert starts.min() >= 0 and n / 2 < starts.max() < n
    assert len(set(np.diff(np.sort(starts)))) > len(starts) / 3  # no stride
    assert max(len(run) for run in context_runs(n, window_size, V)) <= 64


def test_context_curve_of_a_memoryless_source_is_flat_within_its_standard_error():
    """With windows a fixed stride apart, the curve had the stride as its period."""
    rng = np.random.default_rng(7)
    p = np.array([0.9, 0.05, 0.03, 0.015, 0.005])
    ids = rng.choice(5, size=30_000, p=p).astype(np.uint8)
    model = create_char_rnn_model(5, rng, embedding_dim=2, hidden_dim=2)
    model.parameters[...] = 0
    model.parameters[-5:] = np.log(p)
    curve = context_curve(model, ids, window_size=100)["loss"]
    num_windows = sum(run.stop - run.start for run in context_runs(len(ids) - 100, 100, V=5))
    deviation = np.sqrt((p * np.log(p) ** 2).sum() - (p * np.log(p)).sum() ** 2)
    assert np.abs(curve - curve.mean()).max() < 3 * deviation / np.sqrt(num_windows)
    noise = curve - curve.mean()
    assert abs(np.corrcoef(noise[:-12], noise[12:])[0, 1]) < 0.9


@pytest.mark.parametrize(("loss", "perplexity"), [(700.0, np.exp(700)), (1e4, np.inf)])
def test_perplexity_is_not_clipped(model, loss, perplexity):
    model.parameters[...] = 0
    model.parameters[-5] = loss  # the bias of id 0
    metrics = evaluate(model, np.ones(9, np.uint8))
    assert metrics["loss"] == loss
    assert metrics["perplexity"] == pytest.approx(perplexity)


@pytest.mark.parametrize("place", [0, 150, 300])
def test_an_unknown_id_is_refused(model, ids, place):
    ids[place] = 5
    with pytest.raises(InputError, match=f"^text to evaluate: id 5 at position {place}; the model knows only 0 to 4$"):
        evaluate(model, ids)


@pytest.mark.parametrize("n", [0, 1])
def test_a_text_without_anything_to_predict_is_refused(model, ids, n):
    with pytest.raises(InputError, match=f"^the text to evaluate has {n} characters?; it must have at least 2$"):
        evaluate(model, ids[:n])
