"""Section 1: the model card."""

from collections.abc import Mapping
from dataclasses import dataclass

from charrnn.evaluation import LN2
from charrnn.training import best_epoch
from report.baselines import SCORED, Baseline
from report.characters import label
from report.subject import Subject
from stages.common.params import PARAMS, as_yaml

LONGEST_ALPHABET = 300  # characters that are listed


@dataclass(frozen=True)
class Card:
    """What a model is.

    Attributes
    ----------
    alphabet
        Its characters, with symbols for those that can't be seen, cut if there are many.
    changed
        Hyperparameters other than the default: name, value and default.
    layers
        Each with its sizes, in words.
    best_epoch
        The row of the history that the model is from, or None without a history.
    gain
        The bits per character that the network saves, compared with the best of the models that only count, if both
        were scored on the same text.
    """

    alphabet: str
    changed: list[tuple[str, str, str]]
    layers: list[str]
    best_epoch: Mapping[str, float] | None
    gain: float | None


def card(subject: Subject, baselines: list[Baseline]) -> Card:
    """The card of a run."""
    trained, history = subject.trained, subject.history
    vocabulary, loss = trained.vectorizer.vocabulary, subject.evaluation.get("loss")
    return Card(
        " ".join(map(label, vocabulary[:LONGEST_ALPHABET])) + " …" * (len(vocabulary) > LONGEST_ALPHABET),
        [
            (name, as_yaml(value), as_yaml(PARAMS[name].default))
            for name, value in {**trained.data, **trained.params}.items()
            if name in PARAMS and value != PARAMS[name].default
        ],
        [f"{type(layer).__name__} {layer.input_dim:,} → {layer.output_dim:,}" for layer in trained.model.layers],
        best_epoch(history) if history else None,
        None if loss is None or len(subject.test_ids) > SCORED else (min(own.loss for own in baselines) - loss) / LN2,
    )
