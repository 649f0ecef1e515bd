"""Shards of a batch: their losses, gradients and states add up to those of the whole batch, dropout included."""

import tracemalloc

import numpy as np
import pytest

from charrnn.layers import GRU, LSTM, Dense, Dropout, DropoutMasks, Embedding, LastStep, SimpleRNN, TiedDense
from charrnn.layers.projection import LookupEmbedding
from charrnn.network import Network
from charrnn.optimizers import Nadam, clip_by_global_norm
from charrnn.parallel.workers import ALONE, Workers
from charrnn.training.shard import Shard
from tests.networks import LeakyAverage, layer_id, layer_names, random_network, random_state

V = 7
T, B = 11, 5
CHAINS = pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, 3), GRU(3, 4), Dense(4, V)],
        [Embedding(V, 3), GRU(3, 4, reset_after=True), Dense(4, 5, "tanh"), GRU(5, 3), Dense(3, V)],
        [Embedding(V, 3), Dense(3, 5, "tanh"), GRU(5, 4), Dense(4, V)],
        [LookupEmbedding(V, 3), GRU(3, 4, mogrifier=True), Dense(4, V)],
        [Embedding(V, 3), LSTM(3, 4), LSTM(4, 4), Dense(4, 5, "relu"), Dense(5, V)],
        [Embedding(V, 4), SimpleRNN(4, V)],
        [Embedding(V, 4, tied=True), GRU(4, 4), TiedDense(4, V)],
        [LookupEmbedding(V, 9), GRU(9, 4), Dense(4, V)],
        [LookupEmbedding(V, 4, tied=True), LSTM(4, 4), TiedDense(4, V)],
        [Embedding(V, 3), LeakyAverage(3), Dense(3, V)],
        [Embedding(V, 3), GRU(3, 4), LastStep(4), Dense(4, V)],
    ],
    ids=layer_names,
)


def new_shard(layers, parameters, rank, size, dropout=0.0):
    """A worker's shard: a network of its own on its own copy of the parameters, and masks with the common seed."""
    masks = DropoutMasks(seed=9)
    masks.step = 3
    if dropout:
        layers = [*layers[:-1], Dropout(layers[-1].input_dim, dropout, masks), layers[-1]]
    return Shard(Network(layers, parameters.copy()), Workers(rank, size))


def sum_over_workers(shards, x, y, state):
    """Loss, gradient and final state of a batch, summed over the shards of all workers."""
    loss, gradient, final_state = 0.0, 0.0, None
    for shard in shards:
        shard.network.gradient[...] = np.nan
        own_loss, own_state = shard.loss_and_gradient(x, y, state)
        loss += own_loss
        gradient = gradient + shard.network.gradient
        final_state = own_state if final_state is None else add(final_state, own_state)
    return loss, gradient, final_state


def add(one, other):
    return [{name: h + b[name] for name, h in a.items()} for a, b in zip(one, other)]


@CHAINS
@pytest.mark.parametrize("size", [2, 3, B + 2])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("with_state", [False, True])
def test_shards_add_up_to_the_whole_batch(layers, with_state, dropout, size, rng):
    parameters = random_network(layers, rng).parameters
    ids = rng.integers(V, size=(T + 1, B))
    x, y = ids[:-1], ids[1:]
    alone = new_shard(layers, parameters, 0, 1, dropout)
    state = random_state(alone.network.layers, B, rng) if with_state else None
    loss, gradient, final_state = sum_over_workers([alone], x, y, state)
    assert loss > 0 and np.abs(gradient).max() > 0

    shards = [new_shard(layers, parameters, rank, size, dropout) for rank in range(size)]
    for _ in range(2):  # nothing is left from the batch before
        total, summed, final = sum_over_workers(shards, x, y, state)
        np.testing.assert_allclose(total, loss, rtol=1e-12)
        np.testing.assert_allclose(summed, gradient, atol=1e-13)
        for own, expected in zip(final, final_state):
            assert own.keys() == expected.keys()
            for name, h in own.items():
                np.testing.assert_allclose(h, expected[name], rtol=1e-12)


