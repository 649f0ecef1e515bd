"""Fine-tuning: train a model further on another text, which may have characters that the model does not know.

A new character gets a row of its own in the embedding table, a column in the output layer's weights, and a bias. Each
starts as the mean over all characters that the model knows. So the network reads a new character as an average one. Its
logit is the mean of all others, and exp(mean) is at most the mean of exp, so with V known characters and n new ones:

    p(new) <= p(all known characters together) / V,
    the loss on any text of known characters rises by at most log(1 + n / V).

Where the model is sure of the next character, most logits are far below the largest one, and a new character starts
nearly impossible. A random column could have the largest logit of all instead (Hewitt 2021, "Initializing New Word
Embeddings for Pretrained Language Models"). With tied weights, the row and the column are the same, and so is their
mean. New characters start with equal weights; the first training step on a text that has them sets them apart.
"""

from dataclasses import replace

import numpy as np

from charrnn.config import ModelConfig
from charrnn.errors import InputError
from charrnn.layers import CELLS, GRU, Dense, Embedding, Recurrent, TiedDense
from charrnn.models import Model, char_rnn_layers
from charrnn.network import parameter_count


def add_characters(model: Model, count: int) -> Model:
    """A copy of a model that knows `count` more characters, whose ids follow those that it knows.

    Raises
    ------
    InputError
        If the model does not begin with an `Embedding` and end with a `Dense` or `TiedDense` layer.

    >>> model = create_char_rnn_model(65, np.random.default_rng(42))
    >>> add_characters(model, 2).predict(np.array([7, 66])).shape
    (2, 67)
    """
    first, middle, last = model.layers[0], model.layers[1:-1], model.layers[-1]
    if not isinstance(first, Embedding) or not isinstance(last, Dense | TiedDense):
        raise InputError("a model must begin with an Embedding and end with a Dense or TiedDense layer to grow")
    V = model.input_dim + count
    layers = [replace(first, input_dim=V), *middle, replace(last, output_dim=V)]
    grown = Model.from_parameters(layers, np.empty(parameter_count(layers), model.dtype))
    for (_, new), (_, known) in zip(grown.named_parameters(), model.named_parameters()):
        grows = [axis for axis, (size, before) in enumerate(zip(new.shape, known.shape)) if size != before]
        for axis in grows:  # at most one, that of the characters
            mean = known.mean(axis, keepdims=True, dtype=np.float64)
            known = np.concatenate([known, np.repeat(mean, count, axis)], axis)
        new[...] = known
    return grown


def model_config(model: Model) -> ModelConfig:
    """The settings with which `create_char_rnn_model` builds the layers of this model.

    Raises
    ------
    InputError
        If it can't build these layers.

    >>> model_config(create_char_rnn_model(65, np.random.default_rng(42), cell="lstm", hidden_dim=256))
    ModelConfig(cell='lstm', num_layers=1, embedding_dim=16, hidden_dim=256, tie_weights=False, reset_after=False, …)
    """
    first, recurrent = model.layers[0], [layer for layer in model.layers if isinstance(layer, Recurrent)]
    for cell, layer_class in CELLS.items():
        if isinstance(first, Embedding) and recurrent and type(recurrent[0]) is layer_class:
            config = ModelConfig(
                cell=cell,
                num_layers=len(recurrent),
                embedding_dim=first.output_dim,
                hidden_dim=recurrent[0].hidden_dim,
                tie_weights=first.tied,
                reset_after=isinstance(recurrent[0], GRU) and recurrent[0].reset_after,
                mogrifier=isinstance(recurrent[0], GRU) and recurrent[0].mogrifier,
            )
            if char_rnn_layers(first.input_dim, config) == list(model.layers):
                return config
    layers = ", ".join(f"{type(layer).__name__} {layer.input_dim} → {layer.output_dim}" for layer in model.layers)
    raise InputError(f"the layers are {layers}, which is not a network that create_char_rnn_model builds")
