"""What the report is about: a trained model, its texts, and what the other stages have left."""

import csv
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.arrays import Array
from charrnn.errors import DivergenceError, InputError
from charrnn.inspection import Reading, read
from charrnn.messages import quoted, shown
from charrnn.model_file import ModelFile
from stages.common.paths import Paths
from stages.common.prepared import PreparedText
from stages.common.trained import parameters_hash

LONGEST_READING = 20_000  # characters of the test text that are looked into
NUMBERS_OF_READING = 1 << 24  # probabilities or states; a larger alphabet or network gets a shorter reading

NEEDED = {  # in each file, whatever else may be there
    "data.json": {"source", "bytes", "characters"},
    "evaluation.json": {"loss", "bits_per_char", "accuracy"},
    "evaluated.json": {"parameters_sha256", "perplexity", "longest_copy"},
    "history.csv": {"epoch", "train_loss", "validation_loss"},
    "context.csv": {"position", "loss"},
}

TEXTS = {"source", "parameters_sha256"}  # the rest are numbers

Rows = list[dict[str, float]]


@dataclass(frozen=True)
class Subject:
    """A run to report on. A mapping or list is empty, and a text is, if a stage has not left it.

    Attributes
    ----------
    train_ids, test_ids
        Memory maps.
    data, evaluation
        The contents of metrics/data.json, and of evaluation.json and evaluated.json together.
    history, context
        The rows of metrics/history.csv and context.csv.
    evolution
        The samples after each epoch, metrics/evolution.txt.
    """

    trained: ModelFile
    train_ids: Array
    test_ids: Array
    data: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    history: Rows
    context: Rows
    evolution: str

    @cached_property
    def reading(self) -> Reading:
        """The network's reading of the beginning of the test text; raises DivergenceError if it is not finite."""
        model = self.trained.model
        width = max(model.output_dim, sum(sum(layer.state_dims.values()) for layer in model.layers))
        reading = read(model, self.test_ids[: max(2, min(LONGEST_READING, NUMBERS_OF_READING // width))])
        if not np.isfinite(reading.probabilities).all():
            raise DivergenceError("some predictions are not finite: the model has diverged; train it again")
        return reading

    @cached_property
    def text(self) -> str:
        """The characters of the reading."""
        return self.trained.vectorizer.decode(self.reading.ids)


def load(trained: ModelFile, prepared: PreparedText, paths: Paths) -> Subject:
    """What is there of a run.

    Raises
    ------
    InputError
        If a file is damaged.
    OSError
        If the training or the test text can't be read.
    """
    ids = {part: prepared.ids(part) for part in ("train", "test")}
    data, folder = _json(paths.metrics_dir / "data.json"), paths.metrics_dir
    evaluation, evaluated = (_json(folder / f"{name}.json") for name in ("evaluation", "evaluated"))
    history, context = (_csv(folder / f"{name}.csv") for name in ("history", "context"))
    evolution = _text(folder / "evolution.txt")
    if not evaluated or evaluated["parameters_sha256"] != parameters_hash(trained):  # of an earlier model
        evaluation, evaluated, context = {}, {}, []
    if paths.weights_path and folder == Paths.metrics_dir:  # these are of the pipeline's own model
        history, evolution = [], ""
    return Subject(
        trained,
        ids["train"],
        ids["test"],
        data,
        {**evaluation, **evaluated} if evaluation else {},
        history,
        context,
        evolution,
    )


def _text(path: Path) -> str:
    """The contents of a file, or nothing if it is missing."""
    with suppress(FileNotFoundError):
        return path.read_bytes().decode(errors="replace")
    return ""


def _json(path: Path) -> Mapping[str, Any]:
    text = _text(path)
    if not text:
        return {}
    try:
        contents = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    _require_names(path, contents)
    return contents


def _csv(path: Path) -> Rows:
    try:
        rows = [
            {name: float(value) for name, value in row.items()}
            for row in csv.DictReader(_text(path).splitlines(), strict=True)
        ]
    except (ValueError, TypeError, csv.Error) as error:
        raise _damaged(path, error) from None
    for row in rows:
        _require_names(path, row)
    return rows


def _require_names(path: Path, values: object) -> None:
    missing = NEEDED[path.name].difference(values if isinstance(values, dict) else ())
    if missing or not isinstance(values, dict):
        raise _damaged(path, f"it lacks {', '.join(sorted(missing))}")
    for name in NEEDED[path.name] - TEXTS:
        if not isinstance(values[name], int | float) or not isfinite(values[name]):
            raise _damaged(path, f"{name} is {quoted(values[name])}, which is not a number")


def _damaged(path: Path, error: object) -> InputError:
    return InputError(f"{path} is damaged ({shown(error)}); run the stage that writes it again")
