"""Layers: every gradient compared with central differences, and what is particular to each layer."""

from functools import partial

import numpy as np
import pytest

from charrnn.activations import ACTIVATIONS
from charrnn.errors import InputError
from charrnn.gradient_checking import LayerProbe, gradient_check, views
from charrnn.initializers import glorot_uniform, orthogonal, random_uniform, zeros
from charrnn.layers import (
    GRU,
    LSTM,
    Dense,
    Dropout,
    DropoutMasks,
    Embedding,
    LastStep,
    SimpleRNN,
    TiedDense,
)
from charrnn.network import parameter_count
from tests.networks import assert_slope, layer_id

RECURRENT = [
    SimpleRNN(3, 4),
    SimpleRNN(3, 4, activation="sigmoid"),
    SimpleRNN(3, 4, activation="linear"),
    SimpleRNN(3, 4, activation="relu"),
    GRU(3, 4),
    GRU(3, 4, reset_after=True),
    GRU(3, 4, mogrifier=True),
    GRU(3, 4, reset_after=True, mogrifier=True),
    LSTM(3, 4),
]


def constant(value):
    return lambda shape, rng: np.full(shape, value)


MARKERS = dict(initializer=constant(1), bias_initializer=constant(2), recurrent_initializer=constant(3))


@pytest.mark.parametrize("layer", RECURRENT, ids=layer_id)
@pytest.mark.parametrize(("T", "B"), [(5, 3), (1, 1), (18, 2)])
def test_gradients_of_recurrent_layers(layer, T, B, rng):
    gradient_check(layer, rng, T=T, B=B)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_dense(activation, rng):
    gradient_check(Dense(3, 4, activation=activation), rng)


def test_gradients_of_tied_dense(rng):
    gradient_check(TiedDense(3, 4), rng)


def test_gradients_of_last_step(rng):
    gradient_check(LastStep(3), rng)


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_of_embedding(tied, rng):
    gradient_check(Embedding(6, 3, tied=tied), rng, T=4, B=3, ids=True)


def test_gradients_of_dropout(rng):
    gradient_check(Dropout(5, 0.4, DropoutMasks(seed=1)), rng)


@pytest.mark.parametrize(
    "layer",
    [SimpleRNN(16, 128), GRU(16, 128), GRU(16, 128, reset_after=True), GRU(16, 128, mogrifier=True), LSTM(16, 128)],
    ids=layer_id,
)
def test_gradients_at_full_size(layer, rng):
    probe = LayerProbe(layer, 50, 32, rng)
    probe.parameters *= 0.1
    dx, dstate = probe.backward()
    checks = [(probe.parameters, probe.gradient.copy()), (probe.x, dx.copy())]
    checks += [(probe.state[name], gradient.copy()) for name, gradient in dstate.items()]
    for array, gradient in checks:
        assert_slope(probe.value, array, gradient, rng)


@pytest.mark.parametrize("layer", RECURRENT, ids=layer_id)
def test_two_windows_with_carried_state_equal_one_long_window(layer, rng):
    whole = LayerProbe(layer, 40, 2, rng)
    expected = whole.forward().copy()
    state = {name: value.copy() for name, value in whole.state.items()}
    outputs = []
    for x in (whole.x[:19], whole.x[19:]):
        buffers = layer.allocate(len(x), 2, np.float64)
        for name, value in state.items():
            vars(buffers)[name][0] = value
        outputs.append(layer.forward(whole.p, x, buffers).copy())
        state = {name: vars(buffers)[name][-1].copy() for name in state}
    np.testing.assert_allclose(np.concatenate(outputs), expected, rtol=1e-13)


@pytest.mark.parametrize(
    "layer",
    [*RECURRENT, Embedding(60, 3), Dense(3, 4), Dense(3, 4, activation="tanh"), TiedDense(3, 4), LastStep(3)],
    ids=layer_id,
)
def test_passes_over_other_inputs_in_the_same_buffers_leave_no_trace(layer, rng):
    probe = LayerProbe(layer, 5, 3, rng, ids=isinstance(layer, Embedding))
    x, other = probe.x, LayerProbe(layer, 5, 3, rng, ids=isinstance(layer, Embedding)).x

    def gradients():
        dx, dstate = probe.backward()
        return [np.copy(a) for a in (probe.gradient, *(() if dx is None else (dx,)), *dstate.values())]

    first = gradients()
    for probe.x in (x, other, x):
        again = gradients()
    for before, after in zip(first, again):
        np.testing.assert_array_equal(before, after)


