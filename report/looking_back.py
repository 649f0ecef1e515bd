"""Section 8: which earlier characters moved a prediction."""

from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Array
from charrnn.inspection import connectivity
from charrnn.layers import Embedding
from charrnn.reading import candidates
from report.characters import visible
from report.coloured import candidates as named
from report.passages import passage
from report.subject import Subject

CONTEXT = 40  # characters that a prediction is traced back
PREDICTIONS = 200
LOGITS_AT_ONCE = 1 << 24  # of all predictions and their contexts; a larger alphabet gets fewer predictions


@dataclass(frozen=True)
class Prediction:
    """A character, what is predicted after it, and a digit for each character up to it: 9 for what moved this most."""

    text: str
    next: str
    digits: str


@dataclass(frozen=True)
class LookingBack:
    """A text of characters, the first of which are only context, and the predictions after the others."""

    context: list[str]
    predictions: list[Prediction]

    @property
    def shown(self) -> list[str]:
        """The digit of every character for the last prediction, or nothing if it does not reach so far back."""
        digits = self.predictions[-1].digits
        return [""] * (len(self.context) + len(self.predictions) - len(digits)) + list(digits)


def looking_back(subject: Subject) -> LookingBack | None:
    """Trace predictions of a passage back, or None if the text is too short or the network reads no embeddings."""
    model, text, reading = subject.trained.model, subject.text, subject.reading
    context = min(CONTEXT, len(text) // 2)
    if context < 2 or not isinstance(model.layers[0], Embedding):
        return None
    count = min(PREDICTIONS, max(1, LOGITS_AT_ONCE // (context * model.output_dim)))
    where = passage(text, count)
    positions = np.arange(where.start, where.stop)
    digits = as_digits(connectivity(model, reading.ids, positions, context))
    vocabulary, likely = subject.trained.vectorizer.vocabulary, zip(*candidates(reading.probabilities[where], 1))
    nexts = [named(vocabulary, *row) for row in likely]
    predictions = [Prediction(visible(text[i]), *of_place) for i, *of_place in zip(positions, nexts, digits)]
    context_text = text[where.start - context + 1 : where.start]
    return LookingBack([visible(character) for character in context_text], predictions)


def as_digits(norms: Array) -> list[str]:
    """Each row (m, n) of numbers of at least 0 as digits, 9 for the largest of the row."""
    scaled = 9 * norms / np.maximum(norms.max(axis=1, keepdims=True), np.finfo(float).tiny)
    return ["".join(map(str, row)) for row in np.rint(scaled).astype(int).tolist()]
