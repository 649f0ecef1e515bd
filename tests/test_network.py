"""Networks: one flat vector behind all layers, gradients through the chain, the stepper, states, misfits."""

from dataclasses import dataclass

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.gradient_checking import central_differences
from charrnn.layers import GRU, LSTM, Dense, Dropout, DropoutMasks, Embedding, LastStep, Layer, SimpleRNN, TiedDense
from charrnn.models import Model, create_char_rnn_model
from charrnn.network import Network, parameter_count
from charrnn.training.shard import Shard
from tests.networks import LeakyAverage, assert_slope, layer_id, layer_names, random_network, random_state

V = 6
CHAINS = pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, 3), GRU(3, 4), Dense(4, V)],
        [Embedding(V, 3), GRU(3, 4, reset_after=True), GRU(4, 3), Dense(3, V)],
        [Embedding(V, 3), GRU(3, 4, mogrifier=True), GRU(4, 3), Dense(3, V)],
        [Embedding(V, 3), SimpleRNN(3, 4), Dense(4, 5, "relu"), Dense(5, V)],
        [Embedding(V, 3), LSTM(3, 4), LSTM(4, 3), Dense(3, V)],
        [Embedding(V, 3), GRU(3, 4), LastStep(4), Dense(4, V)],
        [Embedding(V, 3), LeakyAverage(3), Dense(3, V)],
        [Embedding(V, 3, tied=True), GRU(3, 4), Dense(4, 3), TiedDense(3, V)],
    ],
    ids=layer_names,
)


@CHAINS
@pytest.mark.parametrize("with_state", [False, True])
def test_gradient_of_the_whole_chain(layers, with_state, rng):
    network = random_network(layers, rng)
    x, y = rng.integers(V, size=(2, 5, 3))
    state = random_state(layers, 3, rng) if with_state else None
    shard = Shard(network)
    network.gradient[...] = np.nan
    shard.loss_and_gradient(x, y, state)
    gradient = network.gradient.copy()
    numeric = central_differences(lambda: shard.loss_and_gradient(x, y, state)[0], network.parameters)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_gradient_of_the_standard_model_at_full_size(cell, rng):
    model = create_char_rnn_model(65, rng, cell=cell, dtype=np.float64)
    x, y = rng.integers(65, size=(2, 50, 32))
    shard = Shard(model)
    shard.loss_and_gradient(x, y)
    gradient = model.gradient.copy()
    assert_slope(lambda: shard.loss_and_gradient(x, y)[0], model.parameters, gradient, rng)


@CHAINS
@pytest.mark.parametrize("with_state", [False, True])
def test_the_stepper_equals_the_forward_pass(layers, with_state, rng):
    network = random_network(layers, rng)
    ids = rng.integers(V, size=(6, 3))
    before = random_state(layers, 3, rng) if with_state else None
    step = network.stepper(3, before)
    for t in range(6):
        expected = network.forward(ids[: t + 1], network.allocate(t + 1, 3), before)[-1]
        np.testing.assert_allclose(step(ids[t]), expected, rtol=1e-9)

    shared = before and [{name: h[:1] for name, h in of_layer.items()} for of_layer in before]
    alone, together = network.stepper(1, shared), network.stepper(2, shared)
    for id in ids[:, 0]:
        np.testing.assert_allclose(together(np.array([id, id])), np.tile(alone(id), (2, 1)), rtol=1e-9)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("B", [1, 64])
def test_the_stepper_at_full_size_in_float32(cell, B, rng):
    model = create_char_rnn_model(65, rng, cell=cell, num_layers=2)
    ids = rng.integers(65, size=(20, B))
    expected = model.forward(ids, model.allocate(20, B))
    step = model.stepper(B)
    for of_step, logits in zip(ids, expected):
        np.testing.assert_allclose(step(of_step if B > 1 else of_step[0]), logits, atol=1e-5)


def test_steppers_do_not_disturb_one_another(rng):
    model = create_char_rnn_model(V, rng, embedding_dim=3, hidden_dim=4)
    one, other = model.stepper(1), model.stepper(1)
    expected = one(2).copy()
    one(3)
    np.testing.assert_array_equal(other(2), expected)


