"""Calls beside this thread: how they are started, and how their results are waited for.

Waking a thread takes longer than many a call. So a call that no thread has begun with is made by whoever waits for it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from threadpoolctl import threadpool_limits

Call = Callable[[], Any]
Beside = Callable[[Call], Call]
"""Starts a call and returns a function, itself to be called once, that waits until it is made and returns what it has
returned, or raises what it has raised."""

Later = Callable[[list[Call]], None]
"""Has calls made, at once or some time before the step is over."""


def make(calls: Sequence[Call]) -> None:
    """Make these calls, one after the other."""
    for call in calls:
        call()


def at_once(call: Call) -> Call:
    """`Beside` without a thread."""
    result = call()
    return lambda: result


@contextmanager
def threads(number: int) -> Iterator[Beside]:
    """So many threads, this one being the first, and one thread for the BLAS of each, of a single one too: it has too
    little work for two, and results are the same whatever BLAS could have.

    When the block ends, even with an error, the others finish what they have been given first.
    """
    with threadpool_limits(1, user_api="blas"):
        if number <= 1:
            yield at_once
            return
        with ThreadPoolExecutor(number - 1) as others:

            def beside(call: Call) -> Call:
                begun = others.submit(call)
                return lambda: call() if begun.cancel() else begun.result()

            yield beside


def start(calls: Sequence[Call], beside: Beside) -> list[Call]:
    """Make the first of these calls while the others are begun beside it; returns what waits for each of them."""
    first, *others = calls
    waiting = [beside(call) for call in others]
    return [at_once(first), *waiting]
