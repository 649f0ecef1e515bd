"""How fast `prepare` turns a text into ids and splits it, and how much memory that takes, for texts of any size.

This process stays small: Linux counts what a process held when it started another one into the peak of the other.
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

ROOT = Path(__file__).parents[1]  # stages read params.yaml from the folder they run in
PLAY = ROOT / "data" / "bundled" / "tide_clock.txt"
MB = 10**6
SEED = 0
WORDS = 100_000  # about 0.6 MB, so that no piece that is read at once is like the one before
FOREIGN = str.maketrans("aeiou'-!", "àéîöü’—🌊")
START_UP = "import only"


def write_corpus(path: Path, megabytes: int, *, non_ascii: bool = False) -> None:
    """Words of the bundled play in random order, again and again; with `non_ascii` a tenth of them look foreign."""
    rng = np.random.default_rng(SEED)
    words = PLAY.read_text(encoding="utf-8").split(" ")
    if non_ascii:
        words[::10] = [word.translate(FOREIGN) for word in words[::10]]
    text = " ".join(words[i] for i in rng.integers(len(words), size=WORDS)).encode()
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        whole, rest = divmod(megabytes * MB, len(text))
        for _ in range(whole):
            file.write(text)
        file.write(text[:rest].decode(errors="ignore").encode())  # without half a character at the end


def run(*arguments: str) -> float:
    """Let Python run to its end, and return the most megabytes that it had resident."""
    process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"error: python {' '.join(arguments)} ended with exit code {process.returncode}; it must be 0")
    return usage.ru_maxrss * 1024 / MB


def prepare(data_dir: Path) -> float:
    """Run the stage on data_dir/raw/input.txt, and return its peak resident megabytes."""
    return run("-m", "stages.prepare", "--data-dir", str(data_dir))


def table(figures: Sequence[dict[str, object]]) -> str:
    """A size of the text a row."""
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=harness.count, nargs="+", default=[1, 200, 1000], help="sizes of the texts")
    parser.add_argument("--non-ascii", action="store_true", help="texts with characters of two to four bytes")
    parser.add_argument("--rounds", type=harness.count, default=3, help="counted runs for each size")
    parser.add_argument("--no-write", action="store_true", help="print the figures only")
    args = parser.parse_args()

    peaks = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:

        def measured(megabytes):
            peaks[megabytes].append(prepare(Path(folder, str(megabytes))))

        for megabytes in args.megabytes:
            write_corpus(Path(folder, str(megabytes), "raw", "input.txt"), megabytes, non_ascii=args.non_ascii)
        contenders = {START_UP: partial(run, "-c", "import stages.prepare")}
        contenders |= {megabytes: partial(measured, megabytes) for megabytes in args.megabytes}
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