@CHAINS
def test_a_worker_alone_computes_what_the_network_does(layers, rng):
    network = random_network(layers, rng)
    ids, state = rng.integers(V, size=(T + 1, B)), random_state(layers, B, rng)
    loss, final_state = Shard(network).loss_and_gradient(ids[:-1], ids[1:], state)
    buffers = network.allocate(T, B)
    logits = network.forward(ids[:-1], buffers, state)
    targets = ids[1:][-len(logits) :]
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=-1, keepdims=True)
    expected = -np.log(np.take_along_axis(probabilities, targets[..., None], axis=-1)).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-12)
    for own, of_network in zip(final_state, network.final_state(buffers)):
        for name, h in own.items():
            np.testing.assert_array_equal(h, of_network[name])


def test_losses_are_summed_in_double_precision(rng):
    """Every loss is the same number in float32, and so is their mean; their sum in float32 is rounded."""
    layers = [Embedding(5, 3), Dense(3, 5)]
    network = Network(layers, np.zeros(len(random_network(layers, rng).parameters), np.float32))
    loss, _ = Shard(network).loss_and_gradient(*rng.integers(5, size=(2, 43, 7)))
    assert loss == pytest.approx(float(np.log(np.float32(5))), rel=1e-12)


@pytest.mark.parametrize("size", [2, 3, B + 2])
def test_the_state_of_a_shard_is_zero_in_the_rows_of_other_workers(size, rng):
    layers = [Embedding(V, 3), LSTM(3, 4), Dense(4, V)]
    parameters = random_network(layers, rng).parameters
    ids = rng.integers(V, size=(T + 1, B))
    for rank in range(size):
        shard = new_shard(layers, parameters, rank, size)
        columns = shard.workers.shard(B)
        _, state = shard.loss_and_gradient(ids[:-1], ids[1:])
        assert [set(of_layer) for of_layer in state] == [set(), {"h", "c"}, set()]
        for h in state[1].values():
            assert h.shape == (B, 4) and h.dtype == np.float64
            assert h[columns].all()
            assert not np.delete(h, np.arange(B)[columns], axis=0).any()


def test_a_worker_without_sequences_adds_nothing(rng):
    layers = [Embedding(V, 3), GRU(3, 4), Dense(4, V)]
    shard = new_shard(layers, random_network(layers, rng).parameters, 2, 3)
    shard.network.gradient[...] = np.nan
    ids = rng.integers(V, size=(T + 1, 2))
    loss, state = shard.loss_and_gradient(ids[:-1], ids[1:], random_state(layers, 2, rng))
    assert loss == 0 and not shard.network.gradient.any()
    assert state[1]["h"].shape == (2, 4) and not state[1]["h"].any()
    assert not shard.buffers


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_batches_of_other_shapes_may_come_in_between(dropout, rng):
    layers = [Embedding(V, 3), GRU(3, 4), Dense(4, V)]
    parameters = random_network(layers, rng).parameters
    shards = [new_shard(layers, parameters, rank, 3, dropout) for rank in range(3)]
    for shape in ((T, B), (T, 2), (4, B), (T, B), (T, 1)):
        x, y = rng.integers(V, size=(2, *shape))
        loss, gradient, _ = sum_over_workers([new_shard(layers, parameters, 0, 1, dropout)], x, y, None)
        total, summed, _ = sum_over_workers(shards, x, y, None)
        np.testing.assert_allclose(total, loss, rtol=1e-12)
        np.testing.assert_allclose(summed, gradient, atol=1e-13)
    assert set(shards[0].buffers) == {(T, 2), (T, 1), (4, 2)}  # made once for each shape of the shard


