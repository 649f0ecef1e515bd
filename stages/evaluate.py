"""Stage 4, evaluate: measure the trained model on the test text, which nothing has looked at before, or on any text."""

from collections import Counter

import numpy as np

from charrnn.data.corpus import read_text
from charrnn.evaluation import context_curve, evaluate
from charrnn.memorisation import longest_copy, new_share
from charrnn.model_file import ModelFile
from charrnn.sampling import generate
from stages.common import flags
from stages.common.metrics_files import require_finite, write_csv, write_json
from stages.common.prepared import read_ids
from stages.common.program import run
from stages.common.trained import load_trained, require_same_data

PARAMS = ("window_size", "seed")
SAMPLE_SIZE = 20_000  # characters
PASSAGES = (10, 20, 40)  # characters


def main() -> None:
    parser = flags.parser(
        __doc__,
        PARAMS,
        window_size="longest context in context.csv",
        seed="of the sample that is searched for passages copied from the training text",
    )
    parser.add_argument(
        "--text", metavar="PATH", help="only print how well this text is predicted; - is standard input"
    )
    args = parser.parse_args()
    params = flags.values(args, PARAMS)
    paths = flags.paths(args)

    trained = load_trained(paths)
    if args.text is not None:
        score(trained, args.text)
        return
    require_same_data(trained, paths)
    train_ids, test_ids = (read_ids(paths.processed / f"{part}.npy") for part in ("train", "test"))

    metrics = evaluate(trained.model, test_ids)
    curve = context_curve(trained.model, test_ids, params["window_size"])
    copies = memorisation(trained, train_ids, test_ids, np.random.default_rng(params["seed"]))
    write_json(paths.metrics_dir / "evaluation.json", metrics | copies)
    write_csv(
        paths.metrics_dir / "context.csv",
        [
            {"position": position, "loss": loss, "accuracy": accuracy}
            for position, (loss, accuracy) in enumerate(zip(*curve.values()), start=1)
        ],
    )
    print(f"test {in_words(metrics)}")
    print(
        f"in {SAMPLE_SIZE:,} characters of its own, the longest passage copied from the training text has "
        f"{copies['longest_copy']}; of those of {PASSAGES[-1]}, {copies[f'new_{PASSAGES[-1]}_grams']:.2%} are new"
    )


def score(trained: ModelFile, path: str) -> None:
    """Print how well the model predicts a text."""
    parts: list[np.ndarray] = []
    unknown: Counter[str] = Counter()
    for piece in read_text(*flags.source(path)):
        ids, others = trained.vectorizer.encode_known(piece)
        parts.append(ids)
        unknown += others
    if unknown:
        named = ", ".join(f"{character!r} ({count:,})" for character, count in unknown.most_common(5))
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        left_out = "characters that the model does not know are left out, and what surrounds them is joined"
        print(f"{unknown.total():,} {left_out}: {named}{more}")
    metrics = evaluate(trained.model, np.concatenate(parts))
    require_finite(metrics)
    print(in_words(metrics))


def in_words(metrics: dict[str, float]) -> str:
    """The figures of `charrnn.evaluation.evaluate` as a line."""
    return (
        f"loss {metrics['loss']:.4f} nats per character ({metrics['bits_per_char']:.4f} bits), "
        f"perplexity {metrics['perplexity']:.3f}, accuracy {metrics['accuracy']:.2%}, "
        f"over {metrics['characters']:,} characters"
    )


def memorisation(
    trained: ModelFile, train_ids: np.ndarray, test_ids: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """How much a long sample, which goes on from the beginning of the test text, copies from the training text."""
    start = trained.vectorizer.decode(test_ids[:100])
    sample = trained.vectorizer.encode(
        "".join(generate(trained.model, trained.vectorizer, start, SAMPLE_SIZE, rng=rng))
    )
    shares = {f"new_{n}_grams": new_share(sample, train_ids, n) for n in PASSAGES}
    return {"longest_copy": longest_copy(sample, train_ids), **shares}


if __name__ == "__main__":
    run(main)
