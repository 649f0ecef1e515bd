"""The plain GRU of examples/ and the library's fast one: the same losses, gradients and parameters at every step."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from charrnn.config import TrainingConfig
from charrnn.gradient_checking import central_differences, gradient_check
from charrnn.layers import GRU, DropoutMasks, Embedding
from charrnn.layers.projection import LookupEmbedding
from charrnn.models import Model, create_char_rnn_model
from charrnn.optimizers import Adam, clip_by_global_norm
from charrnn.training.network import training_network
from charrnn.training.shard import Shard

ROOT = Path(__file__).parents[1]
K, D, H = 7, 5, 6  # characters, width of the embedding, width of the state
T, B = 9, 4
# What the plain form's parameters are called in the library.
NAMES = {
    "table": "0.embedding.table",
    "W": "1.gru.kernel",
    "U": "1.gru.recurrent_kernel",
    "b": "1.gru.bias",
    "V": "2.dense.kernel",
    "d": "2.dense.bias",
}


def import_example(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plain = import_example("plain_gru")


def random_parameters(rng):
    """The plain form's parameters in float64, biases included, large enough for the gates to open and close."""
    p = plain.init_parameters(K, D, H, rng, np.float64)
    return {name: array + rng.normal(0, 0.5, array.shape) for name, array in p.items()}


def fast_model(p, rng):
    """The library's model with the parameters of the plain form."""
    model = create_char_rnn_model(K, rng, embedding_dim=D, hidden_dim=H, dtype=np.float64)
    views = dict(model.named_parameters())
    assert list(views) == list(NAMES.values())
    for name, array in p.items():
        views[NAMES[name]][...] = array
    return model


def flat(arrays):
    """The plain form's arrays as one vector, in the library's order."""
    return np.concatenate([arrays[name].ravel() for name in NAMES])


def assert_same(fast, arrays):
    np.testing.assert_allclose(fast, flat(arrays), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("first_layer", [Embedding, LookupEmbedding], ids=["as stored", "as trained"])
@pytest.mark.parametrize("carry_state", [False, True])
def test_both_forms_train_side_by_side(carry_state, first_layer, rng):
    p = random_parameters(rng)
    model = fast_model(p, rng)
    network = model
    if first_layer is LookupEmbedding:
        network = training_network(model, TrainingConfig(), DropoutMasks(0))
    assert type(network.layers[0]) is first_layer

    shard, optimizer, max_norm = Shard(network), Adam(learning_rate=0.02), 0.3
    optimizer_state = optimizer.state(model.parameters)
    m, v = ({name: np.zeros_like(array) for name, array in p.items()} for _ in range(2))
    h0 = rng.normal(size=(B, H)) if carry_state else 0
    state = [{}, {"h": h0}, {}] if carry_state else None
    losses, clipped = [], []
    for step in range(1, 21):
        ids = np.cumsum(rng.integers(1, 3, size=(T + 1, B)), axis=0) % K  # there is something to learn
        x, y = ids[:-1], ids[1:]
        loss, grads = plain.loss_and_gradients(p, x, y, h0)
        fast_loss, final_state = shard.loss_and_gradient(x, y, state)
        np.testing.assert_allclose(fast_loss, loss, rtol=1e-12)
        assert_same(network.gradient, grads)

        _, (*_, h) = plain.forward(p, x, h0)
        np.testing.assert_allclose(final_state[1]["h"], h[-1], rtol=1e-12)
        if carry_state:
            h0, state = h[-1], final_state

        norm = clip_by_global_norm(network.gradient, max_norm)
        grads = plain.clip_by_global_norm(grads, max_norm)
        assert_same(network.gradient, grads)

        optimizer.update(model.parameters, network.gradient, optimizer_state)
        plain.adam(p, grads, m, v, step, 0.02)
        assert_same(model.parameters, p)
        losses.append(loss)
        clipped.append(norm > max_norm)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
    assert any(clipped) and not all(clipped)


@pytest.mark.parametrize("carry_state", [False, True])
def test_gradients_of_the_plain_form_agree_with_central_differences(carry_state, rng):
    p = random_parameters(rng)
    x, y = rng.integers(K, size=(2, 5, 3))
    h0 = rng.normal(size=(3, H)) if carry_state else 0
    _, grads = plain.loss_and_gradients(p, x, y, h0)
    assert grads.keys() == p.keys() == NAMES.keys()
    for name, array in p.items():
        numeric = central_differences(lambda: plain.loss_and_gradients(p, x, y, h0)[0], array)
        np.testing.assert_allclose(grads[name], numeric, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("carry_state", [False, True])
def test_gradients_of_the_fast_form_agree_with_central_differences(carry_state, rng):
    gradient_check(GRU(D, H), rng)
    model = fast_model(random_parameters(rng), rng)
    x, y = rng.integers(K, size=(2, 5, 3))
    state = [{}, {"h": rng.normal(size=(3, H))}, {}] if carry_state else None
    for network in (model, training_network(model, TrainingConfig(), DropoutMasks(0))):
        shard = Shard(network)
        shard.loss_and_gradient(x, y, state)
        gradient = network.gradient.copy()
        numeric = central_differences(lambda shard=shard: shard.loss_and_gradient(x, y, state)[0], model.parameters)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-9)


def test_initial_parameters_have_the_distributions_of_the_library():
    wide = dict(K=200, D=300, H=100)
    p = plain.init_parameters(**wide, rng=np.random.default_rng(1))
    model = create_char_rnn_model(200, np.random.default_rng(2), embedding_dim=300, hidden_dim=100)
    for name, fast_name in NAMES.items():
        fast = dict(model.named_parameters())[fast_name]
        assert p[name].shape == fast.shape and p[name].dtype == fast.dtype == np.float32
        np.testing.assert_allclose(p[name].std(), fast.std(), rtol=0.05)
        np.testing.assert_allclose(np.abs(p[name]).max(), np.abs(fast).max(), rtol=0.15)
    for U in p["U"]:
        np.testing.assert_allclose(U @ U.T, np.eye(100), atol=1e-5)


def test_its_trained_parameters_make_a_model_of_the_library(rng, capsys):
    """The example trains, writes on in the pattern that it has learned, and the library predicts the same."""
    ids = np.tile([0, 1, 2, 0, 2], 60)
    p = plain.init_parameters(K, D, 16, rng, np.float64)
    plain.train(p, ids, rng, steps=120, T=20, B=8, learning_rate=0.03, log_interval=60)
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["step   60 of 120", "step  120 of 120"]
    assert float(printed[-1].split()[4]) < 0.1
    written = plain.sample(p, [0, 1, 2], 20, 0.1, rng)
    assert written == np.tile([0, 1, 2, 0, 2], 5)[:23].tolist()

    model = Model.from_parameters(create_char_rnn_model(K, rng, embedding_dim=D, hidden_dim=16).layers, flat(p))
    logits, _ = plain.forward(p, ids[:30, None])
    np.testing.assert_allclose(model.predict(ids[:30]), np.exp(plain.log_softmax(logits[:, 0])), rtol=1e-9)
