"""Look into a trained network while it reads a text: its surprise, its states and gates, and its use of context.

Every function takes arrays and returns arrays, for a report or a notebook. A text is read as one sequence from a zero
state. Memory grows with its length, so choose a passage of some ten thousand characters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.activations import softmax
from charrnn.arrays import Array
from charrnn.blas import one_blas_thread
from charrnn.errors import InputError
from charrnn.layers import Embedding
from charrnn.network import Network
from charrnn.preprocessing import require_text
from charrnn.reading import candidates

LOW, HIGH = 0.1, 0.9  # a gate below or above is saturated
RIDGE = 1e-3  # times the mean variance of the states


@dataclass(frozen=True)
class Reading:
    """What a network computes while it reads n ids.

    Attributes
    ----------
    ids
        (n,) the text.
    probabilities
        (n, V) of the next id, after each id.
    states
        (n, H) after each id, for each recurrent layer, by its position in the network and the name of the state, as in
        "1.h".
    gates
        (n, H) at each id, likewise, as in "1.update".

    >>> reading = read(model, vectorizer.encode("To be, or not to be"))
    >>> bits = reading.surprise()
    >>> reading.states["1.h"].shape
    (19, 128)
    """

    ids: Array
    probabilities: Array
    states: Mapping[str, Array]
    gates: Mapping[str, Array]

    def surprise(self) -> Array:
        """-log2 p of each id (n,), in bits; NaN for the first, which is not predicted.

        A probability that underflows counts as the smallest normal number, so the most is 126 bits in float32.
        """
        p = self.probabilities[np.arange(len(self.ids) - 1), self.ids[1:]]
        return np.append(np.nan, -np.log2(np.maximum(p, np.finfo(p.dtype).tiny)))

    def candidates(self, k: int) -> tuple[Array, Array]:
        """The k most probable next ids after each id, most probable first: ids and probabilities, both (n, k)."""
        return candidates(self.probabilities, k)


def read(network: Network, ids: Array) -> Reading:
    """Read a text (n,) from a zero state, and keep all that the network computes.

    Raises
    ------
    InputError
        If there are no ids, or some are not in 0 … V-1.
    """
    require_text(ids, network.num_ids, "text")
    if not len(ids):
        raise InputError("the text is empty; it must have at least one id")
    buffers = network.allocate(len(ids), 1)
    probabilities = softmax(network.forward(ids[:, None], buffers))[:, 0]
    states: dict[str, Array] = {}
    gates: dict[str, Array] = {}
    for i, (layer, own) in enumerate(zip(network.layers, buffers.layers)):
        states |= {f"{i}.{name}": vars(own)[name][1:, 0] for name in layer.state_dims}
        gates |= {f"{i}.{name}": gate[:, 0] for name, gate in layer.gates(own).items()}
    return Reading(ids, probabilities, states, gates)


@one_blas_thread()
def correlations(states: Array, feature: Array) -> Array:
    """Pearson's r of each unit with a feature of the text: states (n, H) and feature (n,) -> (H,).

    It is 0 where a unit or the feature never changes.
    """
    X, y = states - states.mean(axis=0, dtype=np.float64), feature - feature.mean(dtype=np.float64)
    scale = np.sqrt((X**2).sum(axis=0) * (y**2).sum())
    return np.divide(y @ X, scale, out=np.zeros(states.shape[1]), where=scale > 0)


@dataclass(frozen=True)
class BestUnit:
    """The unit that follows a feature best on the first half of a text.

    Attributes
    ----------
    unit
        Its number.
    on_first_half, correlation
        Pearson's r of the unit and the feature: on the first half, where the unit was chosen, and on the second.
    """

    unit: int
    on_first_half: float
    correlation: float


def best_unit(states: Array, feature: Array) -> BestUnit:
    """The unit of the states (n, H) whose correlation with a feature (n,) is largest in size on the first half."""
    half = len(states) // 2
    on_first_half = correlations(states[:half], feature[:half])
    unit = int(np.abs(on_first_half).argmax())
    r = float(correlations(states[half:, unit : unit + 1], feature[half:])[0])
    return BestUnit(unit, float(on_first_half[unit]), r)


@dataclass(frozen=True)
class Probe:
    """A linear function of the whole state that follows a feature.

    Attributes
    ----------
    weights, bias
        (H,) float64 and a number: the probe reads the feature as states @ weights + bias.
    values
        (n,) this for each of the n states that it was made from.
    correlation
        Pearson's r of values and feature on the second half of the text, which the probe was not fitted on.
    """

    weights: Array
    bias: float
    values: Array
    correlation: float


@one_blas_thread()
def linear_probes(states: Array, features: Array) -> list[Probe]:
    """Fit features (n, m) by ridge regression on the first half of the states (n, H): w = (XᵀX + λI)⁻¹ Xᵀy.

    λ is a thousandth of the mean variance of a unit, times the number of characters. See Alain and Bengio (2016), arXiv
    1610.01644.
    """
    half = len(states) // 2
    mean, y_mean = (of[:half].mean(axis=0, dtype=np.float64) for of in (states, features))
    X, Y = states[:half] - mean, features[:half] - y_mean
    covariance = X.T @ X
    ridge = RIDGE * np.trace(covariance) / len(covariance) + np.finfo(float).tiny
    W = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), X.T @ Y)
    values = (states - mean) @ W + y_mean
    biases = y_mean - mean @ W
    return [
        Probe(weights, float(bias), own, float(correlations(own[half:, None], feature[half:])[0]))
        for weights, bias, own, feature in zip(W.T, biases, values.T, features.T)
    ]


def linear_probe(states: Array, feature: Array) -> Probe:
    """Fit one feature (n,) as `linear_probes` does."""
    return linear_probes(states, feature[:, None])[0]


def saturation(gate: Array) -> tuple[Array, Array]:
    """The share of time steps in which each unit's gate (n, H) is below 0.1, and above 0.9: two (H,).

    See Karpathy, Johnson and Li (2015), arXiv 1506.02078, figure 2.
    """
    return (gate < LOW).mean(axis=0), (gate > HIGH).mean(axis=0)


def time_constants(gate: Array) -> Array:
    """How many characters each unit remembers (H,): after τ characters, 1/e of what it held is left, τ = -1 / log z̄.

    `gate` (n, H) is the share of the state that is kept at each time step. z̄ is its arithmetic mean, so a unit that
    keeps all until it is reset remembers, on average, until it is reset; the geometric mean would be zero.
    """
    with np.errstate(divide="ignore"):
        return 1 / np.abs(np.log(gate.mean(axis=0, dtype=np.float64)))


@one_blas_thread()
def connectivity(network: Network, ids: Array, positions: Array, context: int) -> Array:
    """How much each earlier character affects the most probable prediction (Madsen 2019, doi 10.23915/distill.00016).

    For the prediction after `ids[t]`, it is the norm of the gradient of its largest logit with respect to the embedding
    of each of the last `context` characters, which the network reads from a zero state. `network.gradient` is
    overwritten.

    Parameters
    ----------
    ids
        (n,) the text.
    positions
        (m,) the positions t, each at least context - 1.

    Returns
    -------
    ndarray
        (m, context), the character at `t` last.

    Raises
    ------
    InputError
        If the first layer is not an Embedding, a position is out of range, or the network does not know an id.
    """
    require_text(ids, network.num_ids, "text")
    if not isinstance(network.layers[0], Embedding):
        raise InputError(f"the first layer is {network.layers[0]}; for connectivity, it must be an Embedding")
    if not len(positions):
        return np.zeros((0, context), network.dtype)
    if positions.min() < context - 1 or positions.max() >= len(ids):
        raise InputError(
            f"positions range from {positions.min()} to {positions.max()}; with {context} characters of context in a "
            f"text of {len(ids)} they must be in {context - 1} … {len(ids) - 1}"
        )
    x = np.lib.stride_tricks.sliding_window_view(ids, context)[positions - context + 1].T
    buffers = network.allocate(*x.shape)
    logits = network.forward(x, buffers)
    dy: Any = np.zeros_like(logits)
    dy[-1, np.arange(len(positions)), logits[-1].argmax(axis=-1)] = 1
    for i in reversed(range(1, len(network.layers))):  # not the embedding, whose own gradient sums over positions
        dy = network.layers[i].backward(network.p[i], network.grad[i], buffers.inputs[i], dy, buffers.layers[i])
    return np.linalg.norm(dy, axis=-1).T


@one_blas_thread()
def principal_components(table: Array, k: int = 2) -> tuple[Array, Array]:
    """The first k principal components of vectors (V, E): coordinates (V, k), and the share of variance of each (k,).

    The sign of a component is chosen so that its largest coordinate is positive. Missing components are zero.
    """
    centered = table - table.mean(axis=0, dtype=np.float64)
    U, S, _ = np.linalg.svd(centered, full_matrices=False)
    S = np.append(S, np.zeros(k))
    coordinates = np.zeros((len(table), k))
    found = min(k, U.shape[1])
    coordinates[:, :found] = U[:, :found] * S[:found]
    largest = np.abs(coordinates).argmax(axis=0)
    coordinates *= np.where(coordinates[largest, np.arange(k)] < 0, -1, 1)
    return coordinates, S[:k] ** 2 / max((S**2).sum(), np.finfo(float).tiny)
