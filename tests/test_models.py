"""Models: one flat vector behind all layers, gradients through the chain, state as a value, layers of one's own."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.gru import GRU
from charrnn.layers import Dense, Embedding, LastStep, TiedDense
from charrnn.lstm import LSTM
from charrnn.models import Model, create_char_rnn_model
from charrnn.parts import batch_work, loss_and_gradient
from charrnn.preprocessing import TextVectorizer
from charrnn.simple_rnn import SimpleRNN
from charrnn.storage import ModelFile, load_model, save_model
from tests.gradients import central_differences, check_layer, check_projection

V = 6


@dataclass(frozen=True)
class LeakyAverage:
    """A layer of one's own, written as `charrnn.models.Layer` describes: h_t = a ∘ h_{t-1} + (1 - a) ∘ x_t."""

    dim: int

    @property
    def input_dim(self):
        return self.dim

    @property
    def output_dim(self):
        return self.dim

    @property
    def state_dims(self):
        return {"h": self.dim}

    def shapes(self):
        return {"a": (self.dim,)}

    def init(self, p, rng):
        p.a[...] = rng.uniform(0.5, 1, p.a.shape)

    def work(self, T, B, dtype):
        return SimpleNamespace(
            h=np.empty((T + 1, B, self.dim), dtype),
            dh=np.empty((B, self.dim), dtype),
            dx=np.empty((T, B, self.dim), dtype),
        )

    def forward(self, p, x, work):
        for t in range(len(x)):
            work.h[t + 1] = p.a * work.h[t] + (1 - p.a) * x[t]
        return work.h[1:]

    def backward(self, p, grad, x, dy, work):
        grad.a[...] = 0
        work.dh[...] = 0
        for t in reversed(range(len(x))):
            work.dh += dy[t]
            grad.a += (work.dh * (work.h[t] - x[t])).sum(axis=0)
            work.dx[t] = work.dh * (1 - p.a)
            work.dh *= p.a
        return work.dx


def random_batch(rng, T, B, V=V):
    return rng.integers(V, size=(T, B)), rng.integers(V, size=(T, B))


CHAINS = pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, 3), GRU(3, 4), Dense(4, V)],
        [Embedding(V, 3), GRU(3, 4, reset_after=True), GRU(4, 3), Dense(3, V)],
        [Embedding(V, 3), SimpleRNN(3, 4), Dense(4, 5, "relu"), Dense(5, V)],
        [Embedding(V, 3), LSTM(3, 4), LSTM(4, 3), Dense(3, V)],
        [Embedding(V, 3), GRU(3, 4), LastStep(4), Dense(4, V)],
        [Embedding(V, 3), LeakyAverage(3), Dense(3, V)],
        [Embedding(V, 3, tied=True), GRU(3, 4), Dense(4, 3), TiedDense(3, V)],
    ],
    ids=lambda layers: "-".join(type(layer).__name__ for layer in layers),
)


@CHAINS
def test_gradient_of_the_whole_chain(layers, rng):
    model = Model(layers, rng, np.float64)
    model.parameters[...] = rng.normal(0, 0.5, model.parameters.shape)
    x, y = random_batch(rng, 5, 3)
    work = batch_work(model, 5, 3)
    loss_and_gradient(model, x, y, work)
    gradient = model.gradient.copy()
    numeric = central_differences(lambda: loss_and_gradient(model, x, y, work), model.parameters)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-9)


@CHAINS
@pytest.mark.parametrize("with_state", [False, True])
def test_the_stepper_equals_the_forward_pass(layers, with_state, rng):
    model = Model(layers, rng, np.float64)
    model.parameters[...] = rng.normal(0, 0.5, model.parameters.shape)
    ids = rng.integers(V, size=(6, 3))
    before = None
    if with_state:
        before = [{n: rng.normal(size=(3, d)) for n, d in getattr(layer, "state_dims", {}).items()} for layer in layers]
    step = model.stepper(3, before)
    for t in range(6):
        expected = model.forward(ids[: t + 1], model.work(t + 1, 3), before)[-1]
        np.testing.assert_allclose(step(ids[t]), expected, rtol=1e-9)

    shared = before and [{name: h[:1] for name, h in of_layer.items()} for of_layer in before]
    alone, together = model.stepper(1, shared), model.stepper(2, shared)
    for id in ids[:, 0]:
        np.testing.assert_allclose(together(np.array([id, id])), np.tile(alone(id), (2, 1)), rtol=1e-9)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("B", [1, 64])
