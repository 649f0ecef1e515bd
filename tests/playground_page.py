"""What the tests of the playground share: networks of every kind, and the programs that run its page."""

import json
import subprocess
from pathlib import Path

import numpy as np

from charrnn.layers import GRU, LSTM, Dense, Embedding, SimpleRNN, TiedDense
from charrnn.model_file import ModelFile
from charrnn.models import Model
from charrnn.preprocessing import TextVectorizer
from playground.layers import page_layers
from tests.requirements_report import find_node

DRIVER = Path(__file__).with_name("playground_node.js")
ALPHABET = "\n !abcdefghijk"
V = len(ALPHABET)
CHAINS = {
    "gru": [Embedding(V, 5), GRU(5, 12), Dense(12, V)],
    "gru, folded": [Embedding(V, 40), GRU(40, 12), Dense(12, V)],
    "gru, reset after": [Embedding(V, 5), GRU(5, 12, reset_after=True), Dense(12, V)],
    "gru, reset after, folded": [Embedding(V, 40), GRU(40, 9, reset_after=True), Dense(9, V)],
    "gru, mogrifier": [Embedding(V, 5), GRU(5, 12, mogrifier=True), Dense(12, V)],
    "gru, mogrifier, folded": [Embedding(V, 40), GRU(40, 12, mogrifier=True), Dense(12, V)],
    "gru, reset after, mogrifier": [Embedding(V, 5), GRU(5, 12, reset_after=True, mogrifier=True), Dense(12, V)],
    "gru, reset after, mogrifier, folded": [Embedding(V, 40), GRU(40, 9, reset_after=True, mogrifier=True),
                                            Dense(9, V)],
    "lstm": [Embedding(V, 5), LSTM(5, 11), Dense(11, V)],
    "lstm, folded": [Embedding(V, 40), LSTM(40, 11), Dense(11, V)],
    "rnn": [Embedding(V, 5), SimpleRNN(5, 12), Dense(12, V)],
    "rnn, relu, folded": [Embedding(V, 40), SimpleRNN(40, 12, activation="relu"), Dense(12, V)],
    "stacked, folded": [Embedding(V, 30), GRU(30, 9), LSTM(9, 8), SimpleRNN(8, 7), Dense(7, V)],
    "stacked, mogrifier, folded": [Embedding(V, 30), GRU(30, 9, mogrifier=True),
                                   GRU(9, 8, reset_after=True, mogrifier=True), SimpleRNN(8, 7), Dense(7, V)],
    "tied": [Embedding(V, 9, tied=True), GRU(9, 9), TiedDense(9, V)],
    "tied, folded": [Embedding(V, 40, tied=True), SimpleRNN(40, 9), Dense(9, 40), TiedDense(40, V)],
    "tied, narrowed": [Embedding(V, 4, tied=True), LSTM(4, 9), LSTM(9, 9), Dense(9, 4), TiedDense(4, V)],
    "dense between, folded": [Embedding(V, 6), Dense(6, 7, activation="sigmoid"), GRU(7, 8),
                              Dense(8, 6, activation="relu"), GRU(6, 5), Dense(5, 9, activation="tanh"), Dense(9, V)],
}  # fmt: skip


def model_of(layers, seed=0):
    """A model with larger weights than usual, so that its predictions are neither uniform nor certain."""
    rng = np.random.default_rng(seed)
    model = Model(layers, rng)
    for name, view in model.named_parameters():
        if name.endswith("bias"):
            view[...] = rng.normal(0, 0.3, view.shape)
    model.p[0].table[...] = rng.normal(0, 2, model.p[0].table.shape)
    if isinstance(layers[-1], Dense):
        model.p[-1].kernel[...] *= 3
    return model


def trained(model, vocabulary=ALPHABET):
    """A model file's contents."""
    data = {"corpus_sha256": 64 * "0", "train_size": 0.5, "validation_size": 0.2}
    return ModelFile(model, TextVectorizer(vocabulary), {}, data)


def packed(layers, precision, vocabulary=ALPHABET):
    """What the page reads of a network."""
    return {"vocabulary": vocabulary, "precision": precision, "layers": [layer.as_json() for layer in layers]}


def packed_model(model, precision, vocabulary=ALPHABET):
    return packed(page_layers(model, precision), precision, vocabulary)


def in_node(*jobs):
    """The results of jobs of `playground_node.js`, each a dict."""
    command = [find_node(), str(DRIVER)]
    ended = subprocess.run(command, input=json.dumps(jobs), capture_output=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
