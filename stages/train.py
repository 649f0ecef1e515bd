"""Stage 3, train: fit a model to the training text, and write it with its learning curve.

What was stopped or killed goes on from its last checkpoint when it is started again with the same hyperparameters.
"""

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info
from tqdm import tqdm

from charrnn.calibration import calibrate, require_scalable
from charrnn.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from charrnn.errors import InputError
from charrnn.files import require_writable
from charrnn.models import Model, create_char_rnn_model
from charrnn.optimizers import OPTIMIZERS
from charrnn.storage import ModelFile, load_model, save_model
from charrnn.training import History, best_epoch, fit
from stages import cli, workers
from stages.files import code_version, hash_of, write_csv, write_json
from stages.params import Param, Value
from stages.processed import read_ids, read_vocabulary
from stages.workers import Workers, available_cores

PARAMS = (
    "cell", "num_layers", "embedding_dim", "hidden_dim", "dropout", "tie_weights", "window_size", "stride", "targets",
    "carry_state", "batch_size", "num_epochs", "optimizer", "learning_rate", "schedule", "final_learning_rate",
    "warmup_batches", "beta_2", "weight_decay", "clip_norm", "patience", "calibrate", "seed", "log_interval", "workers",
)  # fmt: skip
OF_MODEL = ("cell", "num_layers", "embedding_dim", "hidden_dim", "tie_weights")
OF_FIT = (
    "dropout", "window_size", "stride", "targets", "carry_state", "batch_size", "num_epochs", "schedule",
    "final_learning_rate", "warmup_batches", "weight_decay", "clip_norm", "patience",
)  # fmt: skip
KEPT = "what is done is kept, and the same command goes on from there"


def main() -> None:
    with workers.joined() as team:
        _main(team)


def _main(team: Workers) -> None:
    weights_help = "model file to start from instead of fresh weights"
    parser = cli.parser(__doc__, PARAMS, weights_path=weights_help)
    parser.add_argument(
        "--checkpoint-seconds",
        default="30",
        metavar="FLOAT",
        help="seconds between two checkpoints, beside one after each epoch (default: 30)",
    )
    args = parser.parse_args()
    checkpoint_seconds = Param("checkpoint_seconds", 30.0, "", at_least=0).parse(args.checkpoint_seconds)
    params = cli.values(args, PARAMS)
    where = cli.locations(args)
    if workers.are_to_be_started(params["workers"]):
        workers.start(params["workers"])
    elif params["workers"] != team.ranks.size:
        raise InputError(
            f"workers is {params['workers']}; under mpiexec it must be {team.ranks.size}, as many as that has started"
        )
    else:
        train(params, where, checkpoint_seconds, team)


def train(params: Mapping[str, Value], where: cli.Locations, checkpoint_seconds: float, team: Workers) -> None:
    """Train as one of the workers; the first of them alone prints and writes.

    Raises
    ------
    KeyboardInterrupt
        If any of them was told to stop; a checkpoint has been written.
    """
    is_first = team.ranks.rank == 0

    def say(line: str) -> None:
        if is_first:
            print(line, flush=True)

    train_ids, validation_ids = (read_ids(where.processed / f"{part}.npy") for part in ("train", "validation"))
    vectorizer, data = read_vocabulary(where.vocabulary)
    model, rng = fresh_model(params, vectorizer.vocabulary_size)
    if where.weights_path:
        start = load_model(where.weights_path)
        if start.vectorizer != vectorizer or start.model.layers != model.layers:
            raise InputError(f"{where.weights_path} has another vocabulary or other layers than this run")
        model.parameters[...] = start.model.parameters
    run = {
        **{name: value for name, value in params.items() if name != "workers"},  # more or fewer may go on
        "text": data,
        "start": where.weights_path and hash_of(where.weights_path),
        "code": code_version(),
    }
    # The sums of another kind of processor would let their parameters drift apart.
    own = run | {"kind of processor": sorted(pool.get("architecture", "") for pool in threadpool_info())}
    of_first = team.of_first(own)
    differing = [name for name, value in own.items() if value != of_first[name]]
    if differing:
        raise InputError(f"worker {team.ranks.rank} has another {', '.join(differing)} than worker 0")
    say(f"{len(model.parameters):,} parameters, {len(train_ids):,} characters to train on")

    resume = None
    if is_first:
        require_writable(where.model)  # fail now rather than when training is over
        if where.checkpoint.exists():
            try:
                resume = load_checkpoint(where.checkpoint, run)
                say(f"going on from {where.checkpoint}: epoch {resume.epoch}, {resume.batch} batches done")
            except InputError as error:
                say(f"not going on from a checkpoint: {error}")

    progress = Progress(params["log_interval"], params["num_epochs"])
    saved_at = time.monotonic()

    def save(now: TrainingState) -> None:
        nonlocal saved_at
        save_checkpoint(where.checkpoint, run, now)
        saved_at = time.monotonic()

    def batch_done(now: TrainingState, loss: float) -> None:
        progress.batch_done(now, loss)
        if time.monotonic() - saved_at > checkpoint_seconds:
            save(now)

    def epoch_done(now: TrainingState) -> None:
        save(now)
        write_csv(where.metrics_dir / "history.csv", now.history)
        progress.epoch_done(now)

    def stop(now: TrainingState) -> None:
        if is_first:
            save(now)
        team.of_first(None)  # has saved it
        raise KeyboardInterrupt(KEPT)

    with stopped_between_batches() as stopped:
        history = fit_as_told(
            params,
            model,
            train_ids,
            validation_ids,
            rng=rng,
            num_threads=team.num_threads,
            ranks=team.ranks,
            resume=team.of_first(resume),
            stopped=stopped,
            on_batch=batch_done if is_first else None,
            on_stop=stop,
            on_epoch=epoch_done if is_first else None,
        )
        if stopped():  # after the last batch; the checkpoint is that of the last epoch
            raise KeyboardInterrupt(KEPT)
    if not is_first:
        return
    best = best_epoch(history)
    write_csv(where.metrics_dir / "history.csv", history)
    figures = {name: best[name] for name in ("epoch", "train_loss", "validation_loss", "validation_accuracy")}
    if params["calibrate"]:
        figures["calibration"] = calibrate(model, validation_ids, most_streams=params["batch_size"])
        say(f"logits times {figures['calibration']:.2f} predict the validation text best")
    write_json(where.metrics_dir / "train.json", figures | {"parameters": len(model.parameters)})
    save_model(where.model, ModelFile(model, vectorizer, params, data))
    where.checkpoint.unlink()
    if best is not history[-1]:
        say(f"the model is that of epoch {best['epoch']}, which had the lowest validation loss")


