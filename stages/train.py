"""Stage 3, train: fit a model to the training text, and write it with its learning curve.

A run that was stopped or killed resumes from its last checkpoint when it is started again with the same params.
"""

from collections.abc import Mapping, Sequence

from charrnn.arrays import Array
from charrnn.calibration import calibrate
from charrnn.config import Setting, Value
from charrnn.errors import InputError
from charrnn.model_file import ModelFile, load_model, save_model
from charrnn.models import Model
from charrnn.parallel.mpi import mpi_workers
from charrnn.parallel.workers import ALONE, Workers
from charrnn.preprocessing import TextVectorizer
from charrnn.storage.files import require_writable
from charrnn.training import Callback, History, best_epoch
from charrnn.training.checkpoint import Checkpointing
from stages.common import flags
from stages.common.identity import checkpoint_of, identity, require_same_run
from stages.common.metrics_files import write_csv, write_json
from stages.common.paths import Paths
from stages.common.prepared import read_ids, read_vocabulary
from stages.common.program import run
from stages.common.progress import LearningCurve, Progress
from stages.common.training import KEPT, PARAMS, StopOnSignal, fit_with_params, fresh_model

CHECKPOINT_SECONDS = Setting(30.0, "seconds between two checkpoints within an epoch", "checkpoint_seconds", at_least=0)
FIGURES = ("epoch", "train_loss", "validation_loss", "validation_accuracy")


def main() -> None:
    with mpi_workers() as group:
        parser = flags.parser(__doc__, PARAMS, weights_path="model file to start from instead of fresh weights")
        help = f"{CHECKPOINT_SECONDS.help} (default: {CHECKPOINT_SECONDS.default:g})"
        parser.add_argument("--checkpoint-seconds", default=CHECKPOINT_SECONDS.default, metavar="FLOAT", help=help)
        args = parser.parse_args()
        seconds = CHECKPOINT_SECONDS.parse(args.checkpoint_seconds)
        params = flags.values(args, PARAMS)
        if group and params["workers"] != group.size:
            raise InputError(f"workers is {params['workers']}; it must be {group.size}, as many as mpiexec has started")
        train(params, flags.paths(args), seconds, group)


def train(params: Mapping[str, Value], paths: Paths, checkpoint_seconds: float, group: Workers | None) -> None:
    """Train with processes of our own, or as one of a group, whose rank 0 alone prints and writes.

    Raises
    ------
    KeyboardInterrupt
        If any process was asked to stop; a checkpoint has been written.
    """
    texts = [read_ids(paths.processed / f"{part}.npy") for part in ("train", "validation")]
    vectorizer, data = read_vocabulary(paths.vocabulary)
    model, rng = fresh_model(params, vectorizer.vocabulary_size)
    if paths.weights_path:
        load_start(model, vectorizer, paths)
    run_identity = identity(params, data, paths)
    if group:
        require_same_run(group, run_identity)

    stop, resume = StopOnSignal(group or ALONE), None
    callbacks: Sequence[Callback] = [stop]
    is_first = group is None or group.rank == 0
    if is_first:
        print(f"{len(model.parameters):,} parameters, {len(texts[0]):,} characters to train on", flush=True)
        require_writable(paths.model)  # fail now rather than when training is over
        resume = checkpoint_of(run_identity, paths)
        callbacks = [
            Checkpointing(paths.checkpoint, run_identity, checkpoint_seconds),
            LearningCurve(paths.metrics_dir / "history.csv"),
            Progress(params["log_interval"], params["num_epochs"]),
            stop,
        ]
    if group:
        resume = group.broadcast(resume)
    with stop:
        history = fit_with_params(params, model, texts, rng=rng, group=group, callbacks=callbacks, resume=resume)
        if stop.received:  # after the last batch; the checkpoint is that of the last epoch
            raise KeyboardInterrupt(KEPT)
    if is_first:
        finish(params, ModelFile(model, vectorizer, params, data), history, texts[1], paths)


def load_start(model: Model, vectorizer: TextVectorizer, paths: Paths) -> None:
    """Give the model the parameters of the file that --weights-path names."""
    start = load_model(paths.trained)
    if start.vectorizer != vectorizer or start.model.layers != model.layers:
        raise InputError(f"{paths.trained} has another vocabulary or other layers than this run")
    model.parameters[...] = start.model.parameters


def finish(
    params: Mapping[str, Value], trained: ModelFile, history: History, validation_ids: Array, paths: Paths
) -> None:
    """Write the model and its metrics, and remove the checkpoint."""
    best = best_epoch(history)
    write_csv(paths.metrics_dir / "history.csv", history)
    figures = {name: best[name] for name in FIGURES}
    if params["calibrate"]:
        figures["calibration"] = calibrate(trained.model, validation_ids, most_streams=params["batch_size"])
        print(f"logits times {figures['calibration']:.2f} predict the validation text best", flush=True)
    write_json(paths.metrics_dir / "train.json", figures | {"parameters": len(trained.model.parameters)})
    save_model(paths.model, trained)
    paths.checkpoint.unlink()
    if best is not history[-1]:
        print(f"the model is that of epoch {best['epoch']}, which had the lowest validation loss", flush=True)


if __name__ == "__main__":
    run(main)
