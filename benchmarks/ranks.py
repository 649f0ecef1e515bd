"""A training step by two processes together, beside one process and PyTorch: `python -m benchmarks.ranks`.

The step is that of `benchmarks.training`, on the same batch. Contenders take turns; for each of its turns the two ranks
are started anew, because ranks that wait for each other keep their cores busy. One process has a thread a core, each
rank one thread. In the table

* "in the sum" is the share of the step that a rank spends summing, waiting for the other one included;
* "sum alone" is what the same sum takes if both ranks begin it at the same time;
* "a sequence a rank" is a step with the smallest batch that the ranks can share.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from benchmarks import harness
from benchmarks.training import SHAPES, Charrnn, E, Shape, V, installed, random_batch, require_agreement, shape
from charrnn.ranks import Ranks, ranks_of
from stages.workers import find_mpiexec

RANKS = 2
CALLS = 5  # timed steps of a contender in each round
WARM_UP = 5  # steps before them, in which new processes get their memory
PYTORCH = "PyTorch, NAdam"
TOLERANCE = 1e-5  # of the loss
MACHINES, GIGABITS = (8, 16, 32, 64), (1, 10)  # of the estimate: how many, and bits a second between them
LATENCY_MS = 0.05  # of one message between two machines, by TCP


def step_as_a_rank(shape: Shape) -> dict[str, object] | None:
    """Take steps as one of the processes of an mpiexec; rank 0 returns the seconds of all ranks."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    ranks, in_sum = ranks_of(world), []

    def timed_sum(array: np.ndarray) -> None:
        in_sum.append(seconds_of(partial(ranks.sum, array)))

    contender = Charrnn(shape, *random_batch(shape), reset_after=False, ranks=Ranks(ranks.rank, ranks.size, timed_sum))
    with contender.turn():
        loss, *_ = (contender.step() for _ in range(WARM_UP))
        steps = [seconds_of(contender.step) for _ in range(CALLS)]
    in_sum = in_sum[WARM_UP:]
    message, alone = np.zeros(len(contender.model.parameters) + 1, np.float32), []
    for _ in range(CALLS):
        world.Barrier()
        alone.append(seconds_of(partial(ranks.sum, message)))
    gathered = world.gather({"steps": steps, "in_sum": in_sum, "alone": alone})
    return gathered and {"loss": loss} | {name: [s for of in gathered for s in of[name]] for name in gathered[0]}


def seconds_of(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def turn_of_ranks(shape: Shape) -> dict[str, object]:
    """Run `step_as_a_rank` in so many processes."""
    command = [
        find_mpiexec() or "mpiexec",
        "-n",
        str(RANKS),
        sys.executable,
        "-m",
        "benchmarks.ranks",
        "--as-a-rank",
        ",".join(map(str, shape)),
    ]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"error: the ranks ended with {ended.returncode}: {ended.stderr.strip()}")
    return json.loads(ended.stdout)


def measure(shape: Shape, rounds: int) -> dict[str, object]:
    """Check that all compute the same, time a step of every contender, and return the figures."""
    x, y = random_batch(shape)
    alone = Charrnn(shape, x, y, reset_after=False)
    loss, _ = alone.loss_and_gradients()
    steps = {"one process": alone.step}
    for name, rival in installed([PYTORCH]).items():
        reference = Charrnn(shape, x, y, reset_after=rival.reset_after)
        contender = rival(reference.weights(), x, y)
        require_agreement(f"{tuple(shape)}, {name}", contender, reference)
        steps["PyTorch"] = contender.step

    of_ranks, of_a_sequence_each, seconds = [], [], {name: [] for name in steps}
    for _ in range(rounds):
        of_ranks.append(turn_of_ranks(shape))
        of_a_sequence_each += turn_of_ranks(shape._replace(B=RANKS))["steps"]
        turn = {"one process": alone.turn}
        for name, timing in harness.interleaved(steps, rounds=1, calls=CALLS, warm_up=WARM_UP, turns=turn).items():
            seconds[name] += timing.seconds
    worst = max(abs(turn["loss"] - loss) / loss for turn in of_ranks)
    if worst > TOLERANCE:
        sys.exit(f"error: {tuple(shape)}: the loss of the ranks differs by {worst:.1e}; at most {TOLERANCE} is allowed")

    ranks = {
        name: harness.Timing(tuple(s for turn in of_ranks for s in turn[name])) for name in ("steps", "in_sum", "alone")
    }
    timings = {"one process": harness.Timing(tuple(seconds["one process"])), f"{RANKS} ranks": ranks["steps"]}
    if "PyTorch" in seconds:
        timings["PyTorch"] = harness.Timing(tuple(seconds["PyTorch"]))
    return {
        **shape._asdict(),
        "bytes": 4 * (len(alone.model.parameters) + 1),
        "contenders": {
            name: {"ms": timing.median * 1e3, "quartiles_ms": [quartile * 1e3 for quartile in timing.quartiles]}
            for name, timing in timings.items()
        },
        "share_in_sum": sum(ranks["in_sum"].seconds) / sum(ranks["steps"].seconds),
        "sum_alone_ms": ranks["alone"].median * 1e3,
        "fixed_ms": harness.Timing(tuple(of_a_sequence_each)).median * 1e3,
    }


