"""Batches cut into parts for several threads: where that is done, and that it changes nothing but time."""

import tracemalloc
from functools import cache

import numpy as np
import pytest

from charrnn.gru import GRU
from charrnn.layers import Dense, Dropout, Embedding, LastStep, Masks, TiedDense
from charrnn.lstm import LSTM
from charrnn.models import Model, create_char_rnn_model
from charrnn.optimizers import Nadam, clip_by_global_norm
from charrnn.parts import batch_work, final_state, loss_and_gradient
from charrnn.projection import EmbeddingOfRows
from charrnn.simple_rnn import SimpleRNN
from charrnn.threads import at_once, threads
from tests.test_models import LeakyAverage

V = 7
CHAINS = pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, 3), GRU(3, 4), Dense(4, V)],
        [Embedding(V, 3), GRU(3, 4, reset_after=True), Dense(4, 5, "tanh"), GRU(5, 3), Dense(3, V)],
        [Embedding(V, 3), Dense(3, 5, "tanh"), GRU(5, 4), Dense(4, V)],
        [Embedding(V, 3), LSTM(3, 4), LSTM(4, 4), Dense(4, 5, "relu"), Dense(5, V)],
        [Embedding(V, 4), SimpleRNN(4, V)],
        [Embedding(V, 4, tied=True), GRU(4, 4), TiedDense(4, V)],
        [EmbeddingOfRows(V, 9), GRU(9, 4), Dense(4, V)],
    ],
    ids=lambda layers: "-".join(type(layer).__name__ for layer in layers),
)


def cuts(model, T, B, num_threads=2):
    """How many time steps and how many sequences each part has."""
    parts = batch_work(model, T, B, num_threads)
    return [(part.steps.stop - part.steps.start, part.columns.stop - part.columns.start) for part in parts]


@pytest.mark.parametrize(
    ("H", "B", "T", "expected"),
    [
        (128, 32, 100, [(50, 32)] * 2),
        (128, 32, 49, [(25, 32), (24, 32)]),
        (128, 32, 48, [(48, 32)]),
        (64, 32, 98, [(49, 32)] * 2),
        (64, 32, 97, [(97, 32)]),
        (500, 1, 400, [(200, 1)] * 2),
        (256, 64, 100, [(100, 32)] * 2),
        (256, 41, 100, [(100, 21), (100, 20)]),
        (256, 39, 100, [(50, 39)] * 2),
    ],
)
def test_large_batches_are_cut_into_sequences_middling_ones_into_pieces_of_time(H, B, T, expected, rng):
    model = create_char_rnn_model(V, rng, hidden_dim=H)
    assert cuts(model, T, B) == expected
    assert cuts(model, T, B, num_threads=1) == [(T, B)]


@pytest.mark.parametrize("layer", [LastStep(128), LeakyAverage(128)], ids=str)
def test_chains_that_can_not_be_cut_in_time_stay_whole(layer, rng):
    plain, other = [Embedding(V, 8), GRU(8, 128), Dense(128, V)], [Embedding(V, 8), GRU(8, 128), layer, Dense(128, V)]
    assert len(cuts(Model(plain, rng), 100, 32)) == 2
    assert cuts(Model(other, rng), 100, 32) == [(100, 32)]
    assert cuts(Model([Embedding(V, 128), Dense(128, V)], rng), 100, 32) == [(100, 32)]


def test_a_wide_layer_does_not_cut_a_batch_into_more_parts_than_it_has_columns(rng):
    model = Model([Embedding(2, 9000), LeakyAverage(9000), Dense(9000, 2)], rng)
    assert cuts(model, 3, 1, num_threads=4) == [(3, 1)]
    assert cuts(model, 3, 2, num_threads=4) == [(3, 1)] * 2


def in_time(monkeypatch):
    monkeypatch.setattr("charrnn.parts.NUMBERS_A_THREAD", 1)


def in_sequences(monkeypatch):
    monkeypatch.setattr("charrnn.parts.MULTIPLY_ADDS_A_THREAD", 1)


def when_waited_for(call):
    """Other threads that never get to anything: whatever nobody waits for is not made."""
    return cache(call)


def with_dropout(layers):
    return [*layers[:-1], Dropout(layers[-1].input_dim, 0.4, Masks(9)), layers[-1]]


