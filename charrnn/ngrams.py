"""N-gram models of characters, which only count: uniform, unigram, bigram, … with modified Kneser-Ney smoothing.

Source: S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling", TR-10-98, Harvard
(1998), and Computer Speech and Language 13 (1999), section "Modified Kneser-Ney smoothing", in its interpolated form.
For a character w after the context h, where h' is h without its first character,

    p(w | h) = [c(h w) - D(c(h w)) + p(w | h') · sum over v of D(c(h v))] / (sum over v of c(h v))

where D(0) = 0, D(1) = D1, D(2) = D2, D(3 or more) = D3+. At the highest order, c(h w) is how often h w occurs; at lower
orders, it is the number of different characters that h w occurs after. Below the unigram the distribution is uniform.
If h has not been seen, p(w | h) is p(w | h').
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from charrnn.errors import InputError
from charrnn.preprocessing import windows

# For counts that allow no estimate: the values of --discount_fallback in KenLM (K. Heafield).
FALLBACK = np.array([0, 0.5, 1, 1.5])


def discounts(counts: np.ndarray) -> np.ndarray:
    """[0, D1, D2, D3+] (4,) for the counts of all n-grams of one order.

    With n_i the number of n-grams whose count is i, Y = n1 / (n1 + 2 n2) and D_i = i - (i + 1) Y n_(i+1) / n_i. Where
    n1, n2 or n3 is zero, or some D_i is not in (0, i], the result is FALLBACK.
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6)
    if n[1:4].all():
        i = np.arange(1, 4)
        D = i - (i + 1) * n[1] / (n[1] + 2 * n[2]) * n[i + 1] / n[i]
        if (D > 0).all() and (D <= i).all():
            return np.concatenate([[0], D])
    return FALLBACK


def codes(grams: np.ndarray, V: int) -> np.ndarray:
    """N-grams (m, k) of ids as numbers (m,) int64 with k digits in base V."""
    return grams @ V ** np.arange(grams.shape[1] - 1, -1, -1)


def highest_order(V: int, order: int) -> int:
    """The highest order, up to `order`, whose n-grams of V different ids have codes in 64 bits."""
    while V**order >= 1 << 63:
        order -= 1
    return order


@dataclass(frozen=True)
class Level:
    """The n-grams of one order: their codes (m,) in ascending order, and their counts c (m,)."""

    grams: np.ndarray
    counts: np.ndarray
    discounts: np.ndarray

    @cached_property
    def totals(self) -> np.ndarray:
        """The sums of c and of D(c) over the first 0 … m n-grams: (2, m + 1)."""
        terms = np.stack([self.counts, self.discounts[np.minimum(self.counts, 3)]])
        return np.insert(terms.cumsum(axis=1), 0, 0, axis=1)

    def sums_after(self, contexts: np.ndarray, V: int) -> np.ndarray:
        """The sums of c and of D(c) over all ids after each of the contexts (m, k): (2, m)."""
        first = codes(contexts, V) * V
        start, stop = np.searchsorted(self.grams, [first, first + V])
        return self.totals[:, stop] - self.totals[:, start]

    def counts_after(self, contexts: np.ndarray, V: int) -> np.ndarray:
        """The counts (m, V) of each of the V ids after the contexts (m, k)."""
        return self._counts(codes(contexts, V)[:, None] * V + np.arange(V))

    def counts_of(self, grams: np.ndarray, V: int) -> np.ndarray:
        """The counts (m,) of the n-grams (m, k)."""
        return self._counts(codes(grams, V))

    def _counts(self, wanted: np.ndarray) -> np.ndarray:
        places = np.minimum(np.searchsorted(self.grams, wanted), len(self.grams) - 1)
        return np.where(self.grams[places] == wanted, self.counts[places], 0)


