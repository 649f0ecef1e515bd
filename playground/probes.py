"""Find what the state of a network follows in a text: a linear probe and the best single unit for each feature."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.arrays import Array
from charrnn.inspection import best_unit, linear_probes, read
from charrnn.model_file import ModelFile
from playground.rounding import as_finite, base64
from report.hypotheses import hypotheses

LONGEST_READING = 20_000  # characters of the text
NUMBERS_OF_READING = 1 << 24  # probabilities or states; with a larger alphabet or network, less of the text is read


@dataclass(frozen=True)
class Finding:
    """A feature of the text, the probe that reads it from the state (S,) of all layers, and the unit that follows it.

    Both correlations are measured on the second half of the text; probe and unit are chosen on the first.
    """

    feature: str
    correlation: float
    weights: Array
    bias: float
    mean: float
    deviation: float
    unit: int
    unit_correlation: float

    def as_json(self) -> dict[str, Any]:
        """What the page reads."""
        return {
            "feature": self.feature,
            "correlation": round(self.correlation, 2),
            "weights": base64(as_finite(self.weights, "float32")),
            "bias": self.bias - self.mean,
            "deviation": self.deviation,
            "unit": self.unit,
            "unit_correlation": round(self.unit_correlation, 2),
        }


def findings(trained: ModelFile, ids: Array) -> list[Finding]:
    """What the state follows in a text (n,); the feature with the best probe is first."""
    model = trained.model
    width = max(model.output_dim, sum(sum(layer.state_dims.values()) for layer in model.layers))
    reading = read(model, ids[: max(2, min(LONGEST_READING, NUMBERS_OF_READING // width))])
    features = hypotheses(trained.vectorizer.decode(reading.ids))
    if not features:
        return []
    states = np.concatenate(list(reading.states.values()), axis=1)  # (n, S)
    probes, found = linear_probes(states, np.column_stack(list(features.values()))), []
    for (name, feature), probe in zip(features.items(), probes):
        best = best_unit(states, feature)
        mean, deviation = float(probe.values.mean()), float(probe.values.std())
        found.append(
            Finding(name, probe.correlation, probe.weights, probe.bias, mean, deviation, best.unit, best.correlation)
        )
    return sorted(found, key=lambda finding: -finding.correlation)
