"""How much faster a training step is with more worker processes, and an estimate for many machines.

Run it as `python -m benchmarks.workers`. The step is the same as in `benchmarks.training`. Groups of different sizes
take turns, and every turn starts new processes. In the table

* "of step in sum" is the share of the step that a worker spends in `all_reduce`, which includes waiting for the others;
* "sum alone" is how long the same sum takes when all workers begin it together;
* "1 sequence each" is the time of a step with the smallest batch, one sequence for each worker.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from benchmarks import harness
from benchmarks.step import SHAPES, Charrnn, E, Shape, V, measure_steps, random_batch
from benchmarks.training import SHAPE_HELP, parse_shape, require_agreement, shape_of
from charrnn.parallel.processes import start_workers

CALLS = 5  # timed steps in a turn
WARM_UP = 5  # steps before them, in which new processes allocate their memory
MACHINES, GIGABITS = (8, 16, 32, 64), (1, 10)  # for the estimate: machines, and bits a second between them
LATENCY_MS = 0.05  # of a message from one machine to another over TCP


def turn(contender: Charrnn) -> np.ndarray:
    """Start the workers of a contender, and return the result of `measure_steps`."""
    job = partial(measure_steps, contender.arguments, WARM_UP, CALLS)
    seconds_bytes = 8 * 3 * contender.num_workers * CALLS
    with start_workers(contender.num_workers, max(contender.message_bytes, seconds_bytes), job) as workers:
        return job(workers)


def measure(shape: Shape, sizes: Sequence[int], rounds: int) -> dict[str, object]:
    """Check that groups of all sizes compute the same, time their steps, and return the figures."""
    contenders = {}
    for size in sizes:
        for B in (shape.B, size):
            contenders[size, B] = Charrnn(shape, *random_batch(shape._replace(B=B)), num_workers=size)
        alone = Charrnn(shape, *random_batch(shape), num_workers=1)
        require_agreement(f"{shape}, {size} workers", contenders[size, shape.B], alone)

    turns = {key: [] for key in contenders}

    def take_turn(key):
        turns[key].append(turn(contenders[key]))

    calls = {key: partial(take_turn, key) for key in contenders}
    harness.interleaved(calls, rounds=rounds, calls=1, warm_up=0)
    groups = []
    for size in sizes:
        steps, in_sums, sums = np.stack(turns[size, shape.B], axis=1)
        timing = harness.Timing(tuple(steps.ravel()))
        groups.append(
            {
                "workers": size,
                "ms": timing.median * 1e3,
                "quartiles_ms": [quartile * 1e3 for quartile in timing.quartiles],
                "share_in_sum": float(in_sums.sum() / steps.sum()),
                "sum_alone_ms": float(np.median(sums)) * 1e3,
                "one_sequence_ms": float(np.median(np.stack(turns[size, size])[:, 0])) * 1e3,
            }
        )
    return {**shape._asdict(), "bytes": alone.message_bytes, "groups": groups}


def table(shapes: Sequence[Mapping[str, object]]) -> str:
    """A row for each shape and number of workers."""

    def row(figures, group):
        low, high = group["quartiles_ms"]
        cells = {
            "H, B, T": str(shape_of(figures)),
            "workers": str(group["workers"]),
            "step": f"{group['ms']:.1f} ms ({low:.1f} – {high:.1f})",
            "times as fast": f"{figures['groups'][0]['ms'] / group['ms']:.2f}",
            "message": f"{figures['bytes'] / 1e6:.2f} MB",
            "of step in sum": f"{group['share_in_sum']:.1%}",
            "sum alone": f"{group['sum_alone_ms']:.2f} ms",
            "1 sequence each": f"{group['one_sequence_ms']:.1f} ms",
        }
        if group["workers"] == 1:
            cells |= dict.fromkeys(("message", "of step in sum", "sum alone"), "")
        return cells

    return harness.table([row(figures, group) for figures in shapes for group in figures["groups"]])


def estimate(shapes: Sequence[Mapping[str, object]]) -> list[dict[str, float]]:
    """How fast n machines like this one should be, by the formulas of docs/scaling.md."""
    rows = []
    for figures in shapes:
        shape, group = shape_of(figures), figures["groups"][-1]
        step, one_sequence, size = group["ms"], group["one_sequence_ms"], group["workers"]
        for n in MACHINES:
            sequences = max(shape.B / n, size)
            share = (sequences - size) / (shape.B - size) if shape.B > size else 1
            own = one_sequence + (step - one_sequence) * share
            row = {"shape": str(shape), "n": n}
            for gigabits in GIGABITS:
                network = 2 * (n - 1) / n * figures["bytes"] / (gigabits * 125e3) + 2 * (n - 1) * LATENCY_MS
                row[f"network_ms_{gigabits}"] = network
                row[f"same_batch_{gigabits}"] = step / (own + network)
                row[f"n_batches_{gigabits}"] = n * step / (step + network)
            rows.append(row)
    return rows


def estimate_table(shapes: Sequence[Mapping[str, object]]) -> str:
    """A row for each shape and number of machines."""
    return harness.table(
        [
            {"H, B, T": row["shape"], "machines": str(row["n"])}
            | {f"sum, {g} Gbit/s": f"{row[f'network_ms_{g}']:.1f} ms" for g in GIGABITS}
            | {f"same batch, {g} Gbit/s": f"{row[f'same_batch_{g}']:.1f}x" for g in GIGABITS}
            | {f"n batches, {g} Gbit/s": f"{row[f'n_batches_{g}']:.1f}x" for g in GIGABITS}
            for row in estimate(shapes)
        ]
    )


def main() -> None:
    """Measure, print the table and the estimate, and write `results/workers.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=parse_shape, action="append", metavar="H,B,T", help=SHAPE_HELP)
    parser.add_argument("--rounds", type=harness.count, default=10, help=f"turns of {CALLS} timed steps; default: 10")
    sizes_help = "numbers of workers to compare; default: 1, 2, 4, … up to the number of cores"
    parser.add_argument("--workers", type=harness.count, nargs="+", metavar="N", help=sizes_help)
    parser.add_argument("--no-write", action="store_true", help="only print the tables")
    args = parser.parse_args()

    sizes = args.workers or [1 << i for i in range(max(2, harness.num_cores()).bit_length())]
    figures = [measure(shape, sizes, args.rounds) for shape in args.shape or SHAPES]
    print(table(figures), estimate_table(figures), sep="\n\n")
    if not args.no_write:
        machine = harness.machine()
        results = {
            "machine": machine,
            "V": V,
            "E": E,
            "rounds": args.rounds,
            "calls": CALLS,
            "warm_up": WARM_UP,
            "shapes": figures,
        }
        print(f"written to {harness.write('workers', results)}", file=sys.stderr)


if __name__ == "__main__":
    main()
