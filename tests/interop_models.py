"""What the tests of export and import share: models of every kind, and PyTorch's published equations."""

import numpy as np

from charrnn.calibration import calibrate
from charrnn.layers import GRU, LSTM, Dense, Embedding, SimpleRNN, TiedDense
from charrnn.model_file import ModelFile
from charrnn.models import Model
from charrnn.preprocessing import TextVectorizer
from tests.stage_project import ROOT

TEXT = (ROOT / "data/bundled/tide_clock.txt").read_text(encoding="utf-8")[:3000]
VECTORIZER = TextVectorizer.fit(TEXT + "é漢🙂ROMEO:")
V, E, H = VECTORIZER.vocabulary_size, 6, 10
PARAMS = {"hidden_dim": H, "learning_rate": 0.001, "start_string": "é🙂"}
DATA = {"corpus_sha256": "0" * 64}

AS_IN_PYTORCH = {
    "gru after": [Embedding(V, E), GRU(E, H, reset_after=True), Dense(H, V)],
    "lstm": [Embedding(V, E), LSTM(E, H), Dense(H, V)],
    "rnn": [Embedding(V, E), SimpleRNN(E, H), Dense(H, V)],
    "relu": [Embedding(V, E), SimpleRNN(E, H, activation="relu"), Dense(H, V)],
    "stacked gru": [Embedding(V, E), *(GRU(D, H, reset_after=True) for D in (E, H, H)), Dense(H, V)],
    "stacked lstm": [Embedding(V, E), LSTM(E, H), LSTM(H, H), Dense(H, V)],
    "tied": [Embedding(V, H, tied=True), GRU(H, H, reset_after=True), TiedDense(H, V)],
    "tied and narrowed": [Embedding(V, E, tied=True), LSTM(E, H), Dense(H, E), TiedDense(E, V)],
}
OTHERS = {
    "gru": [Embedding(V, E), GRU(E, H), Dense(H, V)],
    "stacked": [Embedding(V, E), GRU(E, H), LSTM(H, 7), SimpleRNN(7, H, activation="sigmoid"), Dense(H, V)],
    "linear": [Embedding(V, E), SimpleRNN(E, H, activation="linear"), Dense(H, V)],
    "activations": [
        Embedding(V, E), Dense(E, 5, "tanh"), Dense(5, E, "sigmoid"), GRU(E, H), Dense(H, H, "relu"),
        Dense(H, H, "softmax"), Dense(H, V),
    ],
    "mogrifier": [Embedding(V, E), GRU(E, H, mogrifier=True), Dense(H, V)],
    "mogrifier after": [Embedding(V, E), GRU(E, H, reset_after=True, mogrifier=True), Dense(H, V)],
    "stacked mogrifier": [
        Embedding(V, E), GRU(E, 7, mogrifier=True), GRU(7, H, mogrifier=True), GRU(H, H), LSTM(H, 8),
        GRU(8, H, reset_after=True, mogrifier=True), Dense(H, V),
    ],
    "no recurrence": [Embedding(V, E), Dense(E, V)],
}  # fmt: skip
ALL = AS_IN_PYTORCH | OTHERS


def trained(layers, seed=0, dtype=np.float32):
    """A model file of these layers with random parameters, biases included."""
    rng = np.random.default_rng(seed)
    model = Model(layers, rng, dtype)
    model.parameters[...] = rng.normal(0, 0.25, len(model.parameters))
    return ModelFile(model, VECTORIZER, PARAMS, DATA, init_sha256="1" * 64)


def calibrated():
    contents = trained(OTHERS["gru"])
    assert calibrate(contents.model, VECTORIZER.encode(TEXT)) != 1
    return contents


def assert_same(read, contents):
    """Exactly the same model, bit by bit."""
    assert read.model.layers == contents.model.layers
    assert read.model.dtype == contents.model.dtype
    np.testing.assert_array_equal(read.model.parameters, contents.model.parameters)
    assert (read.vectorizer, read.params, read.data) == (contents.vectorizer, contents.params, contents.data)
    assert read.init_sha256 == contents.init_sha256


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step(gates_x, gates_h, h, c):
    (r_x, z_x, n_x), (r_h, z_h, n_h) = np.split(gates_x, 3), np.split(gates_h, 3)
    r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
    n = np.tanh(n_x + r * n_h)
    return (1 - z) * n + z * h, c


def lstm_step(gates_x, gates_h, h, c):
    i, f, g, o = np.split(gates_x + gates_h, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


STEPS = {
    "gru": gru_step,
    "lstm": lstm_step,
    "rnn": lambda gates_x, gates_h, h, c: (np.tanh(gates_x + gates_h), c),
    "relu": lambda gates_x, gates_h, h, c: (np.maximum(gates_x + gates_h, 0), c),
}


def read_by_pytorchs_equations(arrays, step, ids):
    """The logits (T, V) after each id, as the documentation of nn.GRU, nn.LSTM and nn.RNN defines them, in float64."""
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    xs = arrays["embedding.weight"][ids]
    for k in range(sum(name.startswith("rnn.weight_hh") for name in arrays)):
        W_x, W_h, b_x, b_h = (arrays[f"rnn.{name}_l{k}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        h, c, outputs = np.zeros(W_h.shape[1]), np.zeros(W_h.shape[1]), []
        for x in xs:
            h, c = step(W_x @ x + b_x, W_h @ h + b_h, h, c)
            outputs.append(h)
        xs = np.array(outputs)
    for module in ("projection", "output"):
        if f"{module}.weight" in arrays:
            xs = xs @ arrays[f"{module}.weight"].T + arrays[f"{module}.bias"]
    return xs
