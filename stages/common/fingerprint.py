"""Hashes that identify files, and a string that identifies the code."""

import hashlib
from pathlib import Path

import numpy as np

import charrnn


def file_hash(*paths: Path) -> str:
    """The SHA-256 of the contents of some files, in hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def code_version() -> str:
    """A string that identifies this code and the NumPy that it runs on."""
    folders = Path(charrnn.__file__).parent, Path(__file__).parents[1]
    sources = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return f"{file_hash(*sources)} NumPy {np.__version__}"
