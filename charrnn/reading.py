"""Read a text of any length piece by piece: how much each character surprises a network, and what it expects next.

What a network knows after reading is a value, `Context`: pass it on to read further, from there and as often as you
like.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from charrnn.activations import softmax
from charrnn.arrays import Array, HiddenState
from charrnn.losses import SparseCategoricalCrossentropy
from charrnn.network import Network
from charrnn.preprocessing import require_text

LN2 = np.log(2)
READ_AT_ONCE = 1 << 11  # characters; this and the next limit bound the memory
LOGITS_AT_ONCE = 1 << 22  # numbers; fewer characters are read at once with a large vocabulary


@dataclass(frozen=True)
class Context:
    """What a network knows after reading a text.

    Attributes
    ----------
    logits
        (V,) of the next id.
    state
        The hidden state.

    >>> bits, context = surprise(model, vectorizer.encode("To be"))
    >>> ids, probabilities = candidates(context.probabilities(), 5)
    >>> more_bits, context = surprise(model, vectorizer.encode(" or not"), context)
    """

    logits: Array
    state: HiddenState

    def probabilities(self) -> Array:
        """The probability of each next id (V,)."""
        return softmax(self.logits)


def surprise(network: Network, ids: Array, context: Context | None = None) -> tuple[Array, Context | None]:
    """Read a text (n,), from a zero state or further from a context, with memory for n numbers.

    Returns
    -------
    tuple
        -log2 p of each id (n,), in bits, where the first is NaN if there is no context to predict it from; and the
        context after the text, which is None only if nothing was ever read.

    Raises
    ------
    InputError
        If some ids are not integers in 0 … V-1, or have another shape.
    """
    require_text(ids, network.num_ids, "ids")
    bits, n = np.empty(len(ids), network.dtype), 0
    for logits, state in read_pieces(network, ids, context.state if context else None):
        before = np.full_like(logits[:1], np.nan) if context is None else context.logits[None]
        predictions = np.concatenate([before, logits[:-1]])
        bits[n : n + len(logits)] = _losses(predictions, ids[n : n + len(logits)]) / LN2
        context, n = Context(logits[-1].copy(), state), n + len(logits)
    return bits, context


def context_after(network: Network, ids: Array) -> Context:
    """What a network knows after reading a text (n,), n at least 1, from a zero state; memory does not grow with n."""
    for logits, state in read_pieces(network, ids):
        context = Context(logits[-1].copy(), state)
    return context


def candidates(probabilities: Array, k: int) -> tuple[Array, Array]:
    """The k most probable ids of each distribution (..., V), most probable first: ids and probabilities (..., k)."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")[..., :k]
    return order, np.take_along_axis(probabilities, order, axis=-1)


def read_pieces(network: Network, ids: Array, state: HiddenState | None = None) -> Iterator[tuple[Array, HiddenState]]:
    """Read ids (n,) from a state, by default zero; yield the logits (T, V) and the final state of each piece."""
    length = max(1, min(READ_AT_ONCE, LOGITS_AT_ONCE // network.output_dim))
    for start in range(0, len(ids), length):
        piece = ids[start : start + length]
        buffers = network.allocate(len(piece), 1)
        logits = network.forward(piece[:, None], buffers, state)[:, 0]
        state = network.final_state(buffers)
        yield logits, state


def _losses(logits: Array, ids: Array) -> Array:
    """-log p of each id (T,) in nats, for logits (T, V)."""
    cross_entropy = SparseCategoricalCrossentropy()
    buffers = cross_entropy.allocate(len(ids), 1, logits.shape[-1], logits.dtype)
    return cross_entropy.forward(logits[:, None], ids[:, None], buffers)[:, 0]
