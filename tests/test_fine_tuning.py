"""A model that gets to know more characters: the known ones stay as they were, and new ones begin improbable."""

import numpy as np
import pytest

from charrnn import GRU, Dense, Embedding, InputError, Model, TextVectorizer, create_char_rnn_model
from charrnn.config import ModelConfig
from charrnn.evaluation import evaluate
from charrnn.fine_tuning import add_characters, model_config
from charrnn.initializers import zeros
from charrnn.layers import LSTM, SimpleRNN, TiedDense
from charrnn.model_file import ModelFile
from tests.test_plain_gru import import_example

V, NEW = 7, 3
NETWORKS = {
    "gru": {},
    "reset_after": {"reset_after": True},
    "mogrifier": {"mogrifier": True},
    "lstm, stacked": {"cell": "lstm", "num_layers": 2},
    "rnn": {"cell": "rnn"},
    "tied": {"tie_weights": True},
    "tied, narrowed": {"tie_weights": True, "hidden_dim": 6},
}
each_network = pytest.mark.parametrize("settings", NETWORKS.values(), ids=NETWORKS)


def confident(**settings):
    """A model whose logits differ widely, as after training."""
    model = create_char_rnn_model(V, np.random.default_rng(1), embedding_dim=4, **{"hidden_dim": 4} | settings)
    model.parameters[...] = np.random.default_rng(2).normal(scale=2, size=len(model.parameters))
    return model


@each_network
def test_known_characters_keep_their_rows_and_new_ones_get_the_mean(settings):
    model = confident(**settings)
    grown = add_characters(model, NEW)
    assert model_config(grown) == model_config(model) and grown.input_dim == grown.output_dim == V + NEW
    axes = {"0.embedding.table": 0, "dense.kernel": 1, "dense.bias": 0, "tieddense.bias": 0}
    last = len(model.layers) - 1
    changed = 0
    for (name, new), (_, old) in zip(grown.named_parameters(), model.named_parameters()):
        number, _, rest = name.partition(".")
        axis = axes.get(name, axes.get(rest) if int(number) == last else None)
        if axis is None:
            np.testing.assert_array_equal(new, old)
            continue
        changed += 1
        known, added = np.split(new, [V], axis)
        np.testing.assert_array_equal(known, old)
        total = sum(np.take(old, v, axis) for v in range(V))
        for v in range(NEW):
            np.testing.assert_allclose(np.take(added, v, axis), total / V, rtol=1e-5, atol=1e-6)
    assert changed == (2 if settings.get("tie_weights") else 3)


@each_network
def test_the_logit_of_a_new_character_is_the_mean_and_its_cost_is_bounded(settings):
    model = confident(**settings)
    grown, ids = add_characters(model, NEW), np.random.default_rng(3).integers(V, size=50)
    p, q = model.predict(ids), grown.predict(ids)
    np.testing.assert_allclose(q[:, :V] / q[:, :V].sum(1, keepdims=True), p, rtol=2e-4, atol=1e-7)
    mean = np.log(q[:, :V].astype(np.float64)).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(np.log(q[:, V:]), np.repeat(mean, NEW, axis=1), rtol=1e-3)
    assert (q[:, V:] <= q[:, :V].sum(1, keepdims=True) / V * (1 + 1e-5)).all()
    rise = evaluate(grown, ids)["loss"] - evaluate(model, ids)["loss"]
    assert 0 < rise < np.log(1 + NEW / V)


def test_no_new_characters_and_the_same_predictions():
    model = confident()
    grown = add_characters(model, 0)
    np.testing.assert_array_equal(grown.parameters, model.parameters)
    grown.parameters[...] = 0  # a copy
    assert model.parameters.any()


def test_a_new_character_is_read_as_an_average_one():
    model = confident()
    table = dict(add_characters(model, 1).named_parameters())["0.embedding.table"]
    np.testing.assert_allclose(table[V], dict(model.named_parameters())["0.embedding.table"].mean(0), rtol=1e-5)


