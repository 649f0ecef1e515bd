"""Write metrics as JSON and CSV; every figure must be finite, and is rounded to its significant digits."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from charrnn.errors import DivergenceError
from charrnn.storage.files import atomic_write

DIGITS = 6  # significant ones; more is noise


def require_finite(row: Mapping[str, Any]) -> None:
    """Raise DivergenceError if a figure is NaN or infinite."""
    for key, value in row.items():
        if isinstance(value, float) and not isfinite(value):
            raise DivergenceError(f"{key} is {value}; a figure must be finite: the model has diverged")


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    require_finite(row)
    return {key: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for key, value in row.items()}


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a flat mapping."""
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