def test_the_stepper_at_full_size_in_float32(cell, B, rng):
    model = create_char_rnn_model(65, rng, cell=cell, num_layers=2)
    ids = rng.integers(65, size=(20, B))
    expected = model.forward(ids, model.work(20, B))
    step = model.stepper(B)
    for of_step, logits in zip(ids, expected):
        np.testing.assert_allclose(step(of_step if B > 1 else of_step[0]), logits, atol=1e-5)


def test_steppers_do_not_disturb_one_another(rng):
    model = create_char_rnn_model(V, rng, embedding_dim=3, hidden_dim=4)
    one, other = model.stepper(1), model.stepper(1)
    expected = one(2).copy()
    one(3)
    np.testing.assert_array_equal(other(2), expected)


def test_the_stepper_does_not_change_the_state_that_it_starts_from(rng):
    model = Model([Embedding(V, 3), LSTM(3, 4), Dense(4, V)], rng)
    state = [{}, {"h": np.ones((1, 4), np.float32), "c": np.ones((1, 4), np.float32)}, {}]
    model.stepper(1, state)(2)
    assert all((h == 1).all() for h in state[1].values())


def test_the_stepper_of_a_chain_without_memory(rng):
    model = Model([Embedding(V, 3), Dense(3, 4, "tanh"), Dense(4, V)], rng)
    ids = rng.integers(V, size=(3, 2))
    expected, step = model.forward(ids, model.work(3, 2)), model.stepper(2)
    for of_step, logits in zip(ids, expected):
        np.testing.assert_allclose(step(of_step), logits, rtol=1e-6)
    np.testing.assert_allclose(model.stepper(1)(ids[0, 0]), expected[0, :1], rtol=1e-6)


@dataclass(frozen=True)
class CountedIds(LeakyAverage):
    """h_t = how often each id has come so far: a layer of one's own with a state, at the beginning of the chain."""

    def forward(self, p, x, work):
        for t, ids in enumerate(x):
            work.h[t + 1] = work.h[t] + np.eye(self.dim)[ids]
        return work.h[1:]


def test_the_stepper_of_a_chain_that_begins_with_a_state(rng):
    model = Model([CountedIds(V), Dense(V, V)], rng, np.float64)
    ids = rng.integers(V, size=(4, 3))
    expected, step = model.forward(ids, model.work(4, 3)), model.stepper(3)
    alone = model.stepper(1)
    for of_step, logits in zip(ids, expected):
        np.testing.assert_allclose(step(of_step), logits)
        np.testing.assert_allclose(alone(of_step[0]), logits[:1])


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_gradient_of_the_standard_model_at_full_size(cell, rng):
    model = create_char_rnn_model(65, rng, cell=cell, dtype=np.float64)
    x, y = random_batch(rng, 50, 32, V=65)
    work = batch_work(model, 50, 32)
    loss_and_gradient(model, x, y, work)
    gradient = model.gradient.copy()
    check_projection(lambda: loss_and_gradient(model, x, y, work), model.parameters, gradient, rng)


