"""Training with a `Lookup`: the same logits, gradients and parameters as without."""

import numpy as np
import pytest

import charrnn.training.network
import charrnn.training.trainer
from charrnn.config import TrainingConfig
from charrnn.gradient_checking import central_differences
from charrnn.layers import GRU, LSTM, Dense, DropoutMasks, Embedding, SimpleRNN, TiedDense
from charrnn.layers.projection import Lookup, LookupEmbedding, lookup_is_faster
from charrnn.models import Model, create_char_rnn_model
from charrnn.network import Network
from charrnn.optimizers import SGD
from charrnn.training.network import training_network
from charrnn.training.shard import Shard
from tests.networks import layer_names, random_network

V, D = 6, 4
T, B = 5, 3
IDS = np.random.default_rng(3).integers(V - 1, size=(T + 1, B))  # the last id does not occur
CHAINS = pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, D), GRU(D, 3), Dense(3, V)],
        [Embedding(V, D), GRU(D, 3, reset_after=True), Dense(3, V)],
        [Embedding(V, D), GRU(D, 3, mogrifier=True), Dense(3, V)],
        [Embedding(V, D), LSTM(D, 3), GRU(3, 3), Dense(3, V)],
        [Embedding(V, D, tied=True), GRU(D, D), TiedDense(D, V)],
    ],
    ids=layer_names,
)


def with_lookup(network):
    """The same parameters behind an embedding that hands on a `Lookup`."""
    embedding, *others = network.layers
    return Network([LookupEmbedding(**vars(embedding)), *others], network.parameters)


def loss_of(network):
    return Shard(network).loss_and_gradient(IDS[:-1], IDS[1:])[0]


@CHAINS
def test_a_lookup_gives_the_same_logits_and_gradients(layers, rng):
    network = random_network(layers, rng)
    other = with_lookup(network)
    other.gradient[...] = np.nan
    logits = [n.forward(IDS, n.allocate(T + 1, B)) for n in (network, other)]
    np.testing.assert_allclose(*logits, rtol=1e-12, atol=1e-14)
    for _ in range(2):  # nothing is left from the batch before
        assert loss_of(other) == pytest.approx(loss_of(network), rel=1e-14)
        np.testing.assert_allclose(other.gradient, network.gradient, rtol=1e-10, atol=1e-15)


@CHAINS
def test_gradients_agree_with_central_differences(layers, rng):
    network = with_lookup(random_network(layers, rng))
    loss_of(network)
    gradient = network.gradient.copy()
    numerical = central_differences(lambda: loss_of(network), network.parameters)
    np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-8)


def test_an_id_that_does_not_occur_has_no_gradient(rng):
    network = with_lookup(create_char_rnn_model(V, rng, embedding_dim=D, hidden_dim=3))
    loss_of(network)
    assert not network.grad[0].table[V - 1].any() and network.grad[0].table[: V - 1].any(axis=1).all()


def test_a_lookup_holds_ids_table_and_one_hot_rows(rng):
    network = with_lookup(random_network([Embedding(V, D), GRU(D, 3), Dense(3, V)], rng))
    layer, p = network.layers[0], network.p[0]
    lookup = layer.forward(p, IDS.astype(np.uint8), layer.allocate(T + 1, B, np.float64))
    assert isinstance(lookup, Lookup) and lookup.table is p.table
    np.testing.assert_array_equal(lookup.ids, IDS)
    np.testing.assert_array_equal(lookup.one_hot, np.eye(V)[IDS.reshape(-1)])


@pytest.mark.parametrize(
    ("vocabulary_size", "embedding_dim", "expected"), [(65, 16, True), (200, 16, False), (200, 64, True)]
)
def test_a_lookup_is_faster_where_the_vocabulary_is_small_or_the_embedding_wide(
    vocabulary_size, embedding_dim, expected
):
    assert lookup_is_faster(Embedding(vocabulary_size, embedding_dim)) is expected