@pytest.mark.parametrize("workers", [ALONE, Workers(1, 2)], ids=["alone", "second of two"])
def test_the_loss_and_the_gradient_of_the_last_targets_ignore_all_others(workers, rng):
    layers = [Embedding(V, 3), GRU(3, 4), LastStep(4), Dense(4, V)]
    network = random_network(layers, rng)
    x, y = rng.integers(V, size=(2, T, B))
    shard = Shard(network, workers)
    loss, _ = shard.loss_and_gradient(x, y)
    gradient = network.gradient.copy()
    y[:-1] = (y[:-1] + 1) % V
    assert shard.loss_and_gradient(x, y)[0] == loss
    np.testing.assert_array_equal(network.gradient, gradient)
    y[-1] = (y[-1] + 1) % V
    assert shard.loss_and_gradient(x, y)[0] != loss


@pytest.mark.parametrize("size", [1, 3])
def test_dropout_uses_the_same_mask_backwards(size, rng):
    """Gradients pass where, and only where, the activations did; and each shard has masks of its own."""
    layers = [Embedding(V, 4), GRU(4, 4), Dense(4, V)]
    parameters = random_network(layers, rng).parameters
    ids, seen = rng.integers(V, size=(T + 1, B)), []
    for rank in range(size):
        shard = new_shard(layers, parameters, rank, size, dropout=0.9)
        shard.loss_and_gradient(ids[:-1], ids[1:])
        [(buffers, _)] = shard.buffers.values()
        gru, dropout = buffers.layers[1], buffers.layers[2]
        mask = dropout.mask
        assert mask.any() and not mask.all()
        np.testing.assert_array_equal(dropout.y, gru.h[1:] * mask)
        assert not dropout.dx[mask == 0].any() and dropout.dx[mask != 0].all()
        seen += [column.tobytes() for column in mask.swapaxes(0, 1)]
    assert len(seen) == len(set(seen)) == B


def test_the_gradient_of_a_shard_overwrites_the_one_before(rng):
    network = random_network([Embedding(V, 3), LSTM(3, 4), Dense(4, V)], rng)
    shard = Shard(network)
    x, y = rng.integers(V, size=(2, T, B))
    losses, gradients = [], []
    for _ in range(2):
        losses.append(shard.loss_and_gradient(x, y)[0])
        gradients.append(network.gradient.copy())
    assert losses[0] == losses[1]
    np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize("options", [{}, {"reset_after": True}, {"mogrifier": True}], ids=str)
@pytest.mark.parametrize("embedding", [Embedding(9, 4), LookupEmbedding(9, 4)], ids=layer_id)
@pytest.mark.parametrize("workers", [ALONE, Workers(1, 2)], ids=["alone", "second of two"])
def test_a_step_after_the_first_allocates_nothing_that_grows_with_the_number_of_time_steps(
    workers, options, embedding, rng
):
    B, masks = 512, DropoutMasks(1)
    recurrent = [GRU(4, 8, **options), LSTM(8, 8), SimpleRNN(8, 8)]
    layers = [embedding, *recurrent, Dropout(8, 0.5, masks), Dense(8, 6, "tanh"), Dense(6, 9)]
    network = Network(layers, random_network(layers, rng).parameters.astype(np.float32))
    optimizer = Nadam()
    optimizer_state = optimizer.state(network.parameters)

    def peak(T):
        shard, peaks = Shard(network, workers), []
        ids = rng.integers(9, size=(T + 1, B)).astype(np.uint8)
        for _ in range(2):
            tracemalloc.start()
            shard.loss_and_gradient(ids[:-1], ids[1:])
            clip_by_global_norm(network.gradient, 1.0)
            optimizer.update(network.parameters, network.gradient, optimizer_state)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        return peaks[1]

    T = 64
    small, large = peak(T), peak(3 * T)  # NumPy's own buffers hold 8192 numbers at most
    assert large - small < T * B  # not even a byte for each position
