"""Check ids where they enter the library, because they must be integers that the model knows, and count them."""

import numpy as np

from charrnn.errors import InputError
from charrnn.preprocessing.memory_map import release

AT_ONCE = 1 << 20  # along the first axis, so that little of a memory map is in memory


def require_ids(ids: np.ndarray, V: int, name: str = "ids") -> None:
    """Raise InputError unless `ids`, an array of any shape, holds only integers in 0 … V-1; it may be empty.

    The message calls the ids `name`, and names the first wrong id and its position.
    """
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu":
        kind = f"dtype {ids.dtype}" if isinstance(ids, np.ndarray) else f"type {type(ids).__name__}"
        raise InputError(f"{name}: the {kind} is not allowed; ids must be an array of integers")
    unsigned = ids.view(ids.dtype.str.replace("i", "u"))  # negative ids become huge: one comparison is enough
    for start in range(0, len(ids) if ids.size else 0, AT_ONCE):
        chunk = unsigned[start : start + AT_ONCE]
        if chunk.max() >= V:
            first, *others = (int(i) for i in np.unravel_index(np.argmax(chunk >= V), chunk.shape))
            place = (start + first, *others)
            position = place if others else place[0]
            raise InputError(f"{name}: id {ids[place]} at position {position}; the model knows only 0 to {V - 1}")
        release(ids)


def require_text(ids: np.ndarray, V: int, name: str) -> None:
    """Raise InputError unless `ids` is a text (n,) of ids that `require_ids` allows."""
    if np.ndim(ids) != 1:
        raise InputError(f"{name}: the shape is {np.shape(ids)}; it must be (n,), one id after another")
    require_ids(ids, V, name)


def count_ids(ids: np.ndarray, V: int) -> np.ndarray:
    """How often each of the ids 0 … V-1 occurs in a text (n,), which may be a memory map: (V,) int64.

    Raises
    ------
    InputError
        If some ids are not integers in 0 … V-1.
    """
    require_text(ids, V, "text to count")
    counts = np.zeros(V, np.int64)
    for start in range(0, len(ids), AT_ONCE):
        counts += np.bincount(ids[start : start + AT_ONCE], minlength=V)
        release(ids)
    return counts
