"""Temperature scaling: an overconfident model becomes less so, a right one stays, and no order changes."""

import numpy as np
import pytest

from charrnn.calibration import FACTORS, calibrate
from charrnn.errors import InputError
from charrnn.evaluation import evaluate, logits_and_targets
from charrnn.layers import Dense, Embedding
from charrnn.models import Model, create_char_rnn_model

V = 4


@pytest.fixture
def source(rng):
    """Ids that follow each other with known probabilities, and a model that knows these."""
    following = rng.dirichlet(np.ones(V), size=V)
    ids = [0]
    for u in rng.random(20_000):
        ids.append(min(V - 1, int(np.searchsorted(following[ids[-1]].cumsum(), u))))
    model = Model([Embedding(V, V), Dense(V, V)], rng, np.float64)
    model.p[0].table[...], model.p[1].kernel[...] = np.eye(V), np.log(following) - 0.5
    model.p[1].bias[...] = 0.5
    return np.array(ids), model


@pytest.mark.parametrize("times", [0.8, 1.0, 1.6])
@pytest.mark.parametrize("most_streams", [1, 7])
def test_the_factor_undoes_too_much_and_too_little_confidence(times, most_streams, source):
    ids, model = source
    right = evaluate(model, ids)
    for array in (model.p[1].kernel, model.p[1].bias):
        array *= times
    before = evaluate(model, ids)
    factor = calibrate(model, ids, most_streams)
    after = evaluate(model, ids)
    assert factor == pytest.approx(1 / times, abs=0.05)
    assert after["loss"] == pytest.approx(right["loss"], abs=1e-3)
    assert after["accuracy"] == before["accuracy"] == right["accuracy"]
    if times != 1:
        assert after["loss"] < before["loss"] - 0.005


def test_the_factor_is_the_one_with_the_lowest_loss(source, monkeypatch):
    ids, model = source
    ids = ids[:300]
    kept = model.parameters.copy()

    def loss(factor):
        model.parameters[...] = kept
        model.p[1].kernel *= factor
        model.p[1].bias *= factor
        return evaluate(model, ids)["loss"]

    expected = min(FACTORS, key=loss)
    model.parameters[...] = kept
    monkeypatch.setattr("charrnn.evaluation.POSITIONS_AT_ONCE", 40)  # the last batch is smaller
    assert calibrate(model, ids) == expected
    assert model.p[1].kernel.tobytes() == (kept[V * V : 2 * V * V] * expected).tobytes()
    assert model.p[1].bias.tobytes() == (kept[2 * V * V :] * expected).tobytes()
    assert model.p[0].table.tobytes() == kept[: V * V].tobytes()


@pytest.mark.parametrize(("length", "most_streams", "expected"), [(301, 9, 3), (301, 2, 2), (99, 9, 1), (700, 9, 5)])
def test_streams_are_long_and_only_the_beginning_of_a_long_text_is_read(
    length, most_streams, expected, source, monkeypatch
):
    read = []
    monkeypatch.setattr("charrnn.calibration.LEAST_CHARACTERS", 100)
    monkeypatch.setattr("charrnn.calibration.MOST_CHARACTERS", 500)
    monkeypatch.setattr(
        "charrnn.calibration.logits_and_targets",
        lambda model, ids, num_streams: (
            read.append((len(ids), num_streams)) or logits_and_targets(model, ids, num_streams)
        ),
    )
    calibrate(source[1], source[0][:length], most_streams)
    assert read == [(min(length, 500), expected)]


@pytest.mark.parametrize(
    "model",
    [
        create_char_rnn_model(V, np.random.default_rng(0), tie_weights=True),
        Model([Embedding(V, V), Dense(V, V, "tanh")], np.random.default_rng(0)),
    ],
    ids=["tied", "tanh"],
)
def test_a_last_layer_whose_weights_do_not_only_scale_the_logits_is_refused(model):
    with pytest.raises(
        InputError, match="calibrate is True; with a (TiedDense|Dense) layer at the end it must be False"
    ):
        calibrate(model, np.arange(V))