@pytest.mark.parametrize("layer", [GRU(3, 4), LSTM(3, 4), SimpleRNN(3, 4)], ids=layer_id)
def test_the_stepper_does_not_change_the_state_that_it_starts_from(layer, rng):
    model = Model([Embedding(V, 3), layer, Dense(4, V)], rng)
    state = [{}, {name: np.ones((1, 4), np.float32) for name in layer.state_dims}, {}]
    model.stepper(1, state)(2)
    assert all((h == 1).all() for h in state[1].values())


def test_the_stepper_of_a_chain_without_memory(rng):
    model = Model([Embedding(V, 3), Dense(3, 4, "tanh"), Dense(4, V)], rng)
    ids = rng.integers(V, size=(3, 2))
    expected, step = model.forward(ids, model.allocate(3, 2)), model.stepper(2)
    for of_step, logits in zip(ids, expected):
        np.testing.assert_allclose(step(of_step), logits, rtol=1e-6)
    np.testing.assert_allclose(model.stepper(1)(ids[0, 0]), expected[0, :1], rtol=1e-6)


@dataclass(frozen=True)
class CountedIds(LeakyAverage):
    """A layer of one's own with a state, at the beginning of the chain: how often each id has occurred so far."""

    def forward(self, p, x, buffers):
        for t, ids in enumerate(x):
            buffers.h[t + 1] = buffers.h[t] + np.eye(self.dim)[ids]
        return buffers.h[1:]


def test_the_stepper_of_a_chain_that_begins_with_a_state(rng):
    model = Model([CountedIds(V), Dense(V, V)], rng, np.float64)
    ids = rng.integers(V, size=(4, 3))
    expected, step = model.forward(ids, model.allocate(4, 3)), model.stepper(3)
    alone = model.stepper(1)
    for of_step, logits in zip(ids, expected):
        np.testing.assert_allclose(step(of_step), logits)
        np.testing.assert_allclose(alone(of_step[0]), logits[:1])


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


def test_gradients_are_views_of_one_vector_too(rng):
    network = random_network([Embedding(V, 2), GRU(2, 3), Dense(3, V)], rng)
    network.gradient[...] = np.arange(len(network.gradient))
    views = [vars(grad)[name] for layer, grad in zip(network.layers, network.grad) for name in layer.shapes()]
    np.testing.assert_array_equal(np.concatenate([view.ravel() for view in views]), network.gradient)


def test_a_network_shares_the_vector_that_it_is_given(rng):
    layers = [Embedding(V, 2), Dense(2, V)]
    parameters = rng.normal(size=parameter_count(layers)).astype(np.float32)
    one, other = Network(layers, parameters), Network(layers, parameters)
    assert one.parameters is other.parameters is parameters
    assert not np.shares_memory(one.gradient, other.gradient)
    assert (one.dtype, one.input_dim, one.output_dim) == (np.float32, V, V)
    parameters[0] = 7
    assert one.p[0].table[0, 0] == other.p[0].table[0, 0] == 7


def test_two_passes_with_carried_state_equal_one_and_a_pass_without_starts_from_zeros(rng):
    network = random_network([Embedding(V, 3), GRU(3, 8), LSTM(8, 5), Dense(5, V)], rng)
    ids = rng.integers(V, size=(9, 2))

    def logits(ids, state=None):
        return network.forward(ids, network.allocate(*ids.shape), state).copy()

    whole = logits(ids)
    np.testing.assert_array_equal(logits(ids), whole)
    buffers = network.allocate(4, 2)
    network.forward(ids[:4], buffers)
    np.testing.assert_allclose(logits(ids[4:], network.final_state(buffers)), whole[4:], rtol=1e-9)
    assert np.abs(logits(ids[4:]) - whole[4:]).max() > 1e-3
    zeros = [{name: np.zeros((2, H)) for name, H in layer.state_dims.items()} for layer in network.layers]
    np.testing.assert_array_equal(logits(ids, zeros), whole)


