"""Matrices rounded to few bytes, as text for a page."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np

from charrnn.arrays import Array
from charrnn.errors import InputError

BYTES = {"int8": 1, "float16": 2, "float32": 4}  # of a number, for each precision
LARGEST_INT8 = 127


@dataclass(frozen=True)
class Rounded:
    """A matrix (outputs, inputs) of a page.

    Attributes
    ----------
    numbers
        (outputs, inputs) int8, float16 or float32.
    scales
        (outputs,) float32, the factors of the rows of int8 numbers; None for the floating-point types.
    """

    numbers: Array
    scales: Array | None = None

    def decoded(self) -> Array:
        """The numbers with which the page computes, (outputs, inputs) float32."""
        decoded = self.numbers.astype(np.float32)
        return decoded if self.scales is None else decoded * self.scales[:, None]

    def as_json(self) -> dict[str, Any]:
        """What the page reads: shape, numbers and scales."""
        described = {"shape": list(self.numbers.shape), "numbers": base64(self.numbers)}
        return described if self.scales is None else described | {"scales": base64(self.scales)}


def rounded(matrix: Array, precision: str) -> Rounded:
    """Round a matrix (outputs, inputs), which multiplies columns of inputs.

    An int8 number counts 127ths of the largest magnitude in its row, so each output has its own scale.

    Raises
    ------
    InputError
        If a number is too large for the precision.

    >>> rounded(np.array([[1.0, -0.5], [0.01, 0.04]]), "int8").numbers
    array([[127, -64],
           [ 32, 127]], dtype=int8)
    """
    if precision == "int8":
        matrix = as_finite(matrix, "float32")
        scales = np.abs(matrix).max(axis=1) / np.float32(LARGEST_INT8)
        multiples = np.divide(matrix, scales[:, None], out=np.zeros_like(matrix), where=scales[:, None] > 0)
        return Rounded(np.rint(np.clip(multiples, -LARGEST_INT8, LARGEST_INT8)).astype(np.int8), scales)
    return Rounded(as_finite(matrix, precision))


def as_finite(array: Array, precision: str) -> Array:
    """An array in a floating-point precision; raises InputError if a number is too large for it."""
    with np.errstate(over="ignore"):
        converted = array.astype(precision)
    if not np.isfinite(converted).all():
        raise InputError(f"a parameter is {np.abs(array).max():.3g}, too large for {precision}")
    return converted


def base64(array: Array) -> str:
    """The bytes of an array, least significant first, as text."""
    return b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")
