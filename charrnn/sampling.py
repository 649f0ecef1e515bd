"""Generate text one character at a time, carrying the hidden state along, so every character takes equally long.

Ids are drawn by the Gumbel-max trick (Maddison, Tarlow and Minka 2014, section 2): with independent Gumbel noise
g_i = -log(-log(u_i)), u_i uniform in (0, 1), the largest of logits_i + temperature · g_i has index i with probability
softmax(logits / temperature)_i. The noise for many characters is drawn at once, and nothing can overflow.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from charrnn.activations import softmax
from charrnn.blas import on_one_blas_thread
from charrnn.config import SamplingConfig
from charrnn.errors import InputError
from charrnn.messages import counted, quoted
from charrnn.network import Network
from charrnn.preprocessing import TextVectorizer
from charrnn.reading import context_after

NOISE_AT_ONCE = 1 << 14  # numbers
LEAST_UNIFORM = 2.0**-25  # replaces 0, whose noise would be -∞, the score of characters that top_k and top_p exclude

Ids = np.intp | np.ndarray  # an integer for one stream, (B,) for several


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

    Do not train the network while the iterator is in use.

    Parameters
    ----------
    settings
        Fields of `charrnn.SamplingConfig`:

        `temperature` divides the logits. The noise is float32, so characters with a probability near 1e-7 are drawn too
        rarely, and characters below 1e-8 practically never.
        `top_k` keeps the k most probable characters, and any others that tie with the last of them.
        `top_p` keeps, of these, the fewest most probable characters whose probabilities at this temperature add up to
        at least p (Holtzman et al. 2020, section 3.1). At temperature 0 it has no effect.

    Raises
    ------
    InputError
        If `start_string` is empty or has characters that the vocabulary lacks, a setting is not allowed, or the
        vocabulary and the network differ in size.

    >>> rng = np.random.default_rng(42)
    >>> text = "".join(generate(model, vectorizer, "ROMEO:", 100, rng=rng, temperature=0.8))
    >>> len(text)
    100
    """
    drawn = _draw(network, vectorizer, start_string, 1, rng, SamplingConfig(**settings))
    return map(vectorizer.vocabulary.__getitem__, on_one_blas_thread(islice(drawn, num_to_generate)))


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

    They are generated in parallel, which is much faster than one by one. The rest is as in `generate`.
    """
    if num_streams < 1:
        raise InputError(f"num_streams is {num_streams}; it must be at least 1")
    drawn = _draw(network, vectorizer, start_string, num_streams, rng, SamplingConfig(**settings))
    ids = np.array(list(on_one_blas_thread(islice(drawn, num_to_generate))), np.intp).reshape(-1, num_streams)
    return [vectorizer.decode(stream) for stream in ids.T]


def _draw(
    network: Network,
    vectorizer: TextVectorizer,
    start_string: str,
    num_streams: int,
    rng: np.random.Generator,
    config: SamplingConfig,
) -> Iterator[Ids]:
    """Yield the ids of each time step, without end. Invalid arguments raise at once, not at the first id."""
    return _draw_without_end(network, start_ids(network, vectorizer, start_string), num_streams, rng, config)


def start_ids(network: Network, vectorizer: TextVectorizer, start_string: str) -> np.ndarray:
    """The ids of a start string (n,).

    Raises
    ------
    InputError
        If it is empty or has characters that the vocabulary lacks, or the vocabulary and the network differ in size.
    """
    if not start_string:
        raise InputError("start_string is empty; it must have at least one character")
    try:
        ids = vectorizer.encode(start_string)
    except InputError as error:
        raise InputError(f"start_string is {quoted(start_string)}: {error}") from None
    if vectorizer.vocabulary_size != network.output_dim:
        raise InputError(
            f"the vocabulary has {counted(vectorizer.vocabulary_size, 'character')}; "
            f"the network predicts {network.output_dim}, but the two must be equal"
        )
    return ids


def _draw_without_end(
    network: Network, ids: np.ndarray, num_streams: int, rng: np.random.Generator, config: SamplingConfig
) -> Iterator[Ids]:
    temperature = config.temperature
    context = context_after(network, ids)
    logits, step = np.repeat(context.logits[None], num_streams, axis=0), network.stepper(num_streams, context.state)
    for noise in scaled_noise(logits.shape, temperature, rng):
        if 0 < config.top_k < network.output_dim:
            logits = most_probable(logits, config.top_k)
        if config.top_p < 1 and temperature > 0:
            logits = nucleus(logits, temperature, config.top_p)
        drawn = draw(logits, noise)
        yield drawn
        logits = step(drawn)


def scaled_noise(shape: tuple[int, int], temperature: float, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield temperature · g in float32, for logits of this shape (B, V), without end."""
    while temperature == 0:
        yield np.zeros(shape, np.float32)
    temperature = min(max(temperature, 1e-30), 1e30)  # greedy and uniform; beyond these, float32 would overflow
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
    """The index of the largest logits + noise in each row (B, V); overwrites the noise."""
    scores = np.add(logits, noise, noise)
    return scores.argmax() if len(scores) == 1 else scores.argmax(axis=1)


def most_probable(logits: np.ndarray, k: int) -> np.ndarray:
    """Logits (B, V) with -∞ for all but the k largest of each row and any that tie with the last of these."""
    least = np.partition(logits, -k, axis=1)[:, -k, None]
    return np.where(logits >= least, logits, -np.inf)


def nucleus(logits: np.ndarray, temperature: float, p: float) -> np.ndarray:
    """Logits (B, V) with -∞ for all but the nucleus of each row: the fewest largest ones whose probabilities,
    softmax(logits / temperature), add up to at least p."""
    order = np.argsort(-logits, axis=1, kind="stable")
    descending = np.take_along_axis(logits, order, axis=1)
    with np.errstate(over="ignore"):  # with a tiny temperature all but the first are -∞, as they should be
        probabilities = softmax((descending - descending[:, :1]).astype(np.float64) / temperature)
    before = np.cumsum(probabilities, axis=1) - probabilities  # the total probability of all larger logits
    kept = np.empty(logits.shape, bool)
    np.put_along_axis(kept, order, before < p, axis=1)
    return np.where(kept, logits, -np.inf)


def until(characters: Iterable[str], stop: str) -> Iterator[str]:
    """Yield characters up to and including the first occurrence of `stop`; "" never stops."""
    if not stop:
        yield from characters
        return
    tail = ""
    for character in characters:
        yield character
        tail = (tail + character)[-len(stop) :]
        if tail == stop:
            return