class OwnEmbedding(Embedding):
    """An embedding of one's own, which may do anything."""


@pytest.mark.parametrize(
    ("layers", "first"),
    [
        ([Embedding(V, D), GRU(D, 3), Dense(3, V)], LookupEmbedding),
        ([Embedding(V, D), LSTM(D, 3), Dense(3, V)], LookupEmbedding),
        ([Embedding(V, D, tied=True), GRU(D, D), TiedDense(D, V)], LookupEmbedding),
        ([Embedding(300, D), GRU(D, 3), Dense(3, 300)], Embedding),
        ([Embedding(V, D), SimpleRNN(D, 3), Dense(3, V)], Embedding),
        ([Embedding(V, D), Dense(D, D), GRU(D, 3), Dense(3, V)], Embedding),
        ([OwnEmbedding(V, D), GRU(D, 3), Dense(3, V)], OwnEmbedding),
        ([Embedding(V, V)], Embedding),
    ],
    ids=lambda value: layer_names(value) if isinstance(value, list) else value.__name__,
)
def test_only_a_plain_embedding_in_front_of_a_layer_that_accepts_it_becomes_a_lookup(layers, first, rng):
    network = random_network(layers, rng)
    trainee = training_network(network, TrainingConfig(), DropoutMasks(0))
    assert type(trainee.layers[0]) is first
    assert vars(trainee.layers[0]) == vars(layers[0])
    assert trainee.layers[1:] == tuple(layers[1:]) and network.layers == tuple(layers)
    assert trainee.parameters is network.parameters
    assert not np.shares_memory(trainee.gradient, network.gradient)


def test_an_embedding_that_no_recurrent_layer_follows_is_trained_as_it_is(rng):
    ids = np.tile(np.arange(V), 40)
    model = Model([Embedding(V, V)], rng)  # a bigram model
    settings = dict(window_size=12, stride=12, num_epochs=3, clip_norm=0, workers=1)
    history = model.fit(ids, ids, rng=rng, optimizer=SGD(learning_rate=10.0), **settings)
    assert history[-1]["validation_accuracy"] == 1


def test_an_embedding_of_one_s_own_is_trained_as_it_is_written(rng):
    seen = []

    class Scaled(Embedding):
        def forward(self, p, x, buffers):
            seen.append(x.shape)
            return super().forward(p, x, buffers)

    ids = rng.integers(V, size=100)
    model = Model([Scaled(V, D), GRU(D, 3), Dense(3, V)], rng)
    model.fit(ids, ids, rng=rng, window_size=10, stride=10, batch_size=4, num_epochs=1, workers=1)
    assert (10, 4) in seen


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("tie_weights", [False, True])
def test_training_is_the_same_with_a_lookup_and_leaves_the_model_its_layers(cell, tie_weights, rng, monkeypatch):
    ids = rng.integers(V, size=200)
    first_layers = []

    def shard(network, *args):
        first_layers.append(type(network.layers[0]))
        return Shard(network, *args)

    monkeypatch.setattr(charrnn.training.trainer, "Shard", shard)

    def trained():
        sizes = dict(embedding_dim=8, hidden_dim=5, cell=cell, tie_weights=tie_weights, dtype=np.float64)
        model = create_char_rnn_model(V, np.random.default_rng(1), **sizes)
        settings = dict(num_epochs=2, window_size=10, stride=10, batch_size=4, workers=1)
        model.fit(ids, ids, rng=np.random.default_rng(2), **settings)
        assert type(model.layers[0]) is Embedding
        return model.parameters

    with_lookup = trained()
    monkeypatch.setattr(charrnn.training.network, "lookup_is_faster", lambda embedding: False)
    np.testing.assert_allclose(with_lookup, trained(), rtol=1e-6, atol=1e-9)
    assert first_layers == ([Embedding] * 2 if cell == "rnn" else [LookupEmbedding, Embedding])
