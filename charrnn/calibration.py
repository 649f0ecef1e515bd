"""How sure a model should be: one factor for all its logits, with which it predicts best what it has not learned.

A network that knows its training text too well is surer of itself than it is right. The factor mends that and leaves
the order of the characters as it is (Guo et al. 2017, arXiv 1706.04599, section 4.2, where its inverse is called the
temperature). It is multiplied into the weights, so that the model stays what it was: logits, and their softmax.
"""

from typing import TYPE_CHECKING

import numpy as np

from charrnn.errors import InputError
from charrnn.evaluation import read_in_streams
from charrnn.layers import Dense
from charrnn.losses import SparseCategoricalCrossentropy

if TYPE_CHECKING:
    from charrnn.models import Model

FACTORS = np.arange(50, 151) / 100  # the loss is flat around the best, so that hundredths are fine enough
MOST_CHARACTERS = 10**6  # that are read; more would not change the factor
LEAST_CHARACTERS = 10**4  # of a stream: at the beginning of one, a model knows little and should not be sure


def require_scalable(model: "Model") -> None:
    """Raise InputError unless the logits come from a linear `Dense` layer, whose weights are theirs alone."""
    last = model.layers[-1]
    if not isinstance(last, Dense) or last.activation != "linear":
        raise InputError(
            f"calibrate is True; with a {type(last).__name__} layer at the end it must be False, because only the "
            "weights of a linear Dense layer scale the logits and nothing else"
        )


def calibrate(model: "Model", ids: np.ndarray, most_streams: int = 1) -> float:
    """Scale the weights of the last layer in place, and return the factor, which is one of `FACTORS`.

    Parameters
    ----------
    ids
        (n,) ids of the text, n at least 2; may be a memory map. It is read as `charrnn.evaluation.evaluate` does, up to
        `MOST_CHARACTERS`.
    most_streams
        From so many places side by side, if each has `LEAST_CHARACTERS`.

    Raises
    ------
    InputError
        If `require_scalable` does, or `evaluate` would.
    """
    require_scalable(model)
    cross_entropy, totals = SparseCategoricalCrossentropy(), np.zeros(len(FACTORS))
    ids = ids[:MOST_CHARACTERS]
    num_streams = min(most_streams, max(1, len(ids) // LEAST_CHARACTERS))
    for logits, targets in read_in_streams(model, ids, num_streams):
        scaled = np.empty_like(logits)
        T, B, V = logits.shape
        work = cross_entropy.work(T, B, V, logits.dtype)
        for k, factor in enumerate(FACTORS.tolist()):
            np.multiply(logits, factor, out=scaled)
            totals[k] += cross_entropy.forward(scaled, targets, work).sum(dtype=np.float64)
    factor = float(FACTORS[totals.argmin()])
    last = model.p[-1]
    last.kernel *= factor
    last.bias *= factor
    return factor
