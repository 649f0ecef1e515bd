"""Print how well the trained model predicts a text."""

from collections import Counter

import numpy as np

from charrnn.data.corpus import read_text
from charrnn.evaluation import evaluate
from charrnn.messages import counted, figure
from charrnn.model_file import ModelFile
from stages.common import flags
from stages.common.metrics_files import require_finite, warn_if_worse_than_guessing


def in_words(metrics: dict[str, float]) -> str:
    """The figures of `charrnn.evaluation.evaluate` as one line."""
    return (
        f"loss {figure(metrics['loss'])} nats per character ({figure(metrics['bits_per_char'])} bits), "
        f"perplexity {figure(metrics['perplexity'], decimals=3)}, accuracy {metrics['accuracy']:.2%}, "
        f"over {counted(metrics['characters'], 'character')}"
    )


def left_out(unknown: Counter[str]) -> str:
    """A line about the characters of a text that the model does not know."""
    named = ", ".join(f"{character!r} ({count:,})" for character, count in unknown.most_common(5))
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    number = counted(unknown.total(), "character")
    return f"left out {number} that the model does not know, and joined the text around them: {named}{more}"


def known_ids(trained: ModelFile, path: str) -> tuple[np.ndarray, Counter[str]]:
    """The ids of a text file, or of standard input if the path is -, and the counts of characters without an id."""
    known: list[np.ndarray] = []
    unknown: Counter[str] = Counter()
    for chunk in read_text(*flags.source(path)):
        ids, others = trained.vectorizer.encode_known(chunk)
        known.append(ids)
        unknown += others
    return np.concatenate(known), unknown


def print_score(trained: ModelFile, ids: np.ndarray) -> None:
    """Print how well the model predicts the `known_ids` of a text."""
    metrics = evaluate(trained.model, ids)
    require_finite(metrics)
    print(in_words(metrics))
    warn_if_worse_than_guessing(metrics["loss"], trained.vectorizer.vocabulary_size)
