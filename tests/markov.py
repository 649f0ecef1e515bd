"""A source of known entropy: a seeded Markov chain of second order."""

import numpy as np


class MarkovChain:
    """Draws each of V ids from a distribution that depends on the two before it."""

    def __init__(self, V, rng):
        self.V = V
        self.probabilities = rng.dirichlet(np.full(V, 0.5), size=(V, V))  # [before last, last, next]

    def draw(self, n, rng):
        cumulated = self.probabilities.cumsum(axis=-1)
        ids = [0, 0]
        for u in rng.random(n):
            ids.append(int(min(np.searchsorted(cumulated[ids[-2], ids[-1]], u), self.V - 1)))
        return np.array(ids[2:], np.uint8)

    def entropy_rate(self):
        """Nats per character: the mean entropy of the next id under the stationary distribution of the last two."""
        V = self.V
        pairs = np.full((V, V), 1 / V**2)
        for _ in range(500):
            pairs = np.einsum("ab,abc->bc", pairs, self.probabilities)
        surprise = -self.probabilities * np.log(np.maximum(self.probabilities, 1e-300))
        return float((pairs[..., None] * surprise).sum())

    def loss(self, ids):
        """Nats per character that the source itself needs for ids[2:], which no model can beat but by chance."""
        return float(-np.log(self.probabilities[ids[:-2], ids[1:-1], ids[2:]]).mean())
