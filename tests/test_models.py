"""Models: the standard network, its predictions, and a layer of one's own that is trained and stored."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.gradient_checking import gradient_check
from charrnn.initializers import log_frequencies, random_uniform
from charrnn.layers import GRU, LSTM, Dense, Embedding, LastStep, TiedDense
from charrnn.model_file import ModelFile, load_model, save_model
from charrnn.models import Model, create_char_rnn_model
from charrnn.network import parameter_count
from charrnn.preprocessing import TextVectorizer
from tests.networks import LeakyAverage

V = 6


def test_a_layer_of_one_s_own(rng, tmp_path):
    gradient_check(LeakyAverage(3), rng)
    model = Model([Embedding(3, 4), LeakyAverage(4), Dense(4, 3)], rng)
    ids = np.tile(np.arange(3), 100)
    history = model.fit(ids, ids, rng=rng, num_epochs=20, window_size=10, stride=10, workers=1)
    assert history[-1]["validation_loss"] < history[0]["validation_loss"] < np.log(3) + 0.1
    path = tmp_path / "model.npz"
    save_model(path, ModelFile(model, TextVectorizer("abc"), {}, {}))
    with pytest.raises(InputError, match="unknown layer 'LeakyAverage'"):
        load_model(path)
    np.testing.assert_array_equal(load_model(path, [LeakyAverage]).model.predict(ids), model.predict(ids))


def test_the_standard_model_is_embedding_gru_dense(rng):
    model = create_char_rnn_model(65, rng)
    assert model.layers == (Embedding(65, 16), GRU(16, 128), Dense(128, 65))
    assert model.dtype == np.float32
    assert len(model.parameters) == 65 * 16 + 3 * (16 * 128 + 128 * 128 + 128) + 128 * 65 + 65


def test_one_seed_one_model():
    first, again, other = (create_char_rnn_model(V, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.parameters, again.parameters)
    assert (first.parameters != other.parameters).any()


def test_two_predictions_with_carried_state_equal_one(rng):
    model = create_char_rnn_model(V, rng, hidden_dim=8, dtype=np.float64)
    model.parameters[...] = rng.normal(0, 0.5, model.parameters.shape)
    ids = rng.integers(V, size=(9, 2))
    whole = model.predict(ids)
    np.testing.assert_array_equal(model.predict(ids), whole)
    buffers = model.allocate(4, 2)
    model.forward(ids[:4], buffers)
    np.testing.assert_allclose(model.predict(ids[4:], model.final_state(buffers)), whole[4:], rtol=1e-12)
    assert np.abs(model.predict(ids[4:]) - whole[4:]).max() > 1e-3


def test_predict_gives_distributions_for_one_sequence_or_many(rng):
    model = create_char_rnn_model(V, rng, hidden_dim=8)
    ids = rng.integers(V, size=(9, 2))
    many = model.predict(ids)
    assert many.shape == (9, 2, V)
    np.testing.assert_allclose(many.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(model.predict(ids[:, 0]), many[:, 0], rtol=1e-5)


@dataclass(frozen=True)
class EverySecond(LastStep):
    def output_steps(self, T):
        return T // 2


@pytest.mark.parametrize("dropping", [LastStep(4), EverySecond(4)])
def test_a_layer_that_drops_time_steps_is_refused(dropping, rng):
    message = f"^the {type(dropping).__name__} drops time steps, which only a training network may do; a model must"
    for layers in ([Embedding(V, 4), dropping, Dense(4, V)], [Embedding(V, 4), dropping]):
        with pytest.raises(InputError, match=message):
            Model(layers, rng)
        with pytest.raises(InputError, match=message):
            Model.from_parameters(layers, np.zeros(parameter_count(layers)))


@pytest.mark.parametrize(("shape", "place"), [((9,), "4"), ((9, 2), r"\(4, 0\)")])
def test_predict_refuses_ids_that_the_model_does_not_know(shape, place, rng):
    model = create_char_rnn_model(V, rng, hidden_dim=8)
    ids = np.full(shape, V - 1)
    model.predict(ids)
    ids[4] = V
    with pytest.raises(InputError, match=f"^ids: id {V} at position {place}; the model knows only 0 to {V - 1}$"):
        model.predict(ids)


@pytest.mark.parametrize("shape", [(), (2, 3, 1), (0,), (0, 2), (2, 0)])
def test_predict_reads_one_sequence_or_a_batch_of_them(shape, rng):
    with pytest.raises(InputError) as error:
        create_char_rnn_model(V, rng).predict(np.zeros(shape, int))
    assert str(error.value) == f"ids: the shape is {shape}; it must be (T,) or (T, B), with at least one id"


def test_an_unknown_cell_is_refused(rng):
    with pytest.raises(InputError, match="^cell is 'transformer'; it must be one of gru, lstm, rnn$"):
        create_char_rnn_model(V, rng, cell="transformer")


def test_layers_on_top_of_each_other(rng):
    model = create_char_rnn_model(65, rng, cell="lstm", num_layers=3, hidden_dim=20, embedding_dim=7)
    assert model.layers == (Embedding(65, 7), LSTM(7, 20), LSTM(20, 20), LSTM(20, 20), Dense(20, 65))
    with pytest.raises(InputError, match="^num_layers is 0; it must be an integer of at least 1 and at most 1,000$"):
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


@pytest.mark.parametrize("tie_weights", [False, True])
def test_initializers_of_the_embedding_and_of_the_output_bias(tie_weights):
    settings = dict(hidden_dim=5, embedding_dim=4, tie_weights=tie_weights)
    usual = create_char_rnn_model(8, np.random.default_rng(3), **settings)
    ten_times = partial(random_uniform, limit=0.5)
    counted = partial(log_frequencies, counts=np.arange(8))
    options = dict(embedding_initializer=ten_times, output_bias_initializer=counted)
    model = create_char_rnn_model(8, np.random.default_rng(3), **options, **settings)
    assert model.layers == usual.layers  # initializers do not make another network
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in usual.named_parameters()]
    for (name, values), (_, before) in zip(model.named_parameters(), usual.named_parameters()):
        if name == "0.embedding.table":
            np.testing.assert_allclose(values, 10 * before, rtol=1e-6)
        elif name.startswith(f"{len(model.layers) - 1}.") and name.endswith("bias"):
            np.testing.assert_allclose(values, np.log(np.arange(1, 9) / 36), rtol=1e-6)
        else:
            np.testing.assert_array_equal(values, before)
