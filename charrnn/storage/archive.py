"""Archives: a JSON text and named arrays in one .npz file without pickles, the format of model files and checkpoints.

Equal contents give byte-identical files. Reading takes at most a few times as much memory as the file takes on disk,
whatever the file claims.
"""

import io
import json
import os
import struct
import tokenize
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from charrnn.errors import InputError
from charrnn.messages import shown
from charrnn.storage.files import atomic_write, open_regular

DESCRIPTION = "description"
MODEL_FORMAT, CHECKPOINT_FORMAT, DYNAMICS_FORMAT = 1, 3, 4  # no two formats have the same version
# Exceptions of zipfile, NumPy, json and the code that uses their results, for files that are truncated or altered.
DAMAGE = (
    ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, OverflowError, NotImplementedError,
    RuntimeError, SyntaxError, struct.error, tokenize.TokenError, zipfile.BadZipFile,
)  # fmt: skip


def write_archive(
    path: str | Path, form: int, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write an archive atomically; `form` is the version of the format.

    Raises
    ------
    OSError
        If it can't be written.
    """
    contents: dict[str, Any] = {DESCRIPTION: np.array(json.dumps({"format": form, **description})), **arrays}
    with atomic_write(path) as file:
        np.savez(file, **contents)


def read_archive(path: str | Path, *forms: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description, with the version of the format under "format", and the arrays, which are read-only.

    Raises
    ------
    InputError
        If the file is not such an archive, is damaged, or has a format other than `forms`.
    OSError
        If it can't be read.
    """
    with open_regular(path) as file:
        content = file.read(os.fstat(file.fileno()).st_size)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            # Without compression, the contents can't be larger than the file.
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("it is compressed")
            if sum(member.file_size for member in archive.infolist()) > len(content):
                raise ValueError("it claims to hold more than it does")
            arrays = {name.removesuffix(".npy"): _array(archive, name) for name in archive.namelist()}
        description = json.loads(arrays.pop(DESCRIPTION).item())
        if not isinstance(description, dict):
            raise ValueError("its description is not a mapping")
        found = description["format"]
    except DAMAGE as error:
        raise InputError(damaged(path, error)) from None
    if found not in forms:
        known = " or ".join(map(str, forms))
        raise InputError(f"{shown(path)}: the format is {shown(found)}; this version reads format {known}")
    return description, arrays


def damaged(path: str | Path, error: Exception) -> str:
    """The message for a damaged file; `error` is one of DAMAGE."""
    lines = str(error).splitlines() or [type(error).__name__]
    return f"{shown(path)} is not a charrnn file, or is damaged ({shown(lines[0])})"


def read_array_header(file: BinaryIO, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """The shape and the dtype of the array in a .npy file, which is then at the first byte of the numbers.

    Errors call the file `name`.

    Raises
    ------
    ValueError
        If the header is damaged, or the array holds objects or is not in C order.
    """
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError
        shape, in_fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    except (*DAMAGE, MemoryError):  # a deep header is a MemoryError; NumPy's message about a long one suggests pickles
        raise ValueError(f"the header of {name} is damaged") from None
    if dtype.hasobject or in_fortran_order:
        raise ValueError(f"{name} holds objects, or is not in C order")
    return shape, dtype


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    content = archive.read(name)  # verifies the checksum: from here on, only deliberate damage is left
    file = io.BytesIO(content)
    shape, dtype = read_array_header(file, name)
    if file.tell() + prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{name} does not have as many numbers as its shape says")
    return np.frombuffer(content, dtype, offset=file.tell()).reshape(shape)
