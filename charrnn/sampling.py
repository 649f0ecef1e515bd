"""Writing text with a trained model, one character at a time with carried state: O(1) work per character."""

from collections.abc import Iterator

import numpy as np

from charrnn.errors import InputError
from charrnn.preprocessing import TextVectorizer


def sample_id(logits: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """Draw an id from softmax(logits / temperature), logits (V,); at temperature 0, the most probable one.

    Inverse transform sampling: the first id at which the cumulated probability passes a uniform random number.
    """
    if temperature == 0:
        return int(logits.argmax())
    shifted = logits.astype(np.float64) - logits.max()
    cumulated = np.exp(shifted / temperature).cumsum()
    return int(cumulated.searchsorted(rng.random() * cumulated[-1], side="right"))


def generate(
    model,
    vectorizer: TextVectorizer,
    start_string: str,
    num_to_generate: int,
    *,
    rng: np.random.Generator,
    temperature: float = 1.0,
) -> Iterator[str]:
    """Yield `num_to_generate` characters that go on from `start_string`, one by one.

    Parameters
    ----------
    temperature
        Divides the logits: 1 samples the model's own distribution, less is more cautious, 0 always takes the most
        probable character.

    Raises
    ------
    InputError
        If `start_string` is empty or has characters that the vocabulary lacks, or `temperature` is negative or not
        finite.
    """
    if not start_string:
        raise InputError("start_string is empty; it must have at least one character")
    if not 0 <= temperature < np.inf:
        raise InputError(f"temperature is {temperature}; it must be a finite number of at least 0")
    try:
        ids = vectorizer.encode(start_string)[:, None]
    except InputError as error:
        raise InputError(f"start_string is {start_string!r}: {error}") from None
    drawn = _draw(model, ids, temperature, rng)
    return (vectorizer.vocabulary[next(drawn)] for _ in range(num_to_generate))


def _draw(model, ids: np.ndarray, temperature: float, rng: np.random.Generator) -> Iterator[int]:
    """Ids that go on from ids (T, 1), without end: the first pass reads all of those, every further one a single id."""
    work, state = model.work(*ids.shape), None
    while True:
        logits = model.forward(ids, work, state)
        drawn = sample_id(logits[-1, 0], temperature, rng)
        yield drawn
        state = model.final_state(work)
        if len(ids) > 1:
            work = model.work(1, 1)
        ids = np.array([[drawn]])