def test_a_layer_of_ones_own(rng, tmp_path):
    check_layer(LeakyAverage(3), rng)
    model = Model([Embedding(3, 4), LeakyAverage(4), Dense(4, 3)], rng)
    ids = np.tile(np.arange(3), 100)
    history = model.fit(ids, ids, rng=rng, num_epochs=20, window_size=10, stride=10)
    assert history[-1]["validation_loss"] < history[0]["validation_loss"] < np.log(3) + 0.1
    path = tmp_path / "model.npz"
    save_model(path, ModelFile(model, TextVectorizer("abc"), {}, {}))
    with pytest.raises(InputError, match="there is a layer 'LeakyAverage'"):
        load_model(path)
    np.testing.assert_array_equal(load_model(path, [LeakyAverage]).model.predict(ids), model.predict(ids))


def test_the_standard_model_is_embedding_gru_dense(rng):
    model = create_char_rnn_model(65, rng)
    assert model.layers == (Embedding(65, 16), GRU(16, 128), Dense(128, 65))
    assert model.dtype == np.float32
    assert len(model.parameters) == 65 * 16 + 3 * (16 * 128 + 128 * 128 + 128) + 128 * 65 + 65


def test_parameters_are_views_of_one_vector(rng):
    model = create_char_rnn_model(V, rng, embedding_dim=2, hidden_dim=3)
    names = [name for name, _ in model.named_parameters()]
    assert names == [
        "0.embedding.table",
        "1.gru.kernel",
        "1.gru.recurrent_kernel",
        "1.gru.bias",
        "2.dense.kernel",
        "2.dense.bias",
    ]
    model.parameters[...] = np.arange(len(model.parameters))
    flat = np.concatenate([view.ravel() for _, view in model.named_parameters()])
    np.testing.assert_array_equal(flat, model.parameters)