class NGramModel:
    """Predicts an id from the `order` - 1 ids before it. Order 1 uses none, and order 0 is uniform over all V ids.

    Raises
    ------
    InputError
        If V to the power of `order` exceeds 64 bits.
    """

    def __init__(self, ids: np.ndarray, V: int, order: int):
        if V**order >= 1 << 63:
            raise InputError(f"the vocabulary has {V} characters, too many for {order}-grams in 64 bits")
        self.V, self.order = V, order
        self.levels: list[Level] = []  # unigrams first
        for k in range(order, 0, -1):
            # Codes without their first digit are the n-grams of the order below, once for each id that precedes them.
            sources = self.levels[0].grams % V**k if self.levels else codes(_stretches(ids, k), V)
            grams, counts = np.unique(sources, return_counts=True)
            self.levels.insert(0, Level(grams, counts, discounts(counts)))

    @property
    def size(self) -> int:
        """The number of counts in the model."""
        return sum(len(level.grams) for level in self.levels)

    def probabilities(self, contexts: np.ndarray) -> np.ndarray:
        """The distribution (m, V) of the id after each of the contexts (m, k), whose last `order` - 1 ids are used."""
        p = np.full((len(contexts), self.V), 1 / self.V)
        known = contexts.shape[1]
        for k, level in enumerate(self.levels[: known + 1]):
            counts = level.counts_after(contexts[:, known - k :], self.V)
            total = counts.sum(axis=1, keepdims=True)
            D = level.discounts[np.minimum(counts, 3)]
            interpolated = counts - D + D.sum(axis=1, keepdims=True) * p
            p = np.where(total > 0, interpolated / np.maximum(total, 1), p)
        return p


def text_losses(model: NGramModel, ids: np.ndarray) -> np.ndarray:
    """The losses (n - 1,) in nats of all ids (n,) but the first, as in the last row of `predictions`.

    Only the probabilities of the ids that follow are computed, so memory and time do not grow with the vocabulary.
    """
    p = np.full(len(ids) - 1, 1 / model.V)
    for k, level in enumerate(model.levels[: len(ids)]):
        grams, later = _stretches(ids, k + 1), slice(max(k - 1, 0), None)  # the first ids have shorter contexts
        grams = grams if k else grams[1:]
        c = level.counts_of(grams, model.V)
        total, discounted = level.sums_after(grams[:, :-1], model.V)
        interpolated = c - level.discounts[np.minimum(c, 3)] + discounted * p[later]
        p[later] = np.where(total > 0, interpolated / np.maximum(total, 1), p[later])
    return -np.log(p)


def predictions(model: NGramModel, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predict all ids (n,) but the first, and return the losses in nats and the hits.

    Row k of the losses (contexts, n - 1) is for contexts of k + 1 ids, or fewer at the beginning; in the last row, the
    contexts are as long as the model can use. The hits (n - 1,) say whether the most probable id, given these longest
    contexts, was right.
    """
    losses = np.empty((max(1, model.order - 1), len(ids) - 1))
    hits = np.empty(len(ids) - 1, bool)
    for k in range(len(losses)):
        contexts, targets = _stretches(ids[:-1], k + 1), ids[k + 1 :]
        _, first, which = np.unique(codes(contexts, model.V), return_index=True, return_inverse=True)
        p = model.probabilities(contexts[first])
        losses[k:, k:] = -np.log(p[which, targets])  # later rows keep these before their first full context
        hits[k:] = p.argmax(axis=1)[which] == targets
    return losses, hits


def context_curve(losses: np.ndarray, window_size: int, runs: Sequence[slice]) -> np.ndarray:
    """The loss (window_size,) by position in a window whose earlier text is unknown, from the losses of `predictions`.

    The runs are those of `charrnn.evaluation.context_curve`, all equally long.
    """
    curves = []
    for row in losses:
        every = windows(row, window_size - 1, stride=1)
        curves.append(np.mean([every[run].mean(axis=0) for run in runs], axis=0))
    return np.array([curves[min(position, len(curves) - 1)][position] for position in range(window_size)])


def _stretches(ids: np.ndarray, k: int) -> np.ndarray:
    """Every k consecutive ids, as a view: (n - k + 1, k)."""
    return np.lib.stride_tricks.sliding_window_view(ids, k)
