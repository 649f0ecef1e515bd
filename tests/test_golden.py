"""Forward passes, gradients and optimizer steps, compared with PyTorch's, which golden/make_pytorch.py stored."""

from pathlib import Path

import numpy as np
import pytest

from charrnn.gradient_checking import views
from charrnn.layers import GRU, LSTM, Dense, Embedding, SimpleRNN
from charrnn.models import Model
from charrnn.optimizers import OPTIMIZERS, Adam, decay_weights
from charrnn.training.shard import Shard

GOLDEN = np.load(Path(__file__).with_name("golden") / "pytorch.npz")
EXACT = dict(rtol=1e-10, atol=1e-12)


def golden(prefix):
    return {name.removeprefix(prefix + "/"): GOLDEN[name] for name in GOLDEN.files if name.startswith(prefix + "/")}


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("gru", GRU(4, 5)),
        ("gru_reset_after", GRU(4, 5, reset_after=True)),
        ("gru_mogrifier", GRU(4, 5, mogrifier=True)),
        ("lstm", LSTM(4, 5)),
        ("rnn_tanh", SimpleRNN(4, 5)),
        ("rnn_relu", SimpleRNN(4, 5, activation="relu")),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, EXACT), (np.float32, dict(rtol=1e-4, atol=2e-6))])
def test_recurrent_layer(name, layer, dtype, tolerance):
    expected = golden(name)
    size = sum(expected[parameter].size for parameter in layer.shapes())
    p, grad = (views(layer.shapes(), np.full(size, np.nan, dtype)) for _ in range(2))
    for parameter, view in vars(p).items():
        view[...] = expected[parameter]
    x = expected["x"].astype(dtype)
    buffers = layer.allocate(*x.shape[:2], dtype)
    for state in layer.state_dims:
        vars(buffers)[state][0] = expected[state + "0"]
    np.testing.assert_allclose(layer.forward(p, x, buffers), expected["y"], **tolerance)
    dx = layer.backward(p, grad, x, expected["dy"].astype(dtype), buffers)
    np.testing.assert_allclose(dx, expected["dx"], **tolerance)
    for state in layer.state_dims:
        np.testing.assert_allclose(vars(buffers)["d" + state], expected[f"d{state}0"], **tolerance)
    for parameter, gradient in vars(grad).items():
        np.testing.assert_allclose(gradient, expected[parameter + "_gradient"], err_msg=parameter, **tolerance)


def test_embedding_dense_and_cross_entropy(rng):
    expected = golden("head")
    model = Model([Embedding(7, 4), Dense(4, 7)], rng, np.float64)
    for (_, view), name in zip(model.named_parameters(), ("table", "kernel", "bias")):
        view[...] = expected[name]
    loss, _ = Shard(model).loss_and_gradient(expected["x"], expected["targets"])
    np.testing.assert_allclose(loss, expected["loss"], **EXACT)
    logits = model.forward(expected["x"], model.allocate(6, 3))
    np.testing.assert_allclose(logits, expected["logits"], **EXACT)
    gradients = np.concatenate([expected[name + "_gradient"].ravel() for name in ("table", "kernel", "bias")])
    np.testing.assert_allclose(model.gradient, gradients, **EXACT)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_first_steps_of_optimizer(name):
    expected = golden(f"optimizer/{name}")
    optimizer = OPTIMIZERS[name](learning_rate=0.1)
    parameters = expected["start"].copy()
    state = optimizer.state(parameters)
    for gradient, after in zip(expected["gradients"], expected["trace"]):
        optimizer.update(parameters, gradient, state)
        np.testing.assert_allclose(parameters, after, **EXACT)


def test_adam_with_weight_decay_is_adamw():
    expected = golden("optimizer/adamw")
    optimizer, parameters = Adam(learning_rate=0.1), expected["start"].copy()
    state, every = optimizer.state(parameters), np.ones(len(parameters), bool)
    for gradient, after in zip(expected["gradients"], expected["trace"]):
        decay_weights(parameters, every, 0.1 * 0.01)
        optimizer.update(parameters, gradient, state)
        np.testing.assert_allclose(parameters, after, **EXACT)
