"""Models that only count, fitted and scored on the same texts as the network."""

from dataclasses import dataclass
from math import exp

from charrnn.arrays import Array
from charrnn.evaluation import LN2
from charrnn.ngrams import NGramModel, highest_order, text_losses

COUNTED = 2_000_000  # characters at the end of the training text that n-grams are counted in
SCORED = 300_000  # characters at the beginning of the test text that they are scored on
ORDERS = {"uniform": 0, "unigram": 1, "bigram": 2}
LONGEST = 5  # the order of the n-gram model that the network is compared with


@dataclass(frozen=True)
class Baseline:
    """What a model that only counts reaches: its name, and the loss in nats per character."""

    name: str
    loss: float

    @property
    def bits(self) -> float:
        """Bits per character."""
        return self.loss / LN2

    @property
    def perplexity(self) -> float:
        """exp(loss)"""
        return exp(self.loss)


def best_ngram_model(train_ids: Array, V: int) -> NGramModel:
    """The 5-gram model of the end of the training text, or one of the highest order that alphabet and length allow."""
    return NGramModel(train_ids[-COUNTED:], V, highest_order(V, min(LONGEST, len(train_ids))))


def baselines(train_ids: Array, test_ids: Array, best: NGramModel) -> list[Baseline]:
    """The losses of the models that only count, on the beginning of the test text, the simplest first."""
    models = {name: NGramModel(train_ids[-COUNTED:], best.V, order) for name, order in ORDERS.items()}
    models[f"{best.order}-gram"] = best
    scored = test_ids[:SCORED]
    return [Baseline(name, float(text_losses(model, scored).mean())) for name, model in models.items()]
