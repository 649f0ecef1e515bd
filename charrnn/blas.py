"""Limit BLAS to one thread: several wait for each other, for a long time if other programs keep the cores busy."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from time import perf_counter
from typing import TypeVar

import numpy as np  # noqa: F401 (loads the BLAS that the controller then finds)
from threadpoolctl import ThreadpoolController

POOLS = ThreadpoolController().select(user_api="blas").lib_controllers  # empty if threadpoolctl does not know this BLAS
# Limits of a block of items that are computed at a time: entering the context takes as long as sampling a character.
BLOCK = 128  # items
BLOCK_SECONDS = 0.02

Item = TypeVar("Item")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """A context manager that limits BLAS to one thread; also a decorator for functions, but not for generators."""
    before = [pool.num_threads for pool in POOLS]
    for pool in POOLS:
        pool.set_num_threads(1)
    try:
        yield
    finally:
        for pool, n in zip(POOLS, before):
            pool.set_num_threads(n)


def on_one_blas_thread(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items, computed a block at a time on one BLAS thread; the caller's own code is not limited."""

    @one_blas_thread()
    def next_block() -> list[Item]:
        block, started = [], perf_counter()
        for item in islice(items, BLOCK):
            block.append(item)
            if perf_counter() - started > BLOCK_SECONDS:
                break
        return block

    while block := next_block():
        yield from block
