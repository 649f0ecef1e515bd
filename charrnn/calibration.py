"""Temperature scaling: multiply all logits by the one factor that predicts the validation text best.

A network that overfits is overconfident. The factor corrects this without changing the ranking of the characters (Guo
et al. 2017, arXiv 1706.04599, section 4.2; the factor is the inverse of their temperature). It is multiplied into the
output weights, so nothing else changes.
"""

import numpy as np

from charrnn.errors import InputError
from charrnn.evaluation import logits_and_targets
from charrnn.layers import Dense
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.network import Network

FACTORS = np.arange(50, 151) / 100  # the loss is flat around the best one, so hundredths are fine enough
MOST_CHARACTERS = 10**6  # more would not change the factor
LEAST_CHARACTERS = 10**4  # per stream: at its start, a model has little context and should be less confident


def require_scalable(network: Network) -> None:
    """Raise InputError unless the last layer is a linear `Dense` layer, whose weights scale nothing but the logits."""
    last = network.layers[-1]
    if not isinstance(last, Dense) or last.activation != "linear":
        raise InputError(
            f"calibrate is True; with a {type(last).__name__} layer at the end it must be False, because only the "
            "weights of a linear Dense layer scale the logits and nothing else"
        )


def calibrate(network: Network, ids: np.ndarray, most_streams: int = 1) -> float:
    """Scale the weights of the last layer in place and return the factor, one of `FACTORS`.

    Parameters
    ----------
    ids
        (n,) ids of the text, n at least 2; may be a memory map. Only the first `MOST_CHARACTERS` are read, in the same
        way as by `charrnn.evaluation.evaluate`.
    most_streams
        Read the text as at most this many parallel streams, each of at least `LEAST_CHARACTERS`.

    Raises
    ------
    InputError
        If the network can't be scaled (`require_scalable`) or the ids can't be evaluated (`evaluate`).
    """
    require_scalable(network)
    cross_entropy, totals = SparseCategoricalCrossentropy(), np.zeros(len(FACTORS))
    ids = ids[:MOST_CHARACTERS]
    num_streams = min(most_streams, max(1, len(ids) // LEAST_CHARACTERS))
    for logits, targets in logits_and_targets(network, ids, num_streams):
        scaled = np.empty_like(logits)
        T, B, V = logits.shape
        buffers = cross_entropy.allocate(T, B, V, logits.dtype)
        for k, factor in enumerate(FACTORS.tolist()):
            np.multiply(logits, factor, out=scaled)
            totals[k] += cross_entropy.forward(scaled, targets, buffers).sum(dtype=np.float64)
    factor = float(FACTORS[totals.argmin()])
    last = network.p[-1]
    last.kernel *= factor
    last.bias *= factor
    return factor