@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_a_final_state_outlives_further_passes_in_the_same_buffers(cell, rng):
    model = create_char_rnn_model(V, rng, hidden_dim=8, cell=cell)
    buffers = model.allocate(4, 2)
    model.forward(rng.integers(V, size=(4, 2)), buffers)
    state = model.final_state(buffers)
    kept = state[1]["h"].copy()
    model.forward(rng.integers(V, size=(4, 2)), buffers, state)
    np.testing.assert_array_equal(state[1]["h"], kept)
    assert (model.final_state(buffers)[1]["h"] != kept).any()


def test_buffers_know_how_many_steps_are_left(rng):
    layers = [Embedding(V, 3), LSTM(3, 4), LastStep(4), Dense(4, V)]
    buffers = random_network(layers, rng).allocate(5, 2)
    assert buffers.output_steps == 1
    assert buffers.layers[1].h.shape == (6, 2, 4)
    assert buffers.layers[3].y.shape == (1, 2, V)


def test_weight_decay_is_for_all_parameters_but_biases(rng):
    layers = [Embedding(5, 3), GRU(3, 4, reset_after=True), LSTM(4, 4), Dense(4, 5)]
    masks = Network(layers, random_network(layers, rng).weight_decay_mask())
    for name, view in masks.named_parameters():
        assert (view == ("bias" not in name)).all()


@pytest.mark.parametrize("size", [0, 9, 11])
@pytest.mark.parametrize("network", [Network, Model.from_parameters])
def test_a_vector_of_another_length_is_refused(network, size):
    with pytest.raises(InputError, match=f"^there are {size} parameters; these layers need 10$"):
        network([Embedding(5, 2)], np.zeros(size))


@pytest.mark.parametrize("network", [Network, Model])
def test_neighbours_must_fit(network, rng):
    layers = [Embedding(V, 3), GRU(3, 4), Dense(5, V)]
    argument = rng if network is Model else np.zeros(parameter_count(layers))
    with pytest.raises(InputError, match="^Dense has input_dim 5; it must be 4, the output_dim of the GRU before it$"):
        network(layers, argument)
    with pytest.raises(InputError, match="^layers is empty; at least one layer is needed$"):
        network([], argument)


@pytest.mark.parametrize("something", [object(), Dense, None, "gru"], ids=["object", "class", "None", "text"])
@pytest.mark.parametrize("network", [Network, Model])
def test_something_that_is_no_layer_is_refused(network, something, rng):
    argument = rng if network is Model else np.zeros(10)
    with pytest.raises(InputError, match="is not a layer; it must be an instance of a subclass of charrnn.Layer$"):
        network([Embedding(V, 3), something, Dense(3, V)], argument)


def test_what_looks_like_a_layer_but_is_none_is_refused(rng):
    class Twin:
        """It has all methods, and has inherited none."""

        input_dim = output_dim = 3

        def shapes(self):
            return {}

        allocate = forward = backward = shapes

    with pytest.raises(InputError, match="Twin object .* is not a layer"):
        Model([Embedding(V, 3), Twin(), Dense(3, V)], rng)


@pytest.mark.parametrize(
    "layers",
    [
        [Embedding(V, 3, tied=True), GRU(3, 3), Dense(3, V)],
        [Embedding(V, 3), GRU(3, 3), TiedDense(3, V)],
        [Embedding(V, 3, tied=True), GRU(3, 3), TiedDense(3, V + 1)],
        [Dense(V, 3), GRU(3, 3), TiedDense(3, V)],
        [Embedding(V, 3, tied=True), TiedDense(3, V), Dense(V, 3), TiedDense(3, V)],
    ],
    ids=layer_names,
)
def test_what_the_first_layer_lends_exactly_one_later_layer_must_borrow(layers, rng):
    message = (
        rf"^the {type(layers[0]).__name__} lends \{{.*\}}, and later layers borrow \[.*\]; exactly one later layer"
    )
    with pytest.raises(InputError, match=message):
        Model(layers, rng)


