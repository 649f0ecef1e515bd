"""Section 4: a passage, each character coloured by its surprise."""

from dataclasses import dataclass

from charrnn.reading import candidates
from report.coloured import Span, by_surprise
from report.coloured import candidates as named
from report.passages import passage
from report.subject import Subject

PASSAGE = 1000  # characters
CANDIDATES = 5


@dataclass(frozen=True)
class Surprise:
    """A passage: its spans, where it begins in the test text, its length, and its total surprise in bits."""

    spans: list[Span]
    start: int
    characters: int
    bits: float


def surprise(subject: Subject) -> Surprise:
    """The passage, with the most probable characters at each place and their probabilities as titles."""
    reading, vocabulary = subject.reading, subject.trained.vectorizer.vocabulary
    where = passage(subject.text, PASSAGE)
    bits = reading.surprise()[where]
    before = slice(where.start - 1, where.stop - 1)  # a character is predicted after the one before it
    likely = zip(*candidates(reading.probabilities[before], CANDIDATES))
    titles = [f"{own:.2f} bits\n{named(vocabulary, *row)}" for own, row in zip(bits, likely)]
    spans = list(by_surprise(subject.text[where], bits, titles))
    return Surprise(spans, where.start, len(bits), float(bits.sum()))
