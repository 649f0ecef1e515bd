"""Print how well the trained model predicts a text."""

from collections import Counter

import numpy as np

from charrnn.data.corpus import read_text
from charrnn.evaluation import evaluate
from charrnn.model_file import ModelFile
from stages.common import flags
from stages.common.metrics_files import require_finite


def in_words(metrics: dict[str, float]) -> str:
    """The figures of `charrnn.evaluation.evaluate` as one line."""
    return (
        f"loss {metrics['loss']:.4f} nats per character ({metrics['bits_per_char']:.4f} bits), "
        f"perplexity {metrics['perplexity']:.3f}, accuracy {metrics['accuracy']:.2%}, "
        f"over {metrics['characters']:,} characters"
    )


def print_score(trained: ModelFile, path: str) -> None:
    """Print how well the model predicts a text file, or standard input if the path is -."""
    known: list[np.ndarray] = []
    unknown: Counter[str] = Counter()
    for chunk in read_text(*flags.source(path)):
        ids, others = trained.vectorizer.encode_known(chunk)
        known.append(ids)
        unknown += others
    if unknown:
        named = ", ".join(f"{character!r} ({count:,})" for character, count in unknown.most_common(5))
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        left_out = "characters that the model does not know are left out, and the text around them is joined"
        print(f"{unknown.total():,} {left_out}: {named}{more}")
    metrics = evaluate(trained.model, np.concatenate(known))
    require_finite(metrics)
    print(in_words(metrics))
