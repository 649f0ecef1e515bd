"""Dynamic evaluation: a network keeps learning from a text while it reads it.

What has just been read says much about what follows: its names, its words, its style. So after each window of T
characters has been predicted, the parameters take a step (Krause et al. 2018, arXiv 1709.07432). θ_0 are the trained
parameters, and the hidden state is carried from window to window:

    predict window i with θ_{i-1}                    the loss that is reported
    g = ∇ mean loss of window i, at θ_{i-1}          backpropagation through the window
    θ_i = θ_{i-1} - η g / (σ + ε) + λ n ∘ (θ_0 - θ_{i-1})

    σ = √(mean of g² over windows of the training text, at θ_0)       (P,)
    n = min(σ / mean(σ), 1/λ)

The first term divides by the usual size of each gradient, as RMSprop does, so η does not depend on their scale. The
second pulls the parameters back to θ_0, those that usually have large gradients more strongly. Unlike in the paper, ε
is a fraction of the mean of σ rather than a constant, so that it scales with the gradients too.
"""

from collections.abc import Iterator

import numpy as np

from charrnn.arrays import Array, HiddenState
from charrnn.config import DynamicConfig
from charrnn.errors import InputError
from charrnn.evaluation import figures, require_predictable
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.models import Model
from charrnn.network import Network
from charrnn.preprocessing import require_text, require_window, streams

EPSILON = 0.1  # ε / mean(σ)
SQUARES_FROM = 50_000  # characters of the training text that the mean squares are measured on
PARAMETERS_AT_ONCE = 1 << 16  # that a step changes, so that its arrays stay in the processor's cache


def evaluate_dynamically(network: Network, ids: Array, mean_squares: Array, config: DynamicConfig) -> dict[str, float]:
    """Read a text once, predict every character but the first, and learn on the way; the network itself stays as it is.

    Parameters
    ----------
    ids
        (n,) ids, n at least 2; may be a memory map. Memory does not grow with n.
    mean_squares
        (P,) from `mean_squared_gradients`, with the window size of the config.

    Raises
    ------
    InputError
        If there are fewer than 2 ids, some are not integers in 0 … V-1, or `mean_squares` has another shape.

    Returns
    -------
    dict
        The figures of `charrnn.evaluation.evaluate`. They are not finite if the learning rate was far too high.

    >>> mean_squares = mean_squared_gradients(model, train_ids, DynamicConfig().window_size)
    >>> figures = evaluate_dynamically(model, test_ids, mean_squares, DynamicConfig())
    >>> sorted(figures)
    ['accuracy', …, 'loss', …]
    """
    loss = correct = characters = 0
    for losses, hits in read_and_learn(Network(network.layers, network.parameters.copy()), ids, mean_squares, config):
        loss += losses.sum(dtype=np.float64)
        correct += hits.sum()
        characters += len(losses)
    return figures(float(loss), int(correct), characters)


def adapted(model: Model, ids: Array, mean_squares: Array, config: DynamicConfig) -> Model:
    """A copy of a model that has read a text (n,) and learned from it; the rest is as in `evaluate_dynamically`."""
    reader = Model.from_parameters(model.layers, model.parameters.copy())
    for _ in read_and_learn(reader, ids, mean_squares, config):
        pass
    return reader


def read_and_learn(
    network: Network, ids: Array, mean_squares: Array, config: DynamicConfig
) -> Iterator[tuple[Array, Array]]:
    """Read a text (n,) from a zero state, and yield losses and hits for each window of T characters.

    These are the loss in nats of each character, and whether the most probable character was the right one, both (T,),
    or shorter at the end of the text. The next window overwrites them. The network learns from a window when the next
    one is requested, and changes in place.

    Raises
    ------
    InputError
        As in `evaluate_dynamically`, when the function is called.
    """
    require_predictable(network, ids)
    if np.shape(mean_squares) != network.parameters.shape:
        raise InputError(
            f"mean_squares: the shape is {np.shape(mean_squares)}; it must be {network.parameters.shape}, "
            "one mean for each parameter"
        )
    return _read_and_learn(network, ids, mean_squares, config)


