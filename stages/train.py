"""Stage 3, train: fit a model to the training text, and write it with its learning curve."""

import os
import time
import warnings

import numpy as np
from tqdm import tqdm

from charrnn.errors import InputError
from charrnn.files import require_writable
from charrnn.models import create_char_rnn_model
from charrnn.optimizers import OPTIMIZERS
from charrnn.storage import ModelFile, load_model, save_model
from charrnn.training import best_epoch, fit
from stages import cli
from stages.files import write_csv, write_json
from stages.processed import read_ids, read_vocabulary

PARAMS = (
    "cell", "num_layers", "embedding_dim", "hidden_dim", "dropout", "tie_weights", "window_size", "stride", "targets",
    "carry_state", "batch_size", "num_epochs", "optimizer", "learning_rate", "schedule", "final_learning_rate",
    "warmup_batches", "beta_2", "weight_decay", "clip_norm", "patience", "seed", "log_interval",
)  # fmt: skip
OF_MODEL = ("cell", "num_layers", "embedding_dim", "hidden_dim", "tie_weights")
OF_FIT = (
    "dropout", "window_size", "stride", "targets", "carry_state", "batch_size", "num_epochs", "schedule",
    "final_learning_rate", "warmup_batches", "weight_decay", "clip_norm", "patience",
)  # fmt: skip


def main() -> None:
    weights_help = "model file to start from instead of fresh weights"
    # Overflow is found and reported by `fit`. np.errstate would slow every NumPy call down; this does not.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="charrnn")
    args = cli.parser(__doc__, PARAMS, weights_path=weights_help).parse_args()
    params = cli.values(args, PARAMS)
    where = cli.locations(args)

    train_ids, validation_ids = (read_ids(where.processed / f"{part}.npy") for part in ("train", "validation"))
    vectorizer, data = read_vocabulary(where.vocabulary)
    require_writable(where.model)  # fail now rather than when training is over

    rng = np.random.default_rng(params["seed"])
    model = create_char_rnn_model(vectorizer.vocabulary_size, rng, **{name: params[name] for name in OF_MODEL})
    if where.weights_path:
        start = load_model(where.weights_path)
        if start.vectorizer != vectorizer or start.model.layers != model.layers:
            raise InputError(f"{where.weights_path} has another vocabulary or other layers than this run")
        model.parameters[...] = start.model.parameters
    print(f"{len(model.parameters):,} parameters, {len(train_ids):,} characters to train on", flush=True)

    progress = Progress(params["log_interval"], params["num_epochs"])

    def report(history):
        write_csv(where.metrics_dir / "history.csv", history)
        progress.epoch_done(history[-1])

    betas = {"beta_2": params["beta_2"]} if params["optimizer"] in ("adam", "nadam") else {}
    history = fit(
        model,
        train_ids,
        validation_ids,
        rng=rng,
        optimizer=OPTIMIZERS[params["optimizer"]](learning_rate=params["learning_rate"], **betas),
        num_threads=available_cores(),
        on_batch=progress.batch_done,
        on_epoch=report,
        **{name: params[name] for name in OF_FIT},
    )
    save_model(where.model, ModelFile(model, vectorizer, params, data))
    best = best_epoch(history)
    write_json(
        where.metrics_dir / "train.json",
        {name: best[name] for name in ("epoch", "train_loss", "validation_loss", "validation_accuracy")}
        | {"parameters": len(model.parameters)},
    )
    if best is not history[-1]:
        print(f"the model is that of epoch {best['epoch']}, which had the lowest validation loss")


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Progress:
    """A progress bar while an epoch runs, if the output is a terminal, and a line when it is done."""

    def __init__(self, log_interval: int, num_epochs: int):
        self.log_interval, self.num_epochs = log_interval, num_epochs
        self.bar = None
        self.started = time.perf_counter()

    def batch_done(self, epoch: int, batch: int, num_batches: int, loss: float) -> None:
        if self.bar is None:
            self.bar = tqdm(total=num_batches, desc=f"epoch {epoch}/{self.num_epochs}", leave=False, disable=None)
        if batch % self.log_interval == 0:
            self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            self.bar.update(batch - self.bar.n)

    def epoch_done(self, row: dict[str, float]) -> None:
        self.bar.close()
        self.bar = None
        print(
            f"epoch {row['epoch']}/{self.num_epochs}: train loss {row['train_loss']:.4f}, "
            f"validation loss {row['validation_loss']:.4f}, accuracy {row['validation_accuracy']:.2%}, "
            f"{time.perf_counter() - self.started:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    cli.run(main)
