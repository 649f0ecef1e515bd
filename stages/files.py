"""The small text files that stages leave: JSON and CSV, written whole, with figures rounded to what is meaningful.

No figure in them is NaN or infinite. And what tells one version of a file, or of all the code, from another.
"""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

import charrnn
from charrnn.errors import DivergenceError
from charrnn.files import replacing

DIGITS = 6  # significant ones; more is noise


def hash_of(*paths: Path) -> str:
    """The SHA-256 of the contents of some files, in hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def code_version() -> str:
    """What tells this code, and the NumPy that it runs on, from any other."""
    folders = Path(charrnn.__file__).parent, Path(__file__).parent
    sources = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    return f"{hash_of(*sources)} NumPy {np.__version__}"


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
    with replacing(path) as temporary:  # the lone surrogates of a path that is not UTF-8 as JSON writes them, \udc80
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows that share their keys."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rounded(row) for row in rows)