def test_one_seed_one_model():
    first, again, other = (create_char_rnn_model(V, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.parameters, again.parameters)
    assert (first.parameters != other.parameters).any()


def test_state_is_zero_unless_passed_and_two_passes_with_it_equal_one(rng):
    model = create_char_rnn_model(V, rng, hidden_dim=8, dtype=np.float64)
    model.parameters[...] = rng.normal(0, 0.5, model.parameters.shape)
    ids = rng.integers(V, size=(9, 2))
    whole = model.predict(ids)
    np.testing.assert_array_equal(model.predict(ids), whole)
    work = model.work(4, 2)
    model.forward(ids[:4], work)
    np.testing.assert_allclose(model.predict(ids[4:], model.final_state(work)), whole[4:], rtol=1e-12)
    assert np.abs(model.predict(ids[4:]) - whole[4:]).max() > 1e-3


def test_predict_gives_distributions_for_one_sequence_or_many(rng):
    model = create_char_rnn_model(V, rng, hidden_dim=8)
    ids = rng.integers(V, size=(9, 2))
    many = model.predict(ids)
    assert many.shape == (9, 2, V)
    np.testing.assert_allclose(many.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.predict(ids[:, 0]), many[:, 0], rtol=1e-5)


def test_predict_gives_one_distribution_a_sequence_where_only_the_last_step_is_kept(rng):
    layers = [Embedding(V, 3), GRU(3, 4), Dense(4, V)]
    model = Model(layers, rng)
    last = model.with_layers([*layers[:2], LastStep(4), layers[2]])
    ids = rng.integers(V, size=(9, 2))
    np.testing.assert_array_equal(last.predict(ids), model.predict(ids)[-1:])
    one = last.predict(ids[:, 0])
    assert one.shape == (1, V)
    np.testing.assert_allclose(one, last.predict(ids)[:, 0], rtol=1e-5)


@pytest.mark.parametrize("shape", [(9,), (9, 2)])
def test_predict_refuses_ids_that_the_model_does_not_know(shape, rng):
    model = create_char_rnn_model(V, rng, hidden_dim=8)
    ids = np.full(shape, V - 1)
    model.predict(ids)
    ids[4] = V
    with pytest.raises(InputError, match=f"^ids go from [0-9] to {V}; the model knows those from 0 to {V - 1}$"):
        model.predict(ids)


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_a_final_state_outlives_further_passes_in_its_workspace(cell, rng):
    model = create_char_rnn_model(V, rng, hidden_dim=8, cell=cell)
    work = model.work(4, 2)
    model.forward(rng.integers(V, size=(4, 2)), work)
    state = model.final_state(work)
    kept = state[1]["h"].copy()
    model.forward(rng.integers(V, size=(4, 2)), work, state)
    np.testing.assert_array_equal(state[1]["h"], kept)
    assert (model.final_state(work)[1]["h"] != kept).any()


@pytest.mark.parametrize("size", [0, 9, 11])
def test_a_vector_of_another_length_is_refused(size):
    with pytest.raises(InputError, match=f"^Model: there are {size} parameters; these layers need 10$"):
        Model.from_parameters([Dense(4, 2)], np.zeros(size))


def test_neighbours_must_fit(rng):
    with pytest.raises(InputError, match="^Model: Dense has input_dim 5; it must be 4, the output_dim of the GRU"):
        Model([Embedding(V, 3), GRU(3, 4), Dense(5, V)], rng)
    with pytest.raises(InputError, match="^Model: layers is empty"):
        Model([], rng)


def test_an_unknown_cell_is_refused(rng):
    with pytest.raises(InputError, match="^cell is 'transformer'; it must be one of gru, lstm, rnn$"):
        create_char_rnn_model(V, rng, cell="transformer")


def test_layers_on_top_of_each_other(rng):
    model = create_char_rnn_model(65, rng, cell="lstm", num_layers=3, hidden_dim=20, embedding_dim=7)
    assert model.layers == (Embedding(65, 7), LSTM(7, 20), LSTM(20, 20), LSTM(20, 20), Dense(20, 65))
    with pytest.raises(InputError, match="^num_layers is 0; it must be an integer of at least 1$"):
        create_char_rnn_model(65, rng, num_layers=0)


@pytest.mark.parametrize(("hidden_dim", "between"), [(16, []), (20, [Dense(20, 16)])])
def test_tied_weights_predict_with_the_table_of_the_embedding(hidden_dim, between, rng, tmp_path):
    model = create_char_rnn_model(65, rng, hidden_dim=hidden_dim, tie_weights=True)
    assert model.layers == (Embedding(65, 16, tied=True), GRU(16, hidden_dim), *between, TiedDense(16, 65))
    assert model.p[-1].table is model.p[0].table
    names = [name for name, _ in model.named_parameters()]
    assert names[0] == "0.embedding.table" and names[-1] == f"{2 + len(between)}.tieddense.bias"
    assert sum(view.size for _, view in model.named_parameters()) == len(model.parameters)

    vectorizer = TextVectorizer("".join(map(chr, range(48, 48 + 65))))
    save_model(tmp_path / "model.npz", ModelFile(model, vectorizer, {}, {}))
    loaded, ids = load_model(tmp_path / "model.npz").model, rng.integers(65, size=9)
    assert loaded.layers == model.layers
    np.testing.assert_array_equal(loaded.predict(ids), model.predict(ids))


@pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, 3, tied=True), GRU(3, 3), Dense(3, V)],
        [Embedding(V, 3), GRU(3, 3), TiedDense(3, V)],
        [Embedding(V, 3, tied=True), GRU(3, 3), TiedDense(3, V + 1)],
        [Dense(V, 3), GRU(3, 3), TiedDense(3, V)],
        [Embedding(V, 3, tied=True), TiedDense(3, V), Dense(V, 3), TiedDense(3, V)],
    ],
    ids=str,
)
def test_ties_that_do_not_fit_are_refused(layers, rng):
    with pytest.raises(InputError, match="^Model: later layers share .* which must then be tied, and not otherwise$"):
        Model(layers, rng)


def test_weight_decay_is_for_all_parameters_but_biases(rng):
    model = Model([Embedding(5, 3), GRU(3, 4, reset_after=True), LSTM(4, 4), Dense(4, 5)], rng)
    decayed = Model.from_parameters(model.layers, model.decayed())
    for name, view in decayed.named_parameters():
        assert (view == ("bias" not in name)).all()
