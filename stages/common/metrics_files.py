"""Write metrics as JSON and CSV, rounded to their significant digits, and report a model that has diverged."""

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from math import isfinite, log
from pathlib import Path
from typing import Any

from charrnn.errors import DivergenceError
from charrnn.messages import figure
from charrnn.storage.files import atomic_write

DIGITS = 6  # significant ones; more is noise


def require_finite(row: Mapping[str, Any]) -> None:
    """Raise DivergenceError if a figure is NaN or infinite."""
    for key, value in row.items():
        if isinstance(value, float) and not isfinite(value):
            raise DivergenceError(f"{key} is {value}; a figure must be finite: the model has diverged")


def warn_if_worse_than_guessing(loss: float, vocabulary_size: int) -> None:
    """Print a warning if equal probabilities for all characters would have a clearly lower loss, in nats."""
    if loss > 1.01 * log(vocabulary_size):  # a little above may be chance
        print(
            f"warning: the model predicts worse than guessing: its loss is {figure(loss)}, but equal probabilities "
            f"for all {vocabulary_size} characters give {log(vocabulary_size):.4f}; if training has diverged, try a "
            "lower learning_rate",
            file=sys.stderr,
        )


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    require_finite(row)
    return {key: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for key, value in row.items()}


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a mapping; only the figures at its top are rounded."""
    text = json.dumps(_rounded(values), indent=2, ensure_ascii=False) + "\n"
    with atomic_write(path) as file:  # lone surrogates, from a path that is not UTF-8, become \udc80 as in JSON
        file.write(text.encode(errors="backslashreplace"))


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that share their keys."""
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rounded(row) for row in rows)
    with atomic_write(path) as file:
        file.write(table.getvalue().encode())