def test_new_characters_are_told_apart_by_training(rng):
    """Two begin alike, and both are learned: in this text each character decides the next one."""
    model = create_char_rnn_model(2, rng, embedding_dim=4, hidden_dim=16)
    grown = add_characters(model, 2)
    ids = np.tile(np.array([0, 2, 1, 3]), 100)
    grown.fit(ids, ids, rng=rng, num_epochs=30, learning_rate=0.02, window_size=20, stride=20, workers=1)
    assert evaluate(grown, ids)["loss"] < 0.05


@pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, V)],
        [Embedding(V, 4), GRU(4, V)],
    ],
)
def test_a_model_without_a_column_for_each_character_is_refused(layers, rng):
    with pytest.raises(
        InputError, match="^a model must begin with an Embedding and end with a Dense or TiedDense layer"
    ):
        add_characters(Model(layers, rng), 1)


@pytest.mark.parametrize("tie_weights", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize(
    "options", [{}, {"reset_after": True}, {"mogrifier": True}, {"cell": "lstm"}, {"cell": "rnn"}], ids=str
)
def test_the_settings_of_a_model_are_found_from_its_layers(options, num_layers, tie_weights):
    for H, E in ((5, 5), (5, 3)):
        settings = dict(num_layers=num_layers, embedding_dim=E, hidden_dim=H, tie_weights=tie_weights, **options)
        model = create_char_rnn_model(V, np.random.default_rng(0), embedding_initializer=zeros, **settings)
        assert model_config(model) == ModelConfig(**settings)


@pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, 4), Dense(4, V)],
        [Embedding(V, 4), GRU(4, 5), LSTM(5, 5), Dense(5, V)],
        [Embedding(V, 4), GRU(4, 5), GRU(5, 5, reset_after=True), Dense(5, V)],
        [Embedding(V, 4), GRU(4, 5), GRU(5, 6), Dense(6, V)],
        [Embedding(V, 4), SimpleRNN(4, 5, activation="relu"), Dense(5, V)],
        [Embedding(V, 4), GRU(4, 5), Dense(5, V, activation="tanh")],
        [Embedding(V, 4), GRU(4, 5), Dense(5, 5), Dense(5, V)],
        [Embedding(V, 5, tied=True), GRU(5, 5), Dense(5, 5), TiedDense(5, V)],
    ],
)
def test_other_layers_have_no_settings(layers, rng):
    with pytest.raises(
        InputError, match=f"^the layers are Embedding {V} → .*, which is not a network that create_char"
    ):
        model_config(Model(layers, rng))


@pytest.mark.parametrize("name", ["reset_after", "mogrifier"])
def test_an_option_of_the_gru_is_one_of_every_gru(name):
    model = create_char_rnn_model(V, np.random.default_rng(0), num_layers=2, hidden_dim=5, **{name: True})
    assert model.layers[1:3] == (GRU(16, 5, **{name: True}), GRU(5, 5, **{name: True}))
    for cell in ("lstm", "rnn"):
        with pytest.raises(InputError, match=f"^{name} is True; with cell '{cell}' it must be False: only a GRU has"):
            ModelConfig(cell=cell, **{name: True})


def test_more_characters_follow_in_the_order_of_the_other_vocabulary():
    vectorizer = TextVectorizer("zay").extended(TextVectorizer("cabyxz"))
    assert vectorizer.vocabulary == "zaycbx"
    assert TextVectorizer("zay").extended(TextVectorizer("az")).vocabulary == "zay"


def test_the_example_compares_both_ways_to_begin(monkeypatch, rng):
    example = import_example("finetune")
    monkeypatch.setattr(example, "SETTINGS", dict(num_epochs=2, window_size=10, stride=10, workers=1))
    known = TextVectorizer("ab")
    model = create_char_rnn_model(2, rng, hidden_dim=8)
    ids = known.encode("ab" * 200)
    model.fit(ids, ids, rng=rng, num_epochs=40, window_size=10, stride=10, workers=1, learning_rate=0.02)
    new, fresh, further = example.compare(ModelFile(model, known, {}, {}), "ab" * 200 + "c")
    assert new == "c" and len(fresh) == len(further) == 3
    assert further[0] < 0.3 < fresh[0] and all(np.isfinite(fresh + further))
