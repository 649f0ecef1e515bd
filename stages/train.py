"""Stage 4, train: fit a model to the training text, and write it with its learning curve.

A run that was stopped or killed resumes from its last checkpoint when it is started again with the same params.
"""

import os
from collections.abc import Mapping
from typing import Any

from charrnn.arrays import Array
from charrnn.calibration import calibrate
from charrnn.config import Setting, Value
from charrnn.errors import InputError
from charrnn.messages import shown
from charrnn.model_file import ModelFile, save_model
from charrnn.parallel.mpi import mpi_workers
from charrnn.parallel.workers import Workers
from charrnn.storage.files import require_writable
from charrnn.training import History, best_epoch
from stages.common import flags
from stages.common.evolution import SAMPLE_EVERY, Evolution
from stages.common.identity import identity, require_same_run
from stages.common.init_from import init_path
from stages.common.initial_model import initial_model, load_init
from stages.common.lock import sole_writer
from stages.common.metrics_files import warn_if_worse_than_guessing, write_csv, write_json
from stages.common.paths import Paths
from stages.common.prepared import read_prepared
from stages.common.program import run
from stages.common.resumable import train_resumably
from stages.common.training import PARAMS, warn_of_workers

PATHS = ("data_dir", "model_dir", "model_filename", "weights_path", "metrics_dir")
CHECKPOINT_SECONDS = Setting(30.0, "seconds between two checkpoints within an epoch", "checkpoint_seconds", at_least=0)


def main() -> None:
    with mpi_workers() as group:
        parser = flags.parser(__doc__, PARAMS, PATHS, weights_path="model file to start from, instead of init_from")
        help = f"{CHECKPOINT_SECONDS.help} (default: {CHECKPOINT_SECONDS.default:g})"
        parser.add_argument("--checkpoint-seconds", default=CHECKPOINT_SECONDS.default, metavar="FLOAT", help=help)
        help = f"{SAMPLE_EVERY.help} (default: {SAMPLE_EVERY.default})"
        parser.add_argument("--sample-every", default=SAMPLE_EVERY.default, metavar="INT", help=help)
        args = parser.parse_args()
        seconds, sample_every = CHECKPOINT_SECONDS.parse(args.checkpoint_seconds), SAMPLE_EVERY.parse(args.sample_every)
        params = flags.values(args, PARAMS)
        if group and params["workers"] != group.size:
            raise InputError(f"workers is {params['workers']}; it must be {group.size}, as many as mpiexec started")
        paths = flags.paths(args)
        writes = (paths.model, paths.metrics_dir / "history.csv") if group is None or group.rank == 0 else ()
        with sole_writer(*writes):
            others = (paths.checkpoint, paths.metrics_dir / "evolution.txt", paths.metrics_dir / "train.json")
            for path in others if writes else ():
                require_writable(path)  # fail now rather than after an epoch
            train(params, paths, seconds, sample_every, group)


def train(
    params: Mapping[str, Value], paths: Paths, checkpoint_seconds: float, sample_every: int, group: Workers | None
) -> None:
    """Train alone, or as one of the processes that mpiexec has started; of these, only rank 0 prints and writes."""
    prepared = read_prepared(paths)
    texts = [prepared.ids("train"), prepared.ids("validation")]
    init_from = paths.weights_path or init_path(params["init_from"])
    if init_from and os.path.realpath(init_from) == os.path.realpath(paths.checkpoint):
        raise InputError(
            f"training can't start from {shown(init_from)}, which it overwrites; copy it, and use the copy"
        )
    init = load_init(init_from)
    model, rng = initial_model(params, prepared.vectorizer, texts[0], init)
    described = {name: value for name, value in params.items() if name != "init_from"}  # the hash says more than a path
    trained = ModelFile(model, prepared.vectorizer, described, prepared.data, init.sha256 if init else None)
    run = identity(params, prepared, trained.init_sha256)
    if group:
        require_same_run(group, run)
    else:
        warn_of_workers(params["workers"])
    is_first = group is None or group.rank == 0
    if is_first:
        if init:
            print(f"starting from {init.in_words}")
        print(f"{len(model.parameters):,} parameters, {len(texts[0]):,} characters to train on", flush=True)
    evolution = Evolution(model, prepared.vectorizer, sample_every)
    options: dict[str, Any] = dict(checkpoint_seconds=checkpoint_seconds, group=group, before_checkpoint=evolution)
    history = train_resumably(params, trained, texts, run, paths, rng=rng, **options)
    if is_first:
        write_results(trained, history, texts[1], paths)


def write_results(trained: ModelFile, history: History, validation_ids: Array, paths: Paths) -> None:
    """Write the model and its metrics, and remove the checkpoint."""
    best = best_epoch(history)
    write_csv(paths.metrics_dir / "history.csv", history)
    if trained.params["calibrate"]:
        factor = calibrate(trained.model, validation_ids, most_streams=trained.params["batch_size"])
        print(f"calibration: the logits are multiplied by {factor:.2f}", flush=True)
    metrics = {"validation_loss": best["validation_loss"], "parameters": len(trained.model.parameters)}
    write_json(paths.metrics_dir / "train.json", metrics)
    save_model(paths.model, trained)
    warn_if_worse_than_guessing(best["validation_loss"], trained.vectorizer.vocabulary_size)
    paths.checkpoint.unlink(missing_ok=True)
    if best is not history[-1]:
        print(f"the model is from epoch {best['epoch']}, which had the lowest validation loss", flush=True)


if __name__ == "__main__":
    run(main)
