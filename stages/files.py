"""The small text files that stages leave: JSON and CSV, written whole, with figures rounded to what is meaningful."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from charrnn.files import replacing

DIGITS = 6  # significant ones; more is noise


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value for key, value in row.items()}


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a flat mapping."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(_rounded(values), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that share their keys."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rounded(row) for row in rows)