@CHAINS
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("cut", [in_time, in_sequences])
def test_parts_give_the_loss_the_gradient_and_the_state_of_the_whole(
    layers, with_state, dropout, cut, monkeypatch, rng
):
    T, B = 11, 5
    layers = with_dropout(layers) if dropout else layers
    model = Model(layers, rng, np.float64)
    model.parameters[...] = rng.normal(0, 0.5, model.parameters.shape)
    ids, before = rng.integers(V, size=(T + 1, B)), None
    if with_state:
        before = [{n: rng.normal(size=(B, d)) for n, d in getattr(layer, "state_dims", {}).items()} for layer in layers]
    whole = batch_work(model, T, B)
    expected_loss = loss_and_gradient(model, ids[:-1], ids[1:], whole, before)
    expected, expected_state = model.gradient.copy(), final_state(model, whole, B)

    cut(monkeypatch)
    parts = batch_work(model, T, B, num_threads=3)
    assert len(parts) == 3 and len({part.share for part in parts}) == 2  # they are not of one size
    with threads(len(parts)) as in_threads:
        for beside in (in_threads, in_threads, at_once, when_waited_for):
            for part in parts:
                part.model.gradient[...] = np.nan
            loss = loss_and_gradient(model, ids[:-1], ids[1:], parts, before, beside)
            np.testing.assert_allclose(loss, expected_loss, rtol=1e-12)
            np.testing.assert_allclose(model.gradient, expected, atol=1e-13)
    for of_layer, expected_of_layer in zip(final_state(model, parts, B), expected_state):
        assert of_layer.keys() == expected_of_layer.keys()
        for name, value in of_layer.items():
            np.testing.assert_allclose(value, expected_of_layer[name], rtol=1e-12)


class Failing(Dense):
    def deferred_gradients(self, grad, x, dy, work):
        return [lambda: 1 / 0]


@pytest.mark.parametrize("cut", [in_time, in_sequences])
def test_an_error_in_a_gradient_left_for_later_comes_out(cut, monkeypatch, rng):
    cut(monkeypatch)
    model, ids = Model([Embedding(V, 3), GRU(3, 4), Failing(4, V)], rng), rng.integers(V, size=(12, 4))
    parts = batch_work(model, 11, 4, num_threads=3)
    with pytest.raises(ZeroDivisionError), threads(len(parts)) as beside:
        loss_and_gradient(model, ids[:-1], ids[1:], parts, beside=beside)


@pytest.mark.parametrize("cut", [in_time, in_sequences])
def test_dropout_is_undone_backwards_in_every_part(cut, monkeypatch):
    """With a linear chain and no loss but the sum, masks forwards and backwards must be the same: so the gradient of
    the embedding is zero just where nothing of it has come through."""
    cut(monkeypatch)
    rng = np.random.default_rng(0)
    layers = [Embedding(V, 4), GRU(4, 4), Dropout(4, 0.9, Masks(1)), Dense(4, V)]
    model = Model(layers, rng, np.float64)
    ids = rng.integers(V, size=(12, 4))
    parts = batch_work(model, 11, 4, num_threads=3)
    with threads(len(parts)) as beside:
        loss_and_gradient(model, ids[:-1], ids[1:], parts, beside=beside)
    masks = [part.work.layers[2].mask for part in parts]
    outputs = [part.work.layers[2].y for part in parts]
    assert len({mask.tobytes() for mask in masks}) == 3
    for part, mask, output in zip(parts, masks, outputs):
        assert mask.any() and not mask.all()
        np.testing.assert_array_equal(output, part.work.layers[1].h[1:] * mask)
        assert not part.work.layers[2].dx[mask == 0].any() and part.work.layers[2].dx[mask != 0].all()


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("options", [{}, {"reset_after": True}], ids=str)
@pytest.mark.parametrize("embedding", [Embedding(9, 4), EmbeddingOfRows(9, 4)], ids=str)
@pytest.mark.parametrize("B", [512, 2**15], ids=["one part, or pieces of time", "one part, or two"])
def test_a_step_after_the_first_allocates_nothing_that_grows_with_the_batch(num_threads, options, embedding, B, rng):
    recurrent = [GRU(4, 8, **options), LSTM(8, 8), SimpleRNN(8, 8)]
    layers = [embedding, *recurrent, Dropout(8, 0.5, Masks(1)), Dense(8, 6, "tanh"), Dense(6, 9)]
    model = Model(layers, rng)
    optimizer = Nadam()
    memory = optimizer.state(model.parameters)

    def peak(T):
        parts, peaks = batch_work(model, T, B, num_threads), []
        ids = rng.integers(9, size=(T + 1, B)).astype(np.uint8)
        with threads(len(parts)) as beside:
            for _ in range(2):
                tracemalloc.start()
                loss_and_gradient(model, ids[:-1], ids[1:], parts, beside=beside)
                clip_by_global_norm(model.gradient, 1.0)
                optimizer.update(model.parameters, model.gradient, memory)
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
        return peaks[1]

    T = 2**16 // B
    small, large = peak(T), peak(3 * T)  # NumPy's buffers hold 8192 numbers at most
    assert large - small < T * B  # not even a byte for each position
