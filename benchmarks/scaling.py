"""How a training step's time grows with H, B and T, how start-up and memory grow with the corpus, import times, and
what a second process brings (`benchmarks.ranks`)."""

import argparse
import os
import pty
import subprocess
import sys
import tempfile
import termios
import time
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import harness, ranks
from benchmarks.preparation import MB, ROOT, prepare, run, write_corpus
from benchmarks.training import CALLS, SHAPES, WARM_UP, Charrnn, Shape, random_batch

CENTRE = {"H": 128, "B": 32, "T": 100}
VARIED = {"H": (32, 64, 128, 256, 512), "B": (1, 8, 32, 128), "T": (25, 50, 100, 200, 400)}
CORPORA = (1, 50, 200)  # megabytes
MODULES = ("charrnn", "charrnn.corpus", "charrnn.models", "charrnn.sampling", "charrnn.storage")

Figures = list[dict[str, int | float | str]]


def step_times(rounds: int) -> Figures:
    """Step time and characters a second, with one of H, B and T varied at a time."""
    shapes = {(name, value): CENTRE | {name: value} for name, values in VARIED.items() for value in values}
    contenders = {}
    for varied, sizes in shapes.items():
        shape = Shape(**sizes)
        x, y = random_batch(shape)
        contenders[varied] = Charrnn(shape, x, y, reset_after=False)
    steps = {varied: contender.step for varied, contender in contenders.items()}
    turns = {varied: contender.turn for varied, contender in contenders.items()}
    timings = harness.interleaved(steps, rounds=rounds, calls=CALLS, warm_up=WARM_UP, turns=turns)
    return [
        shapes[varied]
        | {"varied": varied[0], "milliseconds": 1000 * timing.median}
        | {"characters_per_second": shapes[varied]["B"] * shapes[varied]["T"] / timing.median}
        for varied, timing in timings.items()
    ]


def training_start(data_dir: Path, seconds: float) -> dict[str, float]:
    """Run the train stage for some seconds after its first step: when that was done, and megabytes resident.

    The stage believes that it writes to a terminal, so that it shows a progress bar, which appears with a loss as soon
    as there is one.
    """
    terminal, stderr = pty.openpty()
    termios.tcsetwinsize(stderr, (24, 80))  # without a width the bar would not be drawn
    flags = [f"--{name}-dir={data_dir / name}" for name in ("model", "metrics")]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train", f"--data-dir={data_dir}", *flags, "--log-interval=1"],
        cwd=ROOT,
        env=os.environ | {"TQDM_MININTERVAL": "0"},  # show every step, not ten a second
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )
    os.close(stderr)
    try:
        shown = b""
        while b"loss=" not in shown:
            shown += os.read(terminal, 1 << 16)
        first_step = time.perf_counter() - started
        peak = resident(process.pid, "VmHWM")
        while time.perf_counter() < started + first_step + seconds:
            os.read(terminal, 1 << 16)
        return {
            "seconds_to_first_step": first_step,
            "peak_megabytes_at_first_step": peak,
            "peak_megabytes": resident(process.pid, "VmHWM"),
            "mapped_megabytes": resident(process.pid, "RssFile"),
        }
    except OSError:  # what reading a terminal gives once the process behind it is gone
        sys.exit(f"error: the train stage ended before time, saying {shown.decode().strip()!r}")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def resident(pid: int, name: str) -> float:
    """A figure of a running process in megabytes; VmHWM is its peak, RssFile what of it are pages of files."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        field, _, value = line.partition(":")
        if field == name:
            return int(value.split()[0]) * 1024 / MB
    raise OSError(f"process {pid} has no {name}")


def corpus_sizes(rounds: int, seconds: float) -> Figures:
    """Time to the first training step, and memory, against the size of the corpus."""
    runs = {megabytes: [] for megabytes in CORPORA}
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in CORPORA:
            write_corpus(Path(folder, str(megabytes), "raw", "input.txt"), megabytes)
            prepare(Path(folder, str(megabytes)))
        for _ in range(rounds):
            for megabytes in CORPORA:
                runs[megabytes].append(training_start(Path(folder, str(megabytes)), seconds))
    return [
        {"megabytes": megabytes} | {name: median(figures[name] for figures in several) for name in several[0]}
        for megabytes, several in runs.items()
    ]


def import_times(rounds: int) -> Figures:
    """What importing each module in a new process takes longer than importing NumPy does."""
    imports = {module: partial(run, "-c", f"import numpy, {module}") for module in ("numpy", *MODULES)}
    timings = harness.interleaved(imports, rounds=rounds, calls=3)
    return [
        {"module": module, "milliseconds_after_numpy": 1000 * (timings[module].median - timings["numpy"].median)}
        for module in MODULES
    ]


def step_table(steps: Figures) -> str:
    """A shape a row."""
    return harness.table(
        [
            {
                "varied": row["varied"],
                **{name: str(row[name]) for name in CENTRE},
                "step": f"{row['milliseconds']:.1f} ms",
                "characters/s": f"{row['characters_per_second']:,.0f}",
            }
            for row in steps
        ]
    )


def corpus_table(corpora: Figures) -> str:
    """A size of the corpus a row."""
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
    """A module a row."""
    return harness.table(
        [{"import": row["module"], "after NumPy": f"{row['milliseconds_after_numpy']:.0f} ms"} for row in imports]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=harness.count, default=5, help="turns that each measurement gets")
    parser.add_argument("--seconds", type=harness.count, default=10, help="training watched after its first step")
    parser.add_argument("--no-write", action="store_true", help="print the figures only")
    args = parser.parse_args()

    steps = step_times(args.rounds)
    print(step_table(steps) + "\n")
    corpora = corpus_sizes(args.rounds, args.seconds)
    print(corpus_table(corpora) + "\n")
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
    print()
    ranks.measure_all(SHAPES, args.rounds, not args.no_write)


if __name__ == "__main__":
    main()
