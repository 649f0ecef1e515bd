"""Bits per character on text8 or enwik8, after some minutes of training: `python -m benchmarks.large_text PATH`.

As usual for these two files (http://mattmahoney.net/dc/textdata), the first 90 % of the bytes are for training, the
next 5 % for validation and the last 5 % for testing, and a character is a byte. Any other large text is split likewise.

A network would need hours for 90 MB. So each one reads only as much as it can in the given time, once, up to the end of
the training text. Two short runs find out first how fast that is. The minutes in the table include the start of the
worker processes and one pass over 100,000 characters of the validation text, but not the test. The test text is read as
64 streams with carried state.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from math import inf, nan
from pathlib import Path

import numpy as np

from benchmarks import harness
from benchmarks.step import NUM_WORKERS
from charrnn.evaluation import LN2, evaluate
from charrnn.initializers import log_frequencies
from charrnn.models import Model, create_char_rnn_model
from charrnn.preprocessing import TextVectorizer, count_ids
from stages.common.program import run

MINUTES = (10, 30, 60)
TRAINING, VALIDATION = 0.9, 0.05  # shares of the text
NETWORK = {"embedding_dim": 256, "hidden_dim": 768}
SETTINGS = {
    "carry_state": True, "window_size": 64, "batch_size": 32, "num_epochs": 1, "optimizer": "adam", "beta_2": 0.99,
    "learning_rate": 0.006, "schedule": "cosine", "warmup_batches": 100, "weight_decay": 0.02,
}  # fmt: skip
BATCH = SETTINGS["batch_size"] * SETTINGS["window_size"]  # characters
PROBE = 100  # batches that are read to find out how fast training is
SHORTEST = 100_000  # characters of the whole text
VALIDATED = 100_000  # characters of the validation text that are read at the end of training
STREAMS = 64
SEED = 42


def read_bytes(path: Path) -> tuple[np.ndarray, int]:
    """The ids (n,) of a file whose characters are bytes, and the number V of different ones."""
    vectorizer = TextVectorizer.fit(text := path.read_bytes().decode("latin-1"))
    return vectorizer.encode(text), vectorizer.vocabulary_size


def split(ids: np.ndarray) -> list[np.ndarray]:
    """The training, validation and test text."""
    return np.split(ids, [round(len(ids) * TRAINING), round(len(ids) * (TRAINING + VALIDATION))])


def train(texts: Sequence[np.ndarray], V: int, length: int, workers: int) -> tuple[Model, float]:
    """A model trained on the last `length` characters of the training text, and the seconds that this took."""
    rng, read = np.random.default_rng(SEED), texts[0][-length:]
    output_bias = partial(log_frequencies, counts=count_ids(read, V))
    model = create_char_rnn_model(V, rng, output_bias_initializer=output_bias, **NETWORK)
    start = time.perf_counter()
    model.fit(read, texts[1][:VALIDATED], rng=rng, workers=workers, **SETTINGS)
    return model, time.perf_counter() - start


def characters_a_second(texts: Sequence[np.ndarray], V: int, workers: int) -> float:
    """How many characters training reads in a second, without the start."""
    _, short = train(texts, V, BATCH, workers)
    _, long = train(texts, V, PROBE * BATCH, workers)
    return (PROBE - 1) * BATCH / (long - short)


def measure(minutes: float, rate: float, texts: Sequence[np.ndarray], V: int, workers: int) -> dict[str, float]:
    """Train for some minutes, and test."""
    length = min(max(BATCH, round(60 * minutes * rate)), len(texts[0]))
    model, seconds = train(texts, V, length, workers)
    loss = evaluate(model, texts[2], num_streams=STREAMS)["loss"]
    return {"characters": length, "minutes": seconds / 60, "bits_per_character": loss / LN2}


def table(rows: Sequence[dict[str, float]]) -> str:
    """A row for each training."""
    return harness.table(
        [
            {
                "training": f"{row['minutes']:.1f} min",
                "characters read": f"{row['characters']:,}",
                "bits per character": f"{row['bits_per_character']:.3f}",
            }
            for row in rows
        ]
    )


def duration(text: str) -> float:
    """A number of minutes from the command line."""
    try:
        minutes = float(text)
    except ValueError:
        minutes = nan
    if not 0 < minutes < inf:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0")
    return minutes


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_text", description=__doc__.partition("\n")[0])
    parser.add_argument("text", type=Path, metavar="PATH", help="text8, enwik8, or another large text")
    minutes_help = f"how long to train each network; default: {' '.join(map(str, MINUTES))}"
    parser.add_argument("--minutes", type=duration, nargs="+", default=MINUTES, metavar="FLOAT", help=minutes_help)
    workers_help = f"processes that train each network; default: {NUM_WORKERS}"
    parser.add_argument("--workers", type=harness.count, default=NUM_WORKERS, metavar="INT", help=workers_help)
    args = parser.parse_args()
    ids, V = read_bytes(args.text)
    if len(ids) < SHORTEST:
        sys.exit(f"error: {args.text} has {len(ids):,} bytes; it must have at least {SHORTEST:,}")
    texts = split(ids)
    rate = characters_a_second(texts, V, args.workers)
    print(f"training reads {rate:,.0f} characters a second", file=sys.stderr, flush=True)
    rows = []
    for minutes in args.minutes:
        rows.append(measure(minutes, rate, texts, V, args.workers))
        print(table(rows[-1:]), file=sys.stderr, flush=True)
    print(table(rows))


if __name__ == "__main__":
    run(main)
