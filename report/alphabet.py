"""Section 9: the characters as the network sees them."""

import numpy as np

from charrnn.inspection import principal_components
from charrnn.layers import Embedding
from report import plots
from report.baselines import COUNTED
from report.subject import Subject
from report.svg import Plot

LABELLED = 150  # the most frequent characters


def alphabet(subject: Subject) -> Plot:
    """The plot of the embedding's first two principal components."""
    first, p = subject.trained.model.layers[0], subject.trained.model.p[0]
    if not isinstance(first, Embedding) or first.output_dim < 2 or first.input_dim < 3:
        return plots.alphabet("", np.empty((0, 2)), np.zeros(2), why="the network has no vectors of characters to draw")
    counts = np.bincount(subject.train_ids[-COUNTED:], minlength=first.input_dim)
    ids = np.argsort(-counts, kind="stable")[:LABELLED]
    coordinates, shares = principal_components(p.table[ids])
    vocabulary = subject.trained.vectorizer.vocabulary
    return plots.alphabet([vocabulary[id] for id in ids], coordinates, shares)
