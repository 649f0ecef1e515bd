"""Hashes that identify files, and a string that identifies the code."""

import hashlib
from pathlib import Path

import numpy as np

import charrnn


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's contents, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_version() -> str:
    """A string that identifies this code and the NumPy that it runs on."""
    folders = Path(charrnn.__file__).parent, Path(__file__).parents[1]
    sources = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    digest = hashlib.sha256("".join(map(file_hash, sources)).encode())
    return f"{digest.hexdigest()} NumPy {np.__version__}"
