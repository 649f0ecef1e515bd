"""How fast the stage `prepare` turns texts of any size into ids and splits them, and how much memory it takes.

Run it as `python -m benchmarks.preparation`. This process itself stays small, because Linux adds the memory that
a process has when it starts another one to the peak memory of the other.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import harness
from benchmarks.pipeline import ENVIRONMENT, ROOT, set_up, stage

PLAY = ROOT / "data" / "bundled" / "tide_clock.txt"
MB = 10**6
SEED = 0
WORDS = 100_000  # about 0.6 MB, so that every chunk that is read differs from the one before
FOREIGN = str.maketrans("aeiou'-!", "àéîöü’—🌊")
START_UP = "imports"


def write_corpus(path: Path, megabytes: int, *, non_ascii: bool = False) -> None:
    """Write words of the bundled play in random order; with `non_ascii`, a tenth of them have other letters."""
    rng = np.random.default_rng(SEED)
    words = PLAY.read_text(encoding="utf-8").split(" ")
    if non_ascii:
        words[::10] = [word.translate(FOREIGN) for word in words[::10]]
    text = " ".join(words[i] for i in rng.integers(len(words), size=WORDS)).encode()
    with open(path, "wb") as file:
        whole, rest = divmod(megabytes * MB, len(text))
        for _ in range(whole):
            file.write(text)
        file.write(text[:rest].decode(errors="ignore").encode())  # without an incomplete character at the end


def peak_megabytes(command: Sequence[str], folder: Path = ROOT) -> float:
    """Run a command to its end, and return its peak resident memory."""
    process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"error: {' '.join(command)} ended with exit code {process.returncode}; it must be 0")
    return usage.ru_maxrss * 1024 / MB


def table(figures: Sequence[dict[str, object]]) -> str:
    """A row for each size of the text."""
    return harness.table(
        [
            {
                "text": f"{row['megabytes']} MB",
                "process": f"{row['seconds']:.2f} s",
                "quartiles": " to ".join(f"{seconds:.2f}" for seconds in row["quartiles"]),
                "whole process": f"{row['megabytes_per_second']:.0f} MB/s",
                "without imports": f"{row['megabytes_per_second_after_start_up']:.0f} MB/s",
                "peak memory": f"{row['peak_megabytes']:.0f} MB",
            }
            for row in figures
        ]
    )


def main() -> None:
    """Measure, print the table, and write `results/preparation.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preparation", description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=harness.count, nargs="+", default=[1, 200, 1000], help="sizes of the texts")
    parser.add_argument("--non-ascii", action="store_true", help="texts with characters of two to four bytes")
    parser.add_argument("--rounds", type=harness.count, default=3, help="timed runs for each size; default: 3")
    parser.add_argument("--no-write", action="store_true", help="only print the table")
    args = parser.parse_args()

    peaks = defaultdict(list)
    with tempfile.TemporaryDirectory() as root:

        def prepare(megabytes):
            peaks[megabytes].append(peak_megabytes(stage("prepare"), Path(root, str(megabytes))))

        for megabytes in args.megabytes:
            write_corpus(set_up(Path(root, str(megabytes))), megabytes, non_ascii=args.non_ascii)
        contenders = {START_UP: partial(peak_megabytes, [sys.executable, "-c", "import stages.prepare"])}
        contenders |= {megabytes: partial(prepare, megabytes) for megabytes in args.megabytes}
        timings = harness.interleaved(contenders, rounds=args.rounds, calls=1)

    start_up = timings.pop(START_UP).median
    figures = [
        {
            "megabytes": megabytes,
            "seconds": timing.median,
            "quartiles": timing.quartiles,
            "megabytes_per_second": megabytes / timing.median,
            "megabytes_per_second_after_start_up": megabytes / (timing.median - start_up),
            "peak_megabytes": median(peaks[megabytes]),
        }
        for megabytes, timing in timings.items()
    ]
    print(table(figures))
    print(f"\nThe imports take {start_up:.2f} s.")
    if not args.no_write:
        name = "preparation-non-ascii" if args.non_ascii else "preparation"
        harness.write(name, {"machine": harness.machine(), "start_up_seconds": start_up, "figures": figures})


if __name__ == "__main__":
    main()
