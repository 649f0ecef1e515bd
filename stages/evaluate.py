"""Stage 4, evaluate: measure the trained model on the test text, which nothing has looked at before."""

from charrnn.errors import InputError
from charrnn.evaluation import context_curve, evaluate
from charrnn.storage import load_model
from stages import cli
from stages.files import write_csv, write_json
from stages.processed import read_ids, read_vocabulary

PARAMS = ("window_size",)


def main() -> None:
    args = cli.parser(__doc__, PARAMS, window_size="longest context in context.csv").parse_args()
    window_size = cli.values(args, PARAMS)["window_size"]
    where = cli.locations(args)

    trained = load_model(where.trained)
    _, data = read_vocabulary(where.vocabulary)
    if data != trained.data:
        raise InputError(
            f"{where.trained} was trained on another text, or another split of it, than the one in {where.processed}; "
            "train again"
        )
    test_ids = read_ids(where.processed / "test.npy")

    metrics = evaluate(trained.model, test_ids)
    curve = context_curve(trained.model, test_ids, window_size)
    write_json(where.metrics_dir / "evaluation.json", metrics)
    write_csv(
        where.metrics_dir / "context.csv",
        [
            {"position": position, "loss": loss, "accuracy": accuracy}
            for position, (loss, accuracy) in enumerate(zip(*curve.values()), start=1)
        ],
    )
    print(
        f"test loss {metrics['loss']:.4f} nats per character ({metrics['bits_per_char']:.4f} bits), "
        f"perplexity {metrics['perplexity']:.3f}, accuracy {metrics['accuracy']:.2%}, "
        f"over {metrics['characters']:,} characters"
    )


if __name__ == "__main__":
    cli.run(main)
