"""What a training step consists of: `python -m benchmarks.anatomy`.

The step of two workers is timed as in `benchmarks.workers`, which also gives the time in which they sum gradients and
wait for each other. To see what each of them computes, a single worker then takes steps on its share of the batch, with
arrays that time every NumPy function called with them. The table has, as shares of the step of two workers,

* "products" are matrix products, "element-wise" all other functions of NumPy that take arrays and numbers, and sums;
* "calls" is the part of these two that goes into calling: their number, times the time of an addition of two numbers;
* "sums and waiting" is the time between the end of a worker's own gradient and the beginning of the update;
* "rest" is what remains: Python itself, look-ups, copies, and what two workers lose by sharing caches and memory.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from benchmarks import harness
from benchmarks.step import NUM_WORKERS, SHAPES, Charrnn, Shape, TrainingStep, random_batch, seconds_of
from benchmarks.training import REFERENCES, SHAPE_HELP, WARM_UP, parse_shape
from benchmarks.workers import turn
from charrnn.blas import one_blas_thread

STEPS = 20  # of a worker alone, after WARM_UP others
CALLS_TIMED = 10_000


class Parts(NamedTuple):
    """Seconds that one worker spends in the parts of a step, and its calls of NumPy's functions."""

    products: float
    element_wise: float
    num_calls: int


def parts_of_step(contender: Charrnn) -> Parts:
    """Take steps in this process, whose arrays time what they take part in."""
    seconds: dict[bool, float] = {True: 0.0, False: 0.0}
    calls: Counter[bool] = Counter()

    class Timed(np.ndarray):
        """An array that times each ufunc called with it; arrays that result are timed too."""

        def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
            inputs = tuple(map(plain, inputs))
            options = {name: tuple(map(plain, v)) if name == "out" else plain(v) for name, v in options.items()}
            call = getattr(function, method)
            start = time.perf_counter()
            result = call(*inputs, **options)
            seconds[function is np.matmul] += time.perf_counter() - start
            calls[function is np.matmul] += 1
            return result.view(Timed) if isinstance(result, np.ndarray) else result

    def plain(value: Any) -> Any:
        return value.view(np.ndarray) if isinstance(value, Timed) else value

    timed_numpy = SimpleNamespace(**vars(np))
    timed_numpy.empty = lambda *arguments: np.empty(*arguments).view(Timed)
    layers, parameters, *others = contender.arguments
    with mock.patch("charrnn.arrays.np", timed_numpy), one_blas_thread():
        step = TrainingStep(layers, parameters.view(Timed), *others)
        for i in range(WARM_UP + STEPS):
            if i == WARM_UP:
                calls.clear()
                seconds.update({True: 0.0, False: 0.0})
            step.take()
    of_clock = median_seconds(lambda: None)
    products, element_wise = ((seconds[kind] - calls[kind] * of_clock) / STEPS for kind in (True, False))
    return Parts(products, element_wise, calls.total() // STEPS)


def median_seconds(call: Callable[[], object]) -> float:
    """The median time of a short call, with the time of reading the clock."""
    return median(seconds_of(call) for _ in range(CALLS_TIMED))


def seconds_of_a_call() -> float:
    """The time of an addition of two numbers, in arrays: what a call costs without the work."""
    a, total = np.ones(1, np.float32), np.empty(1, np.float32)
    return median_seconds(lambda: np.add(a, a, out=total)) - median_seconds(lambda: None)


def measure(shape: Shape, cell: str, rounds: int) -> dict[str, Any]:
    """Measure both ways in turns, and return the medians: milliseconds of a step, and shares of it."""
    together = Charrnn(shape, *random_batch(shape), cell=cell, num_workers=NUM_WORKERS)
    share = shape._replace(B=max(1, shape.B // NUM_WORKERS))
    alone = Charrnn(share, *random_batch(share), cell=cell, num_workers=1)
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        (steps, in_sums, _), parts = turn(together), parts_of_step(alone)
        step = float(np.median(steps))
        shares = {
            "products": parts.products / step,
            "element_wise": parts.element_wise / step,
            "calls": parts.num_calls * seconds_of_a_call() / step,
            "sums_and_waiting": float(in_sums.sum() / steps.sum()),
        }
        found.append({"ms": step * 1e3, **shares, "num_calls": parts.num_calls})
    return {**shape._asdict(), "cell": cell, **{name: median(of[name] for of in found) for name in found[0]}}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A row for each shape and cell."""

    def cells(row: Mapping[str, Any]) -> dict[str, str]:
        shares = ("products", "element_wise", "sums_and_waiting")
        return {
            "H, B, T": str(Shape(*(row[name] for name in Shape._fields))),
            "cell": row["cell"].upper(),
            "ms a step": f"{row['ms']:.1f}",
            "products": f"{row['products']:.0%}",
            "element-wise": f"{row['element_wise']:.0%}",
            "of both: calls": f"{row['calls']:.0%}",
            "number of calls": f"{row['num_calls']:,.0f}",
            "sums and waiting": f"{row['sums_and_waiting']:.0%}",
            "rest": f"{1 - sum(row[share] for share in shares):.0%}",
        }

    return harness.table([cells(row) for row in rows])


def main() -> None:
    """Measure, print the table, and write `results/anatomy.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anatomy", description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=parse_shape, action="append", metavar="H,B,T", help=SHAPE_HELP)
    parser.add_argument("--rounds", type=harness.count, default=5, help="turns of both measurements; default: 5")
    parser.add_argument("--no-write", action="store_true", help="only print the table")
    args = parser.parse_args()
    rows = [measure(shape, cell, args.rounds) for shape in args.shape or SHAPES for cell in REFERENCES]
    print(table(rows))
    if not args.no_write:
        harness.write("anatomy", {"machine": harness.machine(), "rounds": args.rounds, "rows": rows})


if __name__ == "__main__":
    main()