def fresh_model(params: Mapping[str, Value], vocabulary_size: int) -> tuple[Model, np.random.Generator]:
    """A model with its first weights, and the generator that drew them, with which training goes on.

    Raises
    ------
    InputError
        If it is to be calibrated and can't be.
    """
    rng = np.random.default_rng(params["seed"])
    model = create_char_rnn_model(vocabulary_size, rng, **{name: params[name] for name in OF_MODEL})
    if params["calibrate"]:
        require_scalable(model)
    return model, rng


def fit_as_told(
    params: Mapping[str, Value], model: Model, train_ids: np.ndarray, validation_ids: np.ndarray, **more: Any
) -> History:
    """`charrnn.training.fit` with everything that the params say, and with all cores.

    Raises
    ------
    InputError
        If the validation text is not longer than a window; and what `fit` raises.
    """
    if len(validation_ids) <= params["window_size"]:
        raise InputError(
            f"window_size is {params['window_size']}; in a validation text of {len(validation_ids)} characters it must "
            "be below that: make it smaller or take a longer text"
        )
    betas = {"beta_2": params["beta_2"]} if params["optimizer"] in ("adam", "nadam") else {}
    return fit(
        model,
        train_ids,
        validation_ids,
        optimizer=OPTIMIZERS[params["optimizer"]](learning_rate=params["learning_rate"], **betas),
        **{name: params[name] for name in OF_FIT},
        **{"num_threads": len(available_cores())} | more,
    )


@contextmanager
def stopped_between_batches() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM only make the function that is yielded return True. Once more, and they stop at once."""
    received = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if received:
            raise KeyboardInterrupt
        received = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress:
    """A progress bar while an epoch runs, if the output is a terminal, and a line when it is done."""

    def __init__(self, log_interval: int, num_epochs: int) -> None:
        self.log_interval, self.num_epochs = log_interval, num_epochs
        self.bar: tqdm | None = None
        self.started = time.perf_counter()

    def batch_done(self, now: TrainingState, loss: float) -> None:
        if self.bar is None:
            self.bar = tqdm(
                total=now.num_batches, desc=f"epoch {now.epoch}/{self.num_epochs}", leave=False, disable=None
            )
        if now.batch % self.log_interval == 0:
            self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            self.bar.update(now.batch - self.bar.n)

    def epoch_done(self, now: TrainingState) -> None:
        if self.bar is not None:  # training may have gone on from the very end of the epoch
            self.bar.close()
        self.bar, row = None, now.history[-1]
        print(
            f"epoch {row['epoch']}/{self.num_epochs}: train loss {row['train_loss']:.4f}, "
            f"validation loss {row['validation_loss']:.4f}, accuracy {row['validation_accuracy']:.2%}, "
            f"{time.perf_counter() - self.started:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    cli.run(main)
