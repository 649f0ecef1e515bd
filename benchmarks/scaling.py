"""How step time grows with H, B and T, how start-up and memory grow with the corpus, and how long imports take.

Run it as `python -m benchmarks.scaling`, on Linux. (`python -m benchmarks.workers` compares numbers of workers in more
detail.)
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import harness
from benchmarks.pipeline import ENVIRONMENT, run_stage, set_up, stage
from benchmarks.preparation import MB, peak_megabytes, write_corpus
from benchmarks.step import NUM_WORKERS, Charrnn, Shape, random_batch
from benchmarks.training import CALLS, WARM_UP
from stages.common.paths import Paths

CENTRE = {"H": 128, "B": 32, "T": 100}
VARIED = {"H": (32, 64, 128, 256, 512), "B": (1, 8, 32, 128), "T": (25, 50, 100, 200, 400)}
SIZES = (1, NUM_WORKERS)  # of the group of workers
CORPORA = (1, 50, 200)  # megabytes
MODULES = ("charrnn", "charrnn.data.corpus", "charrnn.models", "charrnn.sampling", "charrnn.model_file")

Figures = list[dict[str, int | float | str]]


def step_times(rounds: int) -> Figures:
    """Step times with one of H, B and T varied at a time, and the characters a second of the larger group."""
    shapes = {(name, value): Shape(**(CENTRE | {name: value})) for name, values in VARIED.items() for value in values}
    contenders = {
        (varied, size): Charrnn(shape, *random_batch(shape), num_workers=size)
        for varied, shape in shapes.items()
        for size in SIZES
    }
    steps = {key: contender.step for key, contender in contenders.items()}
    turns = {key: contender.turn for key, contender in contenders.items()}
    timings = harness.interleaved(steps, rounds=rounds, calls=CALLS, warm_up=WARM_UP, turns=turns)
    return [
        {"varied": varied[0], "H": shape.H, "B": shape.B, "T": shape.T}
        | {f"milliseconds_{size}": 1000 * timings[varied, size].median for size in SIZES}
        | {"characters_per_second": shape.B * shape.T / timings[varied, SIZES[-1]].median}
        for varied, shape in shapes.items()
    ]


def training_start(folder: Path, seconds: float) -> dict[str, float]:
    """Run the stage `train` for some seconds after its first step; return the time of that step, and the memory.

    Memory is the sum over all worker processes, so pages that they share are counted more than once. The stage writes
    to a terminal, where its progress bar shows the loss as soon as there is one.
    """
    import pty
    import termios  # neither exists on Windows

    (folder / Paths().checkpoint).unlink(missing_ok=True)  # of the run before, which was killed
    terminal, stderr = pty.openpty()
    termios.tcsetwinsize(stderr, (24, 80))  # without a width the bar would not be drawn
    started = time.perf_counter()
    process = subprocess.Popen(
        [*stage("train"), "--log-interval=1"],
        cwd=folder,
        env=ENVIRONMENT | {"TQDM_MININTERVAL": "0"},  # show every step, not ten a second
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )
    os.close(stderr)
    try:
        shown = b""
        while b"loss " not in shown:
            shown += os.read(terminal, 1 << 16)
        first_step = time.perf_counter() - started
        peak = resident_megabytes(process.pid, "VmHWM")
        while time.perf_counter() < started + first_step + seconds:
            os.read(terminal, 1 << 16)
        return {
            "seconds_to_first_step": first_step,
            "peak_megabytes_at_first_step": peak,
            "peak_megabytes": resident_megabytes(process.pid, "VmHWM"),
            "mapped_megabytes": resident_megabytes(process.pid, "RssFile"),
        }
    except OSError:  # raised by reading from a terminal that no process has open
        sys.exit(f"error: the train stage ended early, after it had printed {shown.decode().strip()!r}")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def resident_megabytes(pid: int, name: str) -> float:
    """A figure of a running process and the processes it has started: VmHWM is the peak, RssFile the mapped files."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(status(int(one), name) for one in (pid, *children)) * 1024 / MB


def status(pid: int, name: str) -> int:
    """A number that Linux reports about a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        field, _, value = line.partition(":")
        if field == name:
            return int(value.split()[0])
    raise OSError(f"process {pid} has no {name}")


def corpus_sizes(rounds: int, seconds: float) -> Figures:
    """Time to the first training step, and memory, by the size of the corpus."""
    runs = {megabytes: [] for megabytes in CORPORA}
    with tempfile.TemporaryDirectory() as root:
        folders = {megabytes: Path(root, str(megabytes)) for megabytes in CORPORA}
        for megabytes, folder in folders.items():
            write_corpus(set_up(folder), megabytes)
            run_stage("prepare", folder)
        for _ in range(rounds):
            for megabytes, folder in folders.items():
                runs[megabytes].append(training_start(folder, seconds))
    return [
        {"megabytes": megabytes} | {name: median(figures[name] for figures in several) for name in several[0]}
        for megabytes, several in runs.items()
    ]


def import_times(rounds: int) -> Figures:
    """How much longer it takes to import each module in a new process than to import NumPy."""
    commands = {module: [sys.executable, "-c", f"import numpy, {module}"] for module in ("numpy", *MODULES)}
    imports = {module: partial(peak_megabytes, command) for module, command in commands.items()}
    timings = harness.interleaved(imports, rounds=rounds, calls=3)
    return [
        {"module": module, "milliseconds_after_numpy": 1000 * (timings[module].median - timings["numpy"].median)}
        for module in MODULES
    ]


def step_table(steps: Figures) -> str:
    """A row for each shape."""
    return harness.table(
        [
            {
                "varied": row["varied"],
                **{name: str(row[name]) for name in CENTRE},
                **{f"{size} worker{'s' * (size > 1)}": f"{row[f'milliseconds_{size}']:.1f} ms" for size in SIZES},
                "characters/s": f"{row['characters_per_second']:,.0f}",
            }
            for row in steps
        ]
    )


def corpus_table(corpora: Figures) -> str:
    """A row for each size of the corpus."""
    return harness.table(
        [
            {
                "corpus": f"{row['megabytes']} MB",
                "first step after": f"{row['seconds_to_first_step']:.2f} s",
                "peak memory then": f"{row['peak_megabytes_at_first_step']:.0f} MB",
                "later": f"{row['peak_megabytes']:.0f} MB",
                "of which pages of files": f"{row['mapped_megabytes']:.0f} MB",
            }
            for row in corpora
        ]
    )


def import_table(imports: Figures) -> str:
    """A row for each module."""
    return harness.table(
        [{"import": row["module"], "after NumPy": f"{row['milliseconds_after_numpy']:.0f} ms"} for row in imports]
    )


def main() -> None:
    """Measure, print the tables, and write `results/scaling.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=harness.count, default=5, help="turns of each measurement; default: 5")
    parser.add_argument(
        "--seconds", type=harness.count, default=10, help="how long training runs after its first step; default: 10"
    )
    parser.add_argument("--no-write", action="store_true", help="only print the tables")
    args = parser.parse_args()

    steps = step_times(args.rounds)
    print(step_table(steps) + "\n", flush=True)
    corpora = corpus_sizes(args.rounds, args.seconds)
    print(corpus_table(corpora) + "\n", flush=True)
    imports = import_times(args.rounds)
    print(import_table(imports))
    if not args.no_write:
        harness.write(
            "scaling",
            {
                "machine": harness.machine(),
                "steps": steps,
                "corpora": corpora,
                "seconds_watched": args.seconds,
                "imports": imports,
            },
        )


if __name__ == "__main__":
    main()