def _read_and_learn(
    network: Network, ids: Array, mean_squares: Array, config: DynamicConfig
) -> Iterator[tuple[Array, Array]]:
    reader, step = _Reader(network, min(config.window_size, len(ids) - 1)), _Step(network, mean_squares, config)
    for x, y in streams(ids, 1, config.window_size):
        yield reader.predict(x, y)
        step.take(reader.gradient())


def mean_squared_gradients(network: Network, ids: Array, window_size: int) -> Array:
    """The mean square of each parameter's gradient (P,), over consecutive windows of the training text.

    Parameters
    ----------
    ids
        (n,) ids, n above `window_size`; may be a memory map. Only the first `SQUARES_FROM` are read.

    Raises
    ------
    InputError
        If the text is not longer than a window, or some ids are not integers in 0 … V-1.
    """
    ids = ids[:SQUARES_FROM]
    require_window(len(ids), window_size, "training text")
    require_text(ids, network.num_ids, "training text")
    num_windows = (len(ids) - 1) // window_size
    reader, squares = _Reader(network, window_size), np.zeros_like(network.parameters)
    for x, y in streams(ids[: num_windows * window_size + 1], 1, window_size):
        reader.predict(x, y)
        squares += np.square(reader.gradient(), out=network.gradient)
    return squares / num_windows


class _Reader:
    """Predicts one window of T ids after another with a network, carrying the state, and computes gradients."""

    def __init__(self, network: Network, T: int) -> None:
        self.network, self.cross_entropy = network, SparseCategoricalCrossentropy()
        self.state: HiddenState | None = None
        self._allocate(T)

    def _allocate(self, T: int) -> None:
        self.buffers = self.network.allocate(T, 1)
        self.loss_buffers = self.cross_entropy.allocate(T, 1, self.network.output_dim, self.network.dtype)

    def predict(self, x: Array, y: Array) -> tuple[Array, Array]:
        """The loss of each id of y (T, 1) after x (T, 1), in a buffer, and whether it was the most probable: (T,)."""
        if len(x) != self.buffers.output_steps:  # the last window may be shorter
            self._allocate(len(x))
        logits = self.network.forward(x, self.buffers, self.state)
        self.state = self.network.final_state(self.buffers)
        losses = self.cross_entropy.forward(logits, y, self.loss_buffers)
        return losses[:, 0], (logits.argmax(axis=-1) == y)[:, 0]

    def gradient(self) -> Array:
        """The gradient of the mean loss of the window that was predicted last (P,), in the network's own vector."""
        return self.network.backward(self.cross_entropy.backward(self.loss_buffers), self.buffers)


class _Step:
    """The step that a network takes after each window."""

    def __init__(self, network: Network, mean_squares: Array, config: DynamicConfig) -> None:
        sigma = np.sqrt(mean_squares)
        mean = max(float(sigma.mean()), np.finfo(sigma.dtype).tiny)
        self.parameters, self.trained = network.parameters, network.parameters.copy()
        self.rates = np.divide(config.learning_rate, sigma + EPSILON * mean).astype(network.dtype)  # η / (σ + ε)
        self.decays = np.minimum(config.decay / mean * sigma, 1).astype(network.dtype)  # λ n
        self.scratch = np.empty(PARAMETERS_AT_ONCE, network.dtype)

    def take(self, gradient: Array) -> None:
        """Change the parameters, and overwrite the gradient."""
        arrays = self.parameters, self.trained, self.rates, self.decays, gradient
        for start in range(0, len(gradient), PARAMETERS_AT_ONCE):
            theta, trained, rates, decays, g = (array[start : start + PARAMETERS_AT_ONCE] for array in arrays)
            back = np.subtract(trained, theta, out=self.scratch[: len(g)])
            back *= decays  # λ n ∘ (θ_0 - θ)
            g *= rates  # η g / (σ + ε)
            back -= g
            theta += back
