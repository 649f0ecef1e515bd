"""A training run that can be stopped or killed at any time, and resumes from its checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from charrnn.arrays import Array
from charrnn.config import TrainingConfig, Value
from charrnn.errors import InputError
from charrnn.messages import counted
from charrnn.model_file import ModelFile, describe
from charrnn.parallel.processes import WorkerError
from charrnn.parallel.workers import ALONE, Workers
from charrnn.training import Callback, History, TrainingState, fresh_state
from charrnn.training.checkpoint import Checkpointing, Run, load_checkpoint
from stages.common.evolution import EvolutionFile
from stages.common.params import config_from
from stages.common.paths import Paths
from stages.common.progress import LearningCurve, Progress
from stages.common.training import KEPT, StopOnSignal, fit_with_params


def train_resumably(
    params: Mapping[str, Value],
    trained: ModelFile,
    texts: Sequence[Array],
    run: Run,
    paths: Paths,
    *,
    rng: np.random.Generator,
    checkpoint_seconds: float,
    group: Workers | None,
    before_checkpoint: Callback,
) -> History:
    """Train in our own processes, or as one of a group, in which only rank 0 prints and writes.

    Parameters
    ----------
    trained
        The model to train, and what its model file will hold besides.
    texts
        The training ids and the validation ids.
    run
        Identifies the run, see `stages.common.identity`.
    before_checkpoint
        A callback that may change the training state.

    Raises
    ------
    KeyboardInterrupt
        If any process was asked to stop; a checkpoint has been written.
    WorkerError
        If a process died.
    """
    model, stop, resume = trained.model, StopOnSignal(group or ALONE), None
    progress = Progress(params["log_interval"], params["num_epochs"])
    callbacks: list[Callback] = [stop]
    if group is None or group.rank == 0:
        fresh = partial(fresh_state, model, texts[0], config_from(params, TrainingConfig), rng=rng)
        resume = find_checkpoint(paths, run, fresh, rng)
        files = [LearningCurve(paths.metrics_dir / "history.csv"), EvolutionFile(paths.metrics_dir / "evolution.txt")]
        if resume and resume.history:  # DVC has deleted the files, and no epoch may be left that writes them
            for file in files:
                file.on_epoch(resume)
        checkpointing = Checkpointing(paths.checkpoint, run, describe(trained), checkpoint_seconds)
        callbacks = [before_checkpoint, checkpointing, *files, progress, stop]
    if group:
        resume = group.broadcast(resume)
    with stop, progress:
        try:
            history = fit_with_params(params, model, texts, rng=rng, group=group, callbacks=callbacks, resume=resume)
        except WorkerError as error:
            if stop.received:  # the signal that ended the worker asked this process to stop too
                raise KeyboardInterrupt(KEPT) from None
            raise WorkerError(f"{error}; {KEPT}") from None
        if stop.received:  # after the last batch; the checkpoint is from the last epoch
            raise KeyboardInterrupt(KEPT)
    return history


def find_checkpoint(
    paths: Paths, run: Run, fresh: Callable[[], TrainingState], rng: np.random.Generator
) -> TrainingState | None:
    """The state that this run can resume from, if it has a checkpoint. Prints a line about the checkpoint.

    `fresh()` is the state in which the run would begin.
    """
    if not paths.checkpoint.exists():
        return None
    if not paths.checkpoint.is_file():  # opening a pipe would block
        raise InputError(f"{paths.checkpoint} is not a regular file; remove it")
    beginning = fresh()
    try:
        found = load_checkpoint(paths.checkpoint, run, beginning, rng)
    except InputError as error:
        print(f"not resuming from a checkpoint: {error}", flush=True)
        return None
    done = counted(found.batch, "batch")
    print(f"resuming from {paths.checkpoint}: epoch {found.epoch}, {done} done", flush=True)
    return found
