"""The model: a network with `fit`, `evaluate` and `predict`, and the standard architecture."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import numpy as np

from charrnn.activations import softmax
from charrnn.arrays import Array, DType, HiddenState
from charrnn.config import ModelConfig, TrainingConfig
from charrnn.errors import InputError
from charrnn.evaluation import evaluate
from charrnn.initializers import Initializer, random_uniform, zeros
from charrnn.layers import CELLS, Dense, Embedding, Layer, TiedDense
from charrnn.network import Network, parameter_count
from charrnn.optimizers import Optimizer
from charrnn.preprocessing import require_ids
from charrnn.training import Callback, History, TrainingState, fit


class Model(Network):
    """A chain of layers with initialized parameters.

    Parameters
    ----------
    layers
        The layers in order; each one's input_dim must be the output_dim of the one before.
    rng
        Draws the initial parameters, layer by layer.
    dtype
        float32, or float64 to check gradients.

    Raises
    ------
    InputError
        If the layers do not fit together, see `charrnn.network.Network`, or one of them drops time steps.

    >>> rng = np.random.default_rng(42)
    >>> model = Model([Embedding(65, 16), GRU(16, 128), Dense(128, 65)], rng)
    >>> model.predict(np.array([7, 3, 3])).shape
    (3, 65)
    """

    def __init__(self, layers: Sequence[Layer], rng: np.random.Generator, dtype: DType = np.float32) -> None:
        super().__init__(layers, np.zeros(parameter_count(layers), dtype))
        for layer, p in zip(self.layers, self.p):
            layer.init(p, rng)

    def _require_chain(self) -> None:
        super()._require_chain()
        for layer in self.layers:
            if layer.output_steps(2) != 2:
                raise InputError(
                    f"the {type(layer).__name__} drops time steps, which only a training network may do; a model must "
                    "predict at every step"
                )

    @classmethod
    def from_parameters(cls, layers: Sequence[Layer], parameters: Array) -> "Model":
        """A model on an existing flat vector, which it shares rather than copies."""
        model = cls.__new__(cls)
        Network.__init__(model, layers, parameters)
        return model

    def fit(
        self,
        train_ids: Array,
        validation_ids: Array,
        *,
        rng: np.random.Generator,
        optimizer: Optimizer | str = TrainingConfig.optimizer,
        callbacks: Sequence[Callback] = (),
        resume: TrainingState | None = None,
        **settings: Any,
    ) -> History:
        """Train the model in place, and keep the parameters of the best epoch.

        Parameters
        ----------
        train_ids, validation_ids
            (n,) ids in text order; may be memory maps.
        rng
            Shuffles the windows and seeds the dropout.
        optimizer
            The name of an optimizer, which uses the settings `learning_rate` and `beta_2`, or your own optimizer.
        callbacks, resume
            See `charrnn.training.train`.
        settings
            Fields of `charrnn.TrainingConfig`, such as `num_epochs=3, workers=2`.

        Returns
        -------
        list of dict
            A row for each epoch, see `charrnn.training.train`.

        Raises
        ------
        InputError
            If a setting is not allowed, a text is too short, or some ids are not integers in 0 … V-1.
        DivergenceError
            As soon as a loss or a gradient is not finite.
        WorkerError
            If a worker process died.
        """
        if isinstance(optimizer, str):
            config, own = TrainingConfig(optimizer=optimizer, **settings), None
        else:
            config, own = TrainingConfig(**{"learning_rate": optimizer.learning_rate, **settings}), optimizer
        return fit(self, train_ids, validation_ids, config, rng=rng, optimizer=own, callbacks=callbacks, resume=resume)

    def evaluate(self, ids: Array, *, num_streams: int = 1) -> dict[str, float]:
        """Loss, bits per character, perplexity and accuracy on a text, see `charrnn.evaluation.evaluate`."""
        return evaluate(self, ids, num_streams=num_streams)

    def predict(self, ids: Array, state: HiddenState | None = None) -> Array:
        """Probabilities of the next id: (T, V) for ids (T,), (T, B, V) for B sequences of ids (T, B).

        Raises
        ------
        InputError
            If there are no ids, or some are not integers in 0 … V-1.
        """
        if np.ndim(ids) not in (1, 2) or not np.size(ids):
            raise InputError(f"ids: the shape is {np.shape(ids)}; it must be (T,) or (T, B), with at least one id")
        require_ids(ids, self.input_dim)
        columns = ids.reshape(len(ids), -1)
        probabilities = softmax(self.forward(columns, self.allocate(*columns.shape), state))
        return probabilities if ids.ndim == 2 else probabilities[:, 0]


def create_char_rnn_model(
    vocabulary_size: int,
    rng: np.random.Generator,
    *,
    dtype: DType = np.float32,
    embedding_initializer: Initializer = random_uniform,
    output_bias_initializer: Initializer = zeros,
    **settings: Any,
) -> Model:
    """The standard network: embedding → recurrent layers → dense layer, whose softmax is part of the loss.

    `settings` are fields of `charrnn.ModelConfig`. With `tie_weights`, the output layer shares the embedding table; if
    embedding_dim and hidden_dim differ, a dense layer maps the hidden state to the width of the embedding first. The
    two initializers draw the embedding table (V, E) and the bias of the output layer (V,), see `charrnn.initializers`.

    Raises
    ------
    InputError
        If a setting is not allowed.

    >>> model = create_char_rnn_model(65, np.random.default_rng(42), cell="lstm", hidden_dim=256)
    >>> model.layers[1]
    LSTM(input_dim=16, hidden_dim=256, …)
    """
    embedding, *others, output = char_rnn_layers(vocabulary_size, ModelConfig(**settings))
    first = replace(cast(Embedding, embedding), initializer=embedding_initializer)
    last = replace(cast(Dense | TiedDense, output), bias_initializer=output_bias_initializer)
    return Model([first, *others, last], rng, dtype)


def char_rnn_layers(vocabulary_size: int, config: ModelConfig) -> list[Layer]:
    """The layers of the standard network."""
    E, H = config.embedding_dim, config.hidden_dim
    options = {"reset_after": config.reset_after, "mogrifier": config.mogrifier} if config.cell == "gru" else {}
    recurrent = [CELLS[config.cell](*widths, **options) for widths in pairwise([E] + [H] * config.num_layers)]
    if config.tie_weights:
        narrowed = [Dense(H, E)] if H != E else []
        outputs: list[Layer] = [*narrowed, TiedDense(E, vocabulary_size)]
    else:
        outputs = [Dense(H, vocabulary_size)]
    return [Embedding(vocabulary_size, E, tied=config.tie_weights), *recurrent, *outputs]
