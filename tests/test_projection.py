"""What an embedding hands on as rows: the same logits, gradients and training as if each position were looked up."""

import numpy as np
import pytest

from charrnn.gru import GRU
from charrnn.layers import Dense, Embedding, TiedDense
from charrnn.lstm import LSTM
from charrnn.models import Model, create_char_rnn_model
from charrnn.optimizers import SGD
from charrnn.parts import batch_work, loss_and_gradient
from charrnn.projection import EmbeddingOfRows, pays
from charrnn.training import fit
from tests.gradients import central_differences

V, D = 6, 4
T, B = 5, 3
IDS = np.random.default_rng(3).integers(V - 1, size=(T + 1, B))  # the last id does not occur
CHAINS = pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, D), GRU(D, 3), Dense(3, V)],
        [Embedding(V, D), GRU(D, 3, reset_after=True), Dense(3, V)],
        [Embedding(V, D), LSTM(D, 3), GRU(3, 3), Dense(3, V)],
        [Embedding(V, D, tied=True), GRU(D, D), TiedDense(D, V)],
    ],
    ids=lambda layers: "-".join(type(layer).__name__ for layer in layers),
)


def with_rows(model):
    embedding, *others = model.layers
    return model.with_layers([EmbeddingOfRows(**vars(embedding)), *others])


def loss_of(model):
    return loss_and_gradient(model, IDS[:-1], IDS[1:], batch_work(model, T, B))


@CHAINS
def test_rows_give_the_same_logits_and_gradients(layers, rng):
    model = Model(layers, rng, np.float64)
    model.parameters[...] = rng.normal(0, 0.5, model.parameters.shape)
    other = with_rows(model)
    other.gradient[...] = np.nan
    logits = [m.forward(IDS, m.work(T + 1, B)) for m in (model, other)]
    np.testing.assert_allclose(*logits, rtol=1e-12, atol=1e-14)
    for _ in range(2):  # nothing is left from the batch before
        assert loss_of(other) == pytest.approx(loss_of(model), rel=1e-14)
        np.testing.assert_allclose(other.gradient, model.gradient, rtol=1e-10, atol=1e-15)


@CHAINS
def test_gradients_agree_with_central_differences(layers, rng):
    model = with_rows(Model(layers, rng, np.float64))
    model.parameters[...] = rng.normal(0, 0.5, model.parameters.shape)
    loss_of(model)
    gradient = model.gradient.copy()
    numerical = central_differences(lambda: loss_of(model), model.parameters)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-8)


def test_an_id_that_does_not_occur_has_no_gradient(rng):
    model = with_rows(create_char_rnn_model(V, rng, embedding_dim=D, hidden_dim=3))
    loss_of(model)
    assert not model.grad[0].table[V - 1].any() and model.grad[0].table[: V - 1].any(axis=1).all()


@pytest.mark.parametrize(
    ("vocabulary_size", "embedding_dim", "expected"), [(65, 16, True), (200, 16, False), (200, 64, True)]
)
def test_rows_pay_where_the_vocabulary_is_small_or_the_embedding_wide(vocabulary_size, embedding_dim, expected):
    assert pays(Embedding(vocabulary_size, embedding_dim)) is expected


def test_an_embedding_that_no_recurrent_layer_follows_is_trained_as_it_is(rng):
    ids = np.tile(np.arange(V), 40)
    model = Model([Embedding(V, V)], rng)  # a bigram model
    history = fit(model, ids, ids, rng=rng, window_size=12, num_epochs=3, optimizer=SGD(learning_rate=10.0))
    assert history[-1]["validation_accuracy"] == 1


def test_an_embedding_of_ones_own_is_trained_as_it_is_written(rng):
    seen = []

    class Scaled(Embedding):
        def forward(self, p, x, work):
            seen.append(x.shape)
            return super().forward(p, x, work)

    ids = rng.integers(V, size=100)
    model = Model([Scaled(V, D), GRU(D, 3), Dense(3, V)], rng)
    fit(model, ids, ids, rng=rng, window_size=10, batch_size=4, num_epochs=1)
    assert (10, 4) in seen


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("tie_weights", [False, True])
def test_training_is_the_same_with_rows_and_leaves_the_model_its_layers(cell, tie_weights, rng, monkeypatch):
    ids = rng.integers(V, size=200)
    chains = []
    monkeypatch.setattr(
        "charrnn.training.batch_work",
        lambda trainee, *args: chains.append(type(trainee.layers[0])) or batch_work(trainee, *args),
    )

    def trained():
        sizes = dict(embedding_dim=8, hidden_dim=5, cell=cell, tie_weights=tie_weights, dtype=np.float64)
        model = create_char_rnn_model(V, np.random.default_rng(1), **sizes)
        fit(model, ids, ids, rng=np.random.default_rng(2), num_epochs=2, window_size=10, batch_size=4)
        assert type(model.layers[0]) is Embedding
        return model.parameters

    by_rows = trained()
    monkeypatch.setattr("charrnn.training.pays", lambda embedding: False)
    np.testing.assert_allclose(by_rows, trained(), rtol=1e-6, atol=1e-9)
    assert set(chains) == ({Embedding} if cell == "rnn" else {Embedding, EmbeddingOfRows})
