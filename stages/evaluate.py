"""Stage 4, evaluate: measure the trained model on the test text, which training never sees, or on any other text."""

import numpy as np

from charrnn.evaluation import context_curve, evaluate
from charrnn.memorisation import copying
from charrnn.sampling import generate
from stages.common import flags
from stages.common.metrics_files import write_csv, write_json
from stages.common.prepared import read_ids
from stages.common.program import run
from stages.common.scoring import in_words, print_score
from stages.common.trained import load_trained, require_same_data

PARAMS = ("window_size", "seed")
SAMPLE_SIZE = 20_000  # characters
PASSAGES = (10, 20, 40)  # characters


def main() -> None:
    parser = flags.parser(
        __doc__,
        PARAMS,
        window_size="longest context in context.csv",
        seed="seed of the sample that is searched for passages copied from the training text",
    )
    parser.add_argument(
        "--text", metavar="PATH", help="only print how well the model predicts this text; - is standard input"
    )
    args = parser.parse_args()
    params = flags.values(args, PARAMS)
    paths = flags.paths(args)

    trained = load_trained(paths)
    if args.text is not None:
        print_score(trained, args.text)
        return
    require_same_data(trained, paths)
    train_ids, test_ids = (read_ids(paths.processed / f"{part}.npy") for part in ("train", "test"))
    metrics = evaluate(trained.model, test_ids)
    curve = context_curve(trained.model, test_ids, params["window_size"])
    start, rng = trained.vectorizer.decode(test_ids[:100]), np.random.default_rng(params["seed"])
    sample = "".join(generate(trained.model, trained.vectorizer, start, SAMPLE_SIZE, rng=rng))
    copies = copying(trained.vectorizer.encode(sample), train_ids, PASSAGES)

    write_json(paths.metrics_dir / "evaluation.json", metrics | copies)
    rows = enumerate(zip(curve["loss"], curve["accuracy"]), start=1)
    write_csv(
        paths.metrics_dir / "context.csv",
        [{"position": position, "loss": loss, "accuracy": accuracy} for position, (loss, accuracy) in rows],
    )
    print(f"test {in_words(metrics)}")
    print(
        f"in a sample of {SAMPLE_SIZE:,} characters, the longest passage copied from the training text has "
        f"{copies['longest_copy']} characters; {copies[f'new_{PASSAGES[-1]}_grams']:.2%} of the passages of "
        f"{PASSAGES[-1]} characters are new"
    )


if __name__ == "__main__":
    run(main)
