"""Names for annotations: what layers and models work on. Shapes stand in docstrings, types can't tell them."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

Array = np.ndarray
Arrays = SimpleNamespace  # arrays by name: the parameters of a layer, their gradients, or its buffers
Shapes = dict[str, tuple[int, ...]]  # by the name of a parameter
State = list[dict[str, np.ndarray]]  # one dict a layer: the name of each of its states -> (B, width)
Stepper = tuple[Array, Array, Callable[[], None]]  # see `charrnn.models.Layer`
DType = np.typing.DTypeLike
