"""Dynamic evaluation in the stages: settings are chosen on validation text, and stored next to the model file."""

import sys
from dataclasses import asdict
from itertools import product
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np

from charrnn.arrays import Array
from charrnn.config import DynamicConfig
from charrnn.dynamic import adapted, evaluate_dynamically, mean_squared_gradients
from charrnn.errors import DivergenceError, InputError
from charrnn.messages import counted, figure, shown
from charrnn.model_file import ModelFile
from charrnn.storage.archive import DAMAGE, DYNAMICS_FORMAT, damaged, read_archive, write_archive
from stages.common.lock import sole_writer
from stages.common.metrics_files import require_finite
from stages.common.paths import Paths
from stages.common.scoring import in_words
from stages.common.trained import parameters_hash, read_same_text

LEARNING_RATES = (0.00015, 0.0003, 0.0006, 0.0012)  # smaller networks need larger ones
DECAYS = (0.002, 0.006)
MOST_CHARACTERS = 20_000  # of the validation text; more would take minutes


class Dynamics(NamedTuple):
    """What a model needs in order to learn while it reads."""

    config: DynamicConfig
    mean_squares: Array  # (P,), see `charrnn.dynamic.mean_squared_gradients`


def dynamics_of(trained: ModelFile, paths: Paths) -> Dynamics:
    """The dynamics stored next to the model file; if there are none, or those of another model, they are chosen first.

    Raises
    ------
    InputError
        If the file is damaged, or the dynamics have to be chosen and the prepared text is missing or is not the one
        that the model was trained on.
    OSError
        If a file can't be read or written.
    """
    if paths.dynamics.exists():
        found = _load(paths.dynamics, trained)
        if found:
            return found
    return choose(trained, paths)


def choose(trained: ModelFile, paths: Paths) -> Dynamics:
    """Gather the statistics on training text, choose learning rate and decay on validation text, and store them.

    Raises
    ------
    InputError, OSError
        As in `dynamics_of`.
    DivergenceError
        If no loss is finite.
    """
    prepared = read_same_text(trained, paths)
    with sole_writer(paths.dynamics):
        model, ids = trained.model, prepared.ids("validation")[:MOST_CHARACTERS]
        _say(f"choosing how fast the model learns while it reads {counted(len(ids), 'character')} of validation text")
        mean_squares = mean_squared_gradients(model, prepared.ids("train"), DynamicConfig.window_size)
        losses: dict[DynamicConfig, float] = {}
        for learning_rate, decay in product(LEARNING_RATES, DECAYS):
            config = DynamicConfig(learning_rate=learning_rate, decay=decay)
            loss = evaluate_dynamically(model, ids, mean_squares, config)["loss"]
            _say(f"{_in_words(config)}: loss {figure(loss)}")
            if isfinite(loss):
                losses[config] = loss
        if not losses:
            raise DivergenceError("the model diverges at every learning rate of dynamic evaluation")
        chosen = Dynamics(min(losses, key=losses.__getitem__), mean_squares)
        description = {"parameters_sha256": parameters_hash(trained), "config": asdict(chosen.config)}
        write_archive(paths.dynamics, DYNAMICS_FORMAT, description, {"mean_squares": mean_squares})
    return chosen


def dynamic_score(trained: ModelFile, ids: Array, dynamics: Dynamics) -> dict[str, float]:
    """Print how well the model predicts a text while it learns from it, and return the figures, all finite."""
    metrics = evaluate_dynamically(trained.model, ids, dynamics.mean_squares, dynamics.config)
    require_finite(metrics)
    print(f"learning while it reads, with {_in_words(dynamics.config)}: {in_words(metrics)}")
    return metrics


def having_read(trained: ModelFile, ids: Array, paths: Paths) -> ModelFile:
    """The model after it has read a text and learned from it."""
    config, mean_squares = dynamics_of(trained, paths)
    model = adapted(trained.model, ids, mean_squares, config)
    if not np.isfinite(model.parameters).all():
        raise DivergenceError("the model diverged while it learned from the text")
    return ModelFile(model, trained.vectorizer, trained.params, trained.data)


def _load(path: Path, trained: ModelFile) -> Dynamics | None:
    """The dynamics in a file, or None if they are those of another model."""
    description, arrays = read_archive(path, DYNAMICS_FORMAT)
    try:
        if description["parameters_sha256"] != parameters_hash(trained):
            return None
        found = Dynamics(DynamicConfig(**description["config"]), arrays["mean_squares"])
        squares = found.mean_squares
        if squares.shape != trained.model.parameters.shape or not (np.isfinite(squares) & (squares >= 0)).all():
            raise ValueError("its statistics are not those of a model")
    except InputError as error:
        raise InputError(f"{shown(path)}: {error}") from None
    except DAMAGE as error:
        raise InputError(damaged(path, error)) from None
    return found


def _in_words(config: DynamicConfig) -> str:
    return f"learning rate {config.learning_rate:g} and decay {config.decay:g}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # standard output may be a sample, or CSV