def test_embedding_gradient_is_zero_for_ids_that_do_not_occur(rng):
    probe = LayerProbe(Embedding(9, 2), 2, 2, rng, ids=True)
    probe.x = np.array([[3, 3], [8, 3]], np.uint8)
    probe.backward()
    np.testing.assert_allclose(probe.grad.table[3], probe.R[0, 0] + probe.R[0, 1] + probe.R[1, 1])
    np.testing.assert_allclose(probe.grad.table[8], probe.R[1, 0])
    assert not probe.grad.table[[0, 1, 2, 4, 5, 6, 7]].any()


def initial(layer, seed):
    p = views(layer.shapes(), np.full(parameter_count([layer]), np.nan))
    layer.init(p, np.random.default_rng(seed))
    return vars(p)


@pytest.mark.parametrize(
    ("layer", "filled"),
    [
        (Embedding(6, 3, initializer=constant(1)), {"table": 1}),
        (Dense(3, 4, initializer=constant(1), bias_initializer=constant(2)), {"kernel": 1, "bias": 2}),
        (SimpleRNN(3, 4, **MARKERS), {"kernel": 1, "recurrent_kernel": 3, "bias": 2}),
        (GRU(3, 4, **MARKERS), {"kernel": 1, "recurrent_kernel": 3, "bias": 2}),
        (GRU(3, 4, reset_after=True, **MARKERS), {"kernel": 1, "recurrent_kernel": 3, "bias": 2, "recurrent_bias": 2}),
        (GRU(3, 4, mogrifier=True, **MARKERS), {"kernel": 1, "recurrent_kernel": 3, "bias": 2}),
        (LSTM(3, 4, forget_bias=0, **MARKERS), {"kernel": 1, "recurrent_kernel": 3, "bias": 2}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_initializer_fills_the_parameters_it_is_named_for(layer, filled):
    values = {name: set(array.flat) for name, array in initial(layer, 0).items()}
    assert values == {name: {value} for name, value in filled.items()}


RECURRENT_DEFAULTS = {"kernel": glorot_uniform, "recurrent_kernel": orthogonal, "bias": zeros}


@pytest.mark.parametrize(
    ("layer", "initializers"),
    [
        (Embedding(6, 3), {"table": partial(random_uniform, limit=0.05)}),
        (Dense(3, 4), {"kernel": glorot_uniform, "bias": zeros}),
        (SimpleRNN(3, 4), RECURRENT_DEFAULTS),
        (GRU(3, 4), RECURRENT_DEFAULTS),
        (GRU(3, 4, reset_after=True), RECURRENT_DEFAULTS | {"recurrent_bias": zeros}),
        (GRU(3, 4, mogrifier=True), RECURRENT_DEFAULTS),
        (LSTM(3, 4, forget_bias=0), RECURRENT_DEFAULTS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_parameters_come_from_the_default_initializers_in_order(layer, initializers):
    rng = np.random.default_rng(5)
    parameters = initial(layer, 5)
    assert list(parameters) == list(initializers)
    for name, initializer in initializers.items():
        np.testing.assert_array_equal(parameters[name], initializer(parameters[name].shape, rng))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GRU(3, 0), "GRU: hidden_dim is 0; it must be an integer of at least 1"),
        (lambda: GRU(3, True), "GRU: hidden_dim is True; it must be an integer of at least 1"),
        (lambda: LastStep(0), "LastStep: dim is 0; it must be an integer of at least 1"),
        (lambda: GRU(3, 4, reset_after=1), "GRU: reset_after is 1; it must be True or False"),
        (lambda: GRU(3, 4, mogrifier=1), "GRU: mogrifier is 1; it must be True or False"),
        (lambda: Embedding(3, 4, tied="yes"), "Embedding: tied is 'yes'; it must be True or False"),
        (lambda: LSTM(3, 4, forget_bias="1"), "LSTM: forget_bias is '1'; it must be a finite number"),
        (lambda: LSTM(3, 4, forget_bias=True), "LSTM: forget_bias is True; it must be a finite number"),
        (lambda: LSTM(3, 4, forget_bias=float("inf")), "LSTM: forget_bias is inf; it must be a finite number"),
        (lambda: Dense(3, 4, []), "Dense: activation is []; it must be one of linear, tanh, sigmoid, relu, softmax"),
        (lambda: Dropout(0, 0.5, None), "Dropout: dim is 0; it must be an integer of at least 1"),
        (lambda: Dropout(3, 1.0, None), "dropout is 1.0; it must be at least 0 and below 1"),
        (lambda: Dropout(3, -0.1, None), "dropout is -0.1; it must be at least 0 and below 1"),
        (lambda: Dropout(3, float("nan"), None), "dropout is nan; it must be at least 0 and below 1"),
        (lambda: LSTM(0, 3), "LSTM: input_dim is 0; it must be an integer of at least 1"),
        (lambda: SimpleRNN(-1, 4), "SimpleRNN: input_dim is -1; it must be an integer of at least 1"),
        (lambda: Embedding(2.5, 4), "Embedding: input_dim is 2.5; it must be an integer of at least 1"),
        (lambda: Dense(3, 4, "gelu"), "Dense: activation is 'gelu'; it must be one of linear, tanh, "),
        (lambda: SimpleRNN(3, 4, "gelu"), "SimpleRNN: activation is 'gelu'; it must be one of linear, tanh, "),
    ],
)
def test_a_bad_description_is_refused_by_name(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint64, np.int32])
def test_an_embedding_reads_ids_of_any_integer_type(dtype, rng):
    probe = LayerProbe(Embedding(256 if dtype is np.uint8 else 300, 2), 40, 5, rng, ids=True)
    y = probe.forward().copy()
    probe.backward()
    gradient = probe.gradient.copy()
    probe.x = probe.x.astype(dtype)
    np.testing.assert_array_equal(probe.forward(), y)
    probe.gradient[...] = np.nan
    probe.backward()
    np.testing.assert_array_equal(probe.gradient, gradient)
    np.testing.assert_array_equal(y, probe.p.table[probe.x])


def whole_batch(B, seed=1):
    """Masks for layers that get all B sequences of a batch."""
    masks = DropoutMasks(seed)
    masks.num_columns = B
    return masks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_drops_its_share_and_scales_the_rest(dtype, rng):
    layer = Dropout(50, 0.3, whole_batch(20))
    x, dy = np.full((40, 20, 50), 2.0, dtype), rng.normal(size=(40, 20, 50)).astype(dtype)
    buffers = layer.allocate(40, 20, dtype)
    y = layer.forward(None, x, buffers)
    assert y.dtype == dtype
    kept = y != 0
    np.testing.assert_allclose(y[kept], 2 / 0.7, rtol=1e-6)
    np.testing.assert_allclose(kept.mean(), 0.7, atol=0.01)
    np.testing.assert_allclose(kept.mean(axis=(0, 1)), 0.7, atol=0.08)
    np.testing.assert_allclose(layer.backward(None, None, x, dy, buffers), np.where(kept, dy / 0.7, 0), rtol=1e-5)
    layer.masks.step += 1
    assert ((layer.forward(None, x, buffers) != 0) != kept).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dim", [1, 7, 8])
def test_a_mask_depends_on_the_place_in_the_batch_and_not_on_the_shard(dim, dtype):
    T, B = 6, 5
    layer = Dropout(dim, 0.5, DropoutMasks(3))

    def mask(columns):
        size = columns.stop - columns.start
        buffers, ones = layer.allocate(T, size, dtype), np.ones((T, size, dim), dtype)
        layer.masks.first_column, layer.masks.num_columns = columns.start, B
        first = layer.forward(None, ones, buffers).copy()
        np.testing.assert_array_equal(layer.forward(None, ones, buffers), first)
        return first

    whole = mask(slice(0, B))
    for columns in (slice(0, 2), slice(1, 2), slice(3, B)):
        np.testing.assert_array_equal(mask(columns), whole[:, columns])
    if dim > 1:  # 30 coins or more for each time step and each sequence
        assert len({row.tobytes() for row in whole}) == T and len({row.tobytes() for row in whole.swapaxes(0, 1)}) == B


def test_the_layer_before_may_write_into_the_gradient_of_the_last_step(rng):
    layer = LastStep(3)
    buffers = layer.allocate(4, 2, np.float64)
    for _ in range(2):
        dx = layer.backward(None, None, None, np.ones((1, 2, 3)), buffers)
        np.testing.assert_array_equal(dx, np.concatenate([np.zeros((3, 2, 3)), np.ones((1, 2, 3))]))
        dx += 1


def test_without_a_place_in_a_batch_the_sequences_are_the_whole_batch():
    ones = np.ones((6, 3, 8), np.float32)

    def mask(masks):
        layer = Dropout(8, 0.5, masks)
        return layer.forward(None, ones, layer.allocate(6, 3, np.float32))

    np.testing.assert_array_equal(mask(DropoutMasks(1)), mask(whole_batch(3, seed=1)))
    assert len({row.tobytes() for row in mask(DropoutMasks(1))}) == 6


def test_masks_differ_with_the_seed_the_step_and_the_layer():
    def mask(seed, step, number):
        layer, ones = Dropout(8, 0.5, whole_batch(2, seed), number), np.ones((4, 2, 8), np.float32)
        layer.masks.step = step
        return layer.forward(None, ones, layer.allocate(4, 2, np.float32)).tobytes()

    different = {mask(*choice) for choice in ((3, 1, 1), (4, 1, 1), (3, 2, 1), (3, 1, 2))}
    assert len(different) == 4 and mask(3, 1, 1) in different
