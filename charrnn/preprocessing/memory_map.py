"""Reading memory-mapped arrays without keeping what was read in memory."""

import mmap
from typing import Any

import numpy as np


def release(array: np.ndarray) -> None:
    """If the array is a view of a read-only memory map, release the memory of the pages that were read.

    Nothing is lost: the operating system may keep the file in its cache, and the next read brings it back.
    """
    mapped: Any = None
    source: Any = array
    while source is not None and not isinstance(source, mmap.mmap):
        mapped, source = source, getattr(source, "base", None)
    if source is not None and getattr(mapped, "mode", None) == "r" and hasattr(mmap, "MADV_DONTNEED"):
        source.madvise(mmap.MADV_DONTNEED)
