"""Section 5: the units that follow describable features of the text best, and linear probes of the whole state."""

from dataclasses import dataclass

import numpy as np

from charrnn.inspection import best_unit, linear_probes
from report.coloured import Span, by_value
from report.hypotheses import hypotheses
from report.passages import passage, telling_passage
from report.subject import Subject

PASSAGE = 240  # characters
KINDS = {"h": "unit", "c": "cell"}


@dataclass(frozen=True)
class Unit:
    """The unit that follows a feature best, the probe, and a passage coloured by each.

    Both correlations are measured on the second half of the text; unit and probe are chosen on the first.
    """

    feature: str
    place: str
    correlation: float
    probe_correlation: float
    by_unit: list[Span]
    by_probe: list[Span]


def units(subject: Subject) -> list[Unit]:
    """A unit for each feature that varies in the text; the best known feature first."""
    features, names = hypotheses(subject.text), _names(subject)
    if not features or not names:
        return []
    states = np.concatenate(list(subject.reading.states.values()), axis=1)  # (n, ΣH), those of all layers side by side
    probes = linear_probes(states, np.column_stack(list(features.values())))
    found = []
    for (name, feature), probe in zip(features.items(), probes):
        best = best_unit(states, feature)
        where = telling_passage(feature, passage(subject.text, PASSAGE), PASSAGE)
        spans = [
            list(by_value(subject.text[where], values[where], values.mean(), values.std()))
            for values in (np.sign(best.on_first_half) * states[:, best.unit], probe.values)
        ]
        found.append(Unit(name, names[best.unit], abs(best.correlation), probe.correlation, *spans))
    return sorted(found, key=lambda unit: -unit.correlation)


def _names(subject: Subject) -> list[str]:
    """What each of the states of all layers is called."""
    layers = [layer.state_dims for layer in subject.trained.model.layers if layer.state_dims]
    return [
        f"{KINDS.get(name, name)} {i + 1}" + f" of layer {number}" * (len(layers) > 1)
        for number, states in enumerate(layers, start=1)
        for name, H in states.items()
        for i in range(H)
    ]