@pytest.mark.parametrize(
    "first",
    [Dense(V, V), GRU(V, V), LSTM(V, V), SimpleRNN(V, V), LastStep(V), Dropout(V, 0.1, DropoutMasks(0))],
    ids=layer_id,
)
def test_a_first_layer_that_reads_vectors_is_refused(first, rng):
    message = f"^the first layer is {type(first).__name__}, which reads vectors; it must read ids$"
    for layers in ([first], [first, Dense(V, V)]):
        with pytest.raises(InputError, match=message):
            random_network(layers, rng)


def test_a_later_layer_that_reads_ids_is_refused(rng):
    with pytest.raises(InputError, match="^a later layer is Embedding, which reads ids; only the first one may$"):
        random_network([Embedding(V, V), Embedding(V, V), Dense(V, V)], rng)
    with pytest.raises(InputError, match="^a later layer is Embedding, which reads ids; only the first one may$"):
        random_network([CountedIds(V), Dense(V, V), Embedding(V, V)], rng)


@dataclass(frozen=True)
class OneHot(CountedIds):
    reads_ids = True


def test_a_custom_layer_may_be_anywhere_unless_it_sets_reads_ids(rng):
    for layers in ([CountedIds(V), Dense(V, V)], [Embedding(V, V), CountedIds(V), Dense(V, V)], [OneHot(V)]):
        random_network(layers, rng)
    with pytest.raises(InputError, match="^a later layer is OneHot, which reads ids; only the first one may$"):
        random_network([Embedding(V, V), OneHot(V)], rng)


def test_the_first_layer_may_not_borrow(rng):
    with pytest.raises(InputError, match="^the TiedDense borrows .*, but there is no layer before it$"):
        Model([TiedDense(V, V), Dense(V, V)], rng)


def test_a_later_layer_may_not_lend(rng):
    with pytest.raises(InputError, match="^a later layer lends parameters; only the first one may$"):
        Model([Dense(V, V), Embedding(V, 3, tied=True), TiedDense(3, V)], rng)


def test_a_borrowed_parameter_is_the_lender_s_own(rng):
    network = random_network([Embedding(V, 3, tied=True), GRU(3, 3), TiedDense(3, V)], rng)
    assert network.p[2].table is network.p[0].table
    assert network.grad[2].table is network.grad[0].table
    assert len(network.parameters) == V * 3 + 3 * (3 * 3 + 3 * 3 + 3) + V


@dataclass(frozen=True)
class Forgetful(LeakyAverage):
    """It makes all buffers but the one that is `missing`, and makes `reshaped` one step too short."""

    missing: str = ""
    reshaped: str = ""

    def allocate(self, T, B, dtype):
        buffers = super().allocate(T, B, dtype)
        vars(buffers).pop(self.missing, None)
        if self.reshaped:
            vars(buffers)[self.reshaped] = vars(buffers)[self.reshaped][1:]
        return buffers


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Forgetful(3, missing="h"), r"no buffer 'h' of shape \(6, 2, 3\), .*; it makes dh, dx$"),
        (Forgetful(3, missing="dh"), r"no buffer 'dh' of shape \(2, 3\), .*; it makes h, dx$"),
        (Forgetful(3, reshaped="h"), r"no buffer 'h' of shape \(6, 2, 3\), .*; it makes h, dh, dx$"),
        (Forgetful(3, reshaped="dh"), r"no buffer 'dh' of shape \(2, 3\), .*; it makes h, dh, dx$"),
    ],
    ids=lambda value: layer_id(value) if isinstance(value, Layer) else "",
)
def test_a_state_without_its_buffers_is_refused(layer, message, rng):
    network = random_network([Embedding(V, 3), layer, Dense(3, V)], rng)
    with pytest.raises(InputError, match=f"^Forgetful: allocate makes {message}"):
        network.allocate(5, 2)


def test_every_later_layer_sees_the_time_steps_that_are_left(rng):
    """A layer with a state after one that drops time steps has buffers for what is left."""
    layers: list[Layer] = [Embedding(V, 3), LastStep(3), GRU(3, 4), Dense(4, V)]
    network = random_network(layers, rng)
    buffers = network.allocate(5, 2)
    assert buffers.layers[2].h.shape == (2, 2, 4)
    assert network.forward(rng.integers(V, size=(5, 2)), buffers).shape == (1, 2, V)
