"""Generating text, one character at a time with carried state, so that every character takes equally long.

Ids are drawn by the Gumbel-max trick (Maddison, Tarlow and Minka 2014, section 2): with independent Gumbel noise
g_i = -log(-log(u_i)), u_i uniform in (0, 1), the largest of logits_i + temperature · g_i has index i with probability
softmax(logits / temperature)_i. The noise of many characters is made at once, and nothing can overflow.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from charrnn.activations import softmax
from charrnn.arrays import HiddenState
from charrnn.config import SamplingConfig
from charrnn.errors import InputError
from charrnn.network import Network
from charrnn.preprocessing import TextVectorizer

NOISE_AT_ONCE = 1 << 14  # numbers
LEAST_UNIFORM = 2.0**-25  # in place of 0, whose noise is -∞, which is also the score of what top_k and top_p exclude

Ids = np.intp | np.ndarray  # a number for one stream, (B,) for several


def generate(
    network: Network,
    vectorizer: TextVectorizer,
    start_string: str,
    num_to_generate: int,
    *,
    rng: np.random.Generator,
    **settings: Any,
) -> Iterator[str]:
    """Yield `num_to_generate` characters that continue `start_string`, one by one.

    The network must not be trained in the meantime.

    Parameters
    ----------
    settings
        Fields of `charrnn.SamplingConfig`:

        `temperature` divides the logits. The noise is float32, so that characters with a probability near 1e-7 come too
        rarely, and below 1e-8 practically never.
        `top_k` keeps the k most probable characters, and those as probable as the last of them.
        `top_p` keeps, of those, the fewest characters that together have this probability after the temperature
        (Holtzman et al. 2020, section 3.1). At temperature 0 it makes no difference.

    Raises
    ------
    InputError
        If `start_string` is empty or has characters that the vocabulary lacks, a setting is not allowed, or the
        vocabulary is not of the network's size.

    >>> "".join(generate(model, vectorizer, "ROMEO:", 100, rng=np.random.default_rng(42), temperature=0.8))
    """
    drawn = _draw(network, vectorizer, start_string, 1, rng, SamplingConfig(**settings))
    return map(vectorizer.vocabulary.__getitem__, islice(drawn, num_to_generate))


def generate_streams(
    network: Network,
    vectorizer: TextVectorizer,
    start_string: str,
    num_to_generate: int,
    num_streams: int,
    *,
    rng: np.random.Generator,
    **settings: Any,
) -> list[str]:
    """`num_streams` independent texts of `num_to_generate` characters that continue `start_string`.

    They are generated side by side, which is much faster than one after the other. For the rest see `generate`.
    """
    if num_streams < 1:
        raise InputError(f"num_streams is {num_streams}; it must be at least 1")
    drawn = _draw(network, vectorizer, start_string, num_streams, rng, SamplingConfig(**settings))
    ids = np.array(list(islice(drawn, num_to_generate)), np.intp).reshape(-1, num_streams)
    return [vectorizer.decode(stream) for stream in ids.T]


def _draw(
    network: Network,
    vectorizer: TextVectorizer,
    start_string: str,
    num_streams: int,
    rng: np.random.Generator,
    config: SamplingConfig,
) -> Iterator[Ids]:
    """The ids of each time step, without end. What is wrong with the arguments is found at once."""
    if not start_string:
        raise InputError("start_string is empty; it must have at least one character")
    try:
        ids = vectorizer.encode(start_string)
    except InputError as error:
        raise InputError(f"start_string is {start_string!r}: {error}") from None
    if vectorizer.vocabulary_size != network.output_dim:
        raise InputError(
            f"the vocabulary has {vectorizer.vocabulary_size} characters; "
            f"the network predicts {network.output_dim}, and these must be as many"
        )
    return _draw_without_end(network, ids, num_streams, rng, config)


def _draw_without_end(
    network: Network, ids: np.ndarray, num_streams: int, rng: np.random.Generator, config: SamplingConfig
) -> Iterator[Ids]:
    temperature = config.temperature
    logits, state = _read(network, ids)
    logits, step = np.repeat(logits, num_streams, axis=0), network.stepper(num_streams, state)
    for noise in scaled_noise(logits.shape, temperature, rng):
        if 0 < config.top_k < network.output_dim:
            logits = most_probable(logits, config.top_k)
        if config.top_p < 1 and temperature > 0:
            logits = nucleus(logits, temperature, config.top_p)
        drawn = draw(logits, noise)
        yield drawn
        logits = step(drawn)


def _read(network: Network, ids: np.ndarray) -> tuple[np.ndarray, HiddenState]:
    """The logits (1, V) after the last of the ids (T,), and the state in which these leave the model."""
    buffers = network.allocate(len(ids), 1)
    return network.forward(ids[:, None], buffers)[-1].copy(), network.final_state(buffers)


def scaled_noise(shape: tuple[int, int], temperature: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """temperature · g in float32 for logits of this shape (B, V), without end."""
    while temperature == 0:
        yield np.zeros(shape, np.float32)
    temperature = min(max(temperature, 1e-30), 1e30)  # beyond these, greedy and uniform, float32 would overflow
    num_steps = max(1, NOISE_AT_ONCE // (shape[0] * shape[1]))
    while True:
        noise = rng.random((num_steps, *shape), np.float32)
        np.maximum(noise, LEAST_UNIFORM, out=noise)
        np.log(noise, out=noise)
        np.negative(noise, out=noise)
        np.log(noise, out=noise)
        noise *= -temperature
        yield from noise


def draw(logits: np.ndarray, noise: np.ndarray) -> Ids:
    """In each row of logits (B, V) the index of the largest sum with the noise (B, V), which is overwritten."""
    scores = np.add(logits, noise, noise)
    return scores.argmax() if len(scores) == 1 else scores.argmax(axis=1)


def most_probable(logits: np.ndarray, k: int) -> np.ndarray:
    """Logits (B, V) with all but the k largest of each row, and those equal to the last of them, made -∞."""
    least = np.partition(logits, -k, axis=1)[:, -k, None]
    return np.where(logits >= least, logits, -np.inf)


def nucleus(logits: np.ndarray, temperature: float, p: float) -> np.ndarray:
    """Logits (B, V) with all made -∞ but the largest of each row, so many that softmax(logits / temperature) over them
    sums to at least p."""
    order = np.argsort(-logits, axis=1, kind="stable")
    descending = np.take_along_axis(logits, order, axis=1)
    with np.errstate(over="ignore"):  # with a tiny temperature all but the first are -∞, as they should be
        probabilities = softmax((descending - descending[:, :1]).astype(np.float64) / temperature)
    before = np.cumsum(probabilities, axis=1) - probabilities  # what those with larger logits have together
    kept = np.empty(logits.shape, bool)
    np.put_along_axis(kept, order, before < p, axis=1)
    return np.where(kept, logits, -np.inf)


def until(characters: Iterable[str], stop: str) -> Iterator[str]:
    """The characters up to the first place where the last of them spell `stop`, which is included; "" stops never."""
    if not stop:
        yield from characters
        return
    tail = ""
    for character in characters:
        yield character
        tail = (tail + character)[-len(stop) :]
        if tail == stop:
            return
