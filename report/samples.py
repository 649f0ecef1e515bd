"""Section 10: what the model writes, and which passages of it also occur in the training text."""

from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Array
from charrnn.memorisation import copied
from charrnn.sampling import generate
from report.coloured import Span, marked
from report.subject import Subject

TEMPERATURES = (0.5, 0.8, 1.0)
LENGTH = 500  # characters
SHOWN_OF_START = 200  # characters at the end of a long start string
LOGITS = 10**7  # a larger alphabet gets a shorter sample
REMEMBERED = 20  # characters; a passage of the training text that long hardly arises by chance


@dataclass(frozen=True)
class Sample:
    """A text that the model wrote at a temperature, and the share of it that is remembered from the training text."""

    temperature: float
    spans: list[Span]
    remembered: float


def samples(subject: Subject, seed: int, start_string: str) -> list[Sample]:
    """A sample at each temperature.

    Raises
    ------
    InputError
        If the start string has characters that the model does not know.
    """
    model, vectorizer = subject.trained.model, subject.trained.vectorizer
    length = max(1, min(LENGTH, LOGITS // vectorizer.vocabulary_size))
    shown_start, texts = start_string[-SHOWN_OF_START:], []
    for temperature in TEMPERATURES:
        rng = np.random.default_rng(seed)
        written = generate(model, vectorizer, start_string, length, rng=rng, temperature=temperature)
        texts.append("".join(written))
    marks = remembered([vectorizer.encode(text) for text in texts], subject.train_ids)
    unmarked = np.zeros(len(shown_start), bool)
    return [
        Sample(temperature, list(marked(shown_start + text, np.append(unmarked, mark))), float(mark.mean()))
        for temperature, text, mark in zip(TEMPERATURES, texts, marks)
    ]


def remembered(texts: list[Array], source: Array) -> list[Array]:
    """Whether each id of some texts is in a passage of 20 that occurs in the source, which is read once."""
    marks, start = [], 0
    joined = np.concatenate(texts)
    found = copied(joined, source, REMEMBERED) if len(joined) >= REMEMBERED else np.zeros(0, bool)
    for text in texts:
        starts = found[start : start + max(0, len(text) - REMEMBERED + 1)]
        mark = np.zeros(len(text), bool)
        for place in np.flatnonzero(starts):
            mark[place : place + REMEMBERED] = True
        marks.append(mark)
        start += len(text)
    return marks