def table(shapes: Sequence[Mapping[str, object]]) -> str:
    """A shape a row."""

    def row(figures):
        of = figures["contenders"]
        ranks = of[f"{RANKS} ranks"]["ms"]
        cells = {"H, B, T": f"{figures['H']}, {figures['B']}, {figures['T']}"}
        for name, timing in of.items():
            cells[name] = "{:.1f} ms ({:.1f} – {:.1f})".format(timing["ms"], *timing["quartiles_ms"])
        cells["against one process"] = f"{of['one process']['ms'] / ranks:.2f}x"
        if "PyTorch" in of:
            cells["against PyTorch"] = f"{of['PyTorch']['ms'] / ranks:.2f}x"
        return cells | {
            "message": f"{figures['bytes'] / 1e6:.2f} MB",
            "in the sum": f"{figures['share_in_sum']:.1%}",
            "sum alone": f"{figures['sum_alone_ms']:.2f} ms",
            "a sequence a rank": f"{figures['fixed_ms']:.1f} ms",
        }

    return harness.table([row(figures) for figures in shapes])


def estimate(shapes: Sequence[Mapping[str, object]]) -> list[dict[str, float]]:
    """What n machines like this one should do, by the formulas of docs/scaling.md."""
    rows = []
    for of in shapes:
        step, fixed = of["contenders"][f"{RANKS} ranks"]["ms"], of["fixed_ms"]
        for n in MACHINES:
            sequences = max(of["B"] / n, RANKS)
            own = fixed + (step - fixed) * (sequences - RANKS) / (of["B"] - RANKS)
            row = {"H": of["H"], "B": of["B"], "T": of["T"], "n": n}
            for gigabits in GIGABITS:
                network = 2 * (n - 1) / n * of["bytes"] / (gigabits * 125e3) + 2 * (n - 1) * LATENCY_MS
                row[f"network_ms_{gigabits}"] = network
                row[f"strong_{gigabits}"] = step / (own + network)
                row[f"weak_{gigabits}"] = n * step / (step + network)
            rows.append(row)
    return rows


def estimate_table(shapes: Sequence[Mapping[str, object]]) -> str:
    """A shape and a number of machines a row."""
    return harness.table(
        [
            {"H, B, T": f"{row['H']}, {row['B']}, {row['T']}", "machines": str(row["n"])}
            | {f"sum, {g} Gbit/s": f"{row[f'network_ms_{g}']:.1f} ms" for g in GIGABITS}
            | {f"same batch, {g} Gbit/s": f"{row[f'strong_{g}']:.1f}x" for g in GIGABITS}
            | {f"n batches, {g} Gbit/s": f"{row[f'weak_{g}']:.1f}x" for g in GIGABITS}
            for row in estimate(shapes)
        ]
    )


def measure_all(shapes: Sequence[Shape], rounds: int, write: bool) -> None:
    """Measure, print the table and the estimate, and write `results/ranks.json` if wanted."""
    figures = [measure(shape, rounds) for shape in shapes]
    print(table(figures), estimate_table(figures), sep="\n\n")
    if write:
        machine = harness.machine("torch", "mpi4py", "mpich")
        results = {
            "machine": machine,
            "V": V,
            "E": E,
            "rounds": rounds,
            "calls": CALLS,
            "warm_up": WARM_UP,
            "shapes": figures,
        }
        print(f"written to {harness.write('ranks', results)}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranks", description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=shape, action="append", metavar="H,B,T", help="may be repeated; default: four")
    parser.add_argument("--rounds", type=harness.count, default=10, help=f"of {CALLS} steps a contender; default: 10")
    parser.add_argument("--no-write", action="store_true", help="print the table only")
    parser.add_argument("--as-a-rank", type=shape, metavar="H,B,T", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.as_a_rank is None:
        measure_all(args.shape or SHAPES, args.rounds, not args.no_write)
    elif figures := step_as_a_rank(args.as_a_rank):
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
