"""Stage 5, evaluate: measure the trained model on the test text, which training never sees, or on any other text."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from charrnn.config import Value
from charrnn.evaluation import context_curve, evaluate, require_predictable
from charrnn.memorisation import copying
from charrnn.messages import counted
from charrnn.model_file import ModelFile
from charrnn.sampling import generate
from stages.common import by_line, flags
from stages.common.dynamic import choose, dynamic_score, dynamics_of
from stages.common.lock import sole_writer
from stages.common.metrics_files import warn_if_worse_than_guessing, write_csv, write_json
from stages.common.paths import Paths
from stages.common.program import run
from stages.common.scoring import in_words, known_ids, left_out, print_score
from stages.common.trained import load_trained, parameters_hash, read_same_text

PARAMS = ("dynamic", "window_size", "seed")
PATHS = ("data_dir", "model_dir", "model_filename", "weights_path", "metrics_dir")
SAMPLE_SIZE = 20_000  # characters
LOGITS_OF_SAMPLE = 10**8  # above a vocabulary of 5,000, the sample is shorter, or it would take minutes
PASSAGES = (10, 20, 40)  # characters
METRICS = (
    "loss",
    "bits_per_char",
    "accuracy",
    "dynamic_loss",
)  # the rest is in evaluated.json


def main() -> None:
    parser = flags.parser(
        __doc__,
        PARAMS,
        PATHS,
        dynamic="also evaluate the model while it learns from the text",
        window_size="longest context in context.csv",
        seed="seed of the sample that is searched for passages copied from the training text",
    )
    parser.add_argument(
        "--text", metavar="PATH", help="only print how well the model predicts this text; - is standard input"
    )
    by_line.add_arguments(parser)
    args = parser.parse_args()
    by_line.require_consistent(args)
    params = flags.values(args, PARAMS)
    paths = flags.paths(args)

    trained = load_trained(paths)
    if args.by_line:
        by_line.print_lines(trained, args.text, sort=args.sort, as_csv=args.csv)
        return
    if args.text is not None:
        score_text(args.text, trained, params["dynamic"], paths)
        return
    written = [paths.metrics_dir / name for name in ("evaluation.json", "evaluated.json", "context.csv")]
    with sole_writer(*written):
        measure(trained, params, paths, *written)


def score_text(path: str, trained: ModelFile, learning: bool, paths: Paths) -> None:
    """Print how well the model predicts another text, and if `learning`, also while it learns from it."""
    ids, unknown = known_ids(trained, path)
    if unknown:
        print(left_out(unknown), flush=True)
    require_predictable(trained.model, ids)
    dynamics = dynamics_of(trained, paths) if learning else None  # before any figure, as it may take long, or fail
    print_score(trained, ids)
    if dynamics:
        dynamic_score(trained, ids, dynamics)


def measure(
    trained: ModelFile, params: Mapping[str, Value], paths: Paths, evaluation: Path, evaluated: Path, context: Path
) -> None:
    """Write and print how well the model predicts the test text, and how much it copies of the training text."""
    prepared = read_same_text(trained, paths)
    train_ids, test_ids = prepared.ids("train"), prepared.ids("test")
    metrics = evaluate(trained.model, test_ids)
    print(f"test {in_words(metrics)}", flush=True)
    if params["dynamic"]:
        # Chosen anew, so that the figures depend only on the inputs of the stage.
        learning = dynamic_score(trained, test_ids, choose(trained, paths))
        metrics |= {f"dynamic_{name}": learning[name] for name in ("loss", "accuracy")}
    curve = context_curve(trained.model, test_ids, params["window_size"])
    sample_size = min(SAMPLE_SIZE, LOGITS_OF_SAMPLE // trained.vectorizer.vocabulary_size)
    start, rng = trained.vectorizer.decode(test_ids[:100]), np.random.default_rng(params["seed"])
    sample = "".join(generate(trained.model, trained.vectorizer, start, sample_size, rng=rng))
    copies = copying(trained.vectorizer.encode(sample), train_ids, PASSAGES)

    details = {name: value for name, value in metrics.items() if name not in METRICS}
    write_json(evaluation, {name: metrics[name] for name in METRICS if name in metrics})
    write_json(evaluated, {"parameters_sha256": parameters_hash(trained)} | details | copies)
    rows = enumerate(zip(curve["loss"], curve["accuracy"]), start=1)
    write_csv(context, [{"position": i, "loss": loss, "accuracy": accuracy} for i, (loss, accuracy) in rows])
    print(
        f"in a sample of {sample_size:,} characters, the longest passage copied from the training text has "
        f"{counted(copies['longest_copy'], 'character')}; {copies[f'new_{PASSAGES[-1]}_grams']:.2%} of the passages of "
        f"{PASSAGES[-1]} characters are new"
    )
    warn_if_worse_than_guessing(metrics["loss"], trained.vectorizer.vocabulary_size)


if __name__ == "__main__":
    run(main)
