"""Section 7: where the loss is, by kind of character and by place, beside the best model that only counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.arrays import Array
from charrnn.evaluation import LN2
from charrnn.ngrams import NGramModel, text_losses
from report.characters import is_mark, kind, label, visible, words
from report.subject import Subject

EXAMPLES = 6  # of what one model gets right and the other does not
AROUND = 30  # characters that are shown before an example
WORD_PLACES = ("1st letter", "2nd letter", "3rd letter", "4th letter", "5th letter", "later letters", "after a word")
LINE_PLACES = {"1": 1, "2–4": 4, "5–9": 9, "10–19": 19, "20–39": 39, "40–79": 79, "80 and more": np.inf}


@dataclass(frozen=True)
class Group:
    """Characters that have something in common: how many, and the bits that the network and the n-grams need for each.

    `share` is the part of all the network's bits that the group needs.
    """

    name: str
    characters: int
    network: float
    ngrams: float
    share: float


def groups(names: Iterable[str], network: Array, ngrams: Array, order: Sequence[str] = ()) -> list[Group]:
    """The groups of characters that have the same name, given the bits (n,) of both models for each character.

    They are in this order, or the largest share first.
    """
    labels, which = np.unique(np.array(list(names)), return_inverse=True)
    counts = np.bincount(which)
    sums = [np.bincount(which, weights=bits) for bits in (network, ngrams)]
    total = max(float(network.sum()), np.finfo(float).tiny)
    found = [
        Group(str(name), int(n), float(a / n), float(b / n), float(a / total))
        for name, n, a, b in zip(labels, counts, *sums)
    ]
    return sorted(found, key=lambda group: order.index(group.name) if order else -group.share)


def by_kind(text: str, network: Array, ngrams: Array) -> list[Group]:
    """Groups by what a character is."""
    return groups(map(kind, text), network, ngrams)


def by_word_place(text: str, network: Array, ngrams: Array) -> list[Group]:
    """Groups by the place of a letter in its word, and what comes right after a word; the rest is left out.

    A mark has the place of its letter.
    """
    places = [""] * (len(text) + 1)
    for word in words(text):
        letters = 0
        for i in range(word.start, word.stop):
            letters += not is_mark(text[i])
            places[i] = WORD_PLACES[min(letters, 6) - 1]
        places[word.stop] = WORD_PLACES[-1]
    return _known(places[: len(text)], network, ngrams, WORD_PLACES)


def by_line_place(text: str, network: Array, ngrams: Array) -> list[Group]:
    """Groups by the place of a character in its line; before the first line break, it is unknown."""
    places, place = [], 0
    for character in text:
        places.append(next(name for name, last in LINE_PLACES.items() if place <= last) if place else "")
        place = 1 if character == "\n" else place + bool(place)
    return _known(places, network, ngrams, tuple(LINE_PLACES))


def _known(places: list[str], network: Array, ngrams: Array, order: Sequence[str]) -> list[Group]:
    known = np.array([bool(place) for place in places], bool)
    return groups(filter(None, places), network[known], ngrams[known], order)


@dataclass(frozen=True)
class Comparison:
    """Two models on the same characters.

    Attributes
    ----------
    network, ngrams, mean
        Bits per character of each, and of the mean of their probabilities.
    network_ahead, ngrams_ahead
        The share of characters for which one model needs at least a bit less than the other.
    """

    network: float
    ngrams: float
    mean: float
    network_ahead: float
    ngrams_ahead: float


def compare(network: Array, ngrams: Array) -> Comparison:
    """Compare the bits (n,) that two models need for each character."""
    gained = ngrams - network
    mean = -np.log2((np.exp2(-network) + np.exp2(-ngrams)) / 2)
    values = (network.mean(), ngrams.mean(), mean.mean(), (gained >= 1).mean(), (gained <= -1).mean())
    return Comparison(*map(float, values))


def most_ahead(ahead: Array, behind: Array, count: int, apart: int) -> list[int]:
    """The places where the first model is right and saves most, given the bits (n,) of both, some characters apart.

    A model is right if it gives the character a probability of at least a half.
    """
    found: list[int] = []
    for place in np.argsort(ahead - behind, kind="stable"):
        if len(found) == count or ahead[place] >= behind[place]:
            break
        if ahead[place] <= 1 and all(abs(place - other) >= apart for other in found):
            found.append(int(place))
    return found


@dataclass(frozen=True)
class Example:
    """A character that one model was right about and the other was not: the text before it, and the bits of both."""

    before: str
    character: str
    right: float
    wrong: float


@dataclass(frozen=True)
class WhereTheLossIs:
    """Section 7."""

    kinds: list[Group]
    word_places: list[Group]
    line_places: list[Group]
    comparison: Comparison
    network_right: list[Example]
    ngrams_right: list[Example]


def where_the_loss_is(subject: Subject, best: NGramModel) -> WhereTheLossIs:
    """Compare the network with the best n-gram model on the text of the reading."""
    text, network = subject.text[1:], subject.reading.surprise()[1:]  # the first character is not predicted
    ngrams = text_losses(best, subject.reading.ids) / LN2

    def examples(ahead: Array, behind: Array) -> list[Example]:
        places = most_ahead(ahead, behind, EXAMPLES, AROUND)
        return [
            Example(visible(text[max(0, i - AROUND) : i]), label(text[i]), float(ahead[i]), float(behind[i]))
            for i in places
        ]

    return WhereTheLossIs(
        by_kind(text, network, ngrams),
        by_word_place(text, network, ngrams),
        by_line_place(text, network, ngrams),
        compare(network, ngrams),
        examples(network, ngrams),
        examples(ngrams, network),
    )
