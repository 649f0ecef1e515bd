"""Code that all benchmarks share: timing in turns, a description of the machine, results as JSON and as a table."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
TUNING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # where set, NumPy may be half as fast on processors with AVX-512


@dataclass(frozen=True)
class Timing:
    """The seconds that each of several calls took, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile."""
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float(low), float(high)


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    calls: int,
    warm_up: int = 1,
    pause: float = 0.2,
    turns: Mapping[str, Callable[[], AbstractContextManager]] | None = None,
) -> dict[str, Timing]:
    """Time the calls of all contenders in turns, so that a temporary slowdown of the machine affects them all.

    Each round goes through the contenders, starting with a different one each time. A turn is `warm_up` calls that are
    not timed, and then `calls` that are. Before each turn there is a pause, because the threads of BLAS and OpenMP keep
    spinning for a while after their last task, which would slow down the next contender.

    Parameters
    ----------
    pause
        In seconds.
    turns
        For some of the contenders, a function that returns a context manager to enter for each of their turns.
    """
    names = list(contenders)
    seconds = {name: [] for name in names}
    for round in range(rounds):
        first = round % len(names)
        for name in names[first:] + names[:first]:
            time.sleep(pause)
            with (turns or {}).get(name, nullcontext)():
                for _ in range(warm_up):
                    contenders[name]()
                for _ in range(calls):
                    start = time.perf_counter()
                    contenders[name]()
                    seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def product_rate_contender(n: int = 1024) -> tuple[Callable[[], object], int]:
    """A float32 product of n x n matrices, to measure the machine's peak speed, and its number of multiply-adds."""
    a, out = np.ones((n, n), np.float32), np.empty((n, n), np.float32)
    return (lambda: np.matmul(a, a, out=out)), n**3


def machine(*packages: str) -> dict[str, object]:
    """A description of the machine: processor, cores, operating system, versions of NumPy and these packages."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": num_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": f"{blas['name']} {blas['version']}",
        "environment": {name: os.environ[name] for name in TUNING if name in os.environ},
        "versions": {name: version for name in ("numpy", *packages) if (version := _version(name))},
    }


def num_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def count(text: str) -> int:
    """An integer of at least 1, from the command line."""
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} must be an integer of at least 1")
    return int(text)


def write(name: str, results: Mapping[str, object]) -> Path:
    """Write `results/NAME.json` and return its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return path


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table of rows that all have the same keys: the first column flush left, the others flush right."""
    columns = list(rows[0])
    widths = [max(len(column), *(len(row[column]) for row in rows)) for column in columns]

    def line(cells):
        first, *others = zip(cells, widths)
        aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return "| " + " | ".join(aligned) + " |"

    rule = (
        "|"
        + "|".join("-" * (widths[0] + 2) if i == 0 else "-" * (width + 1) + ":" for i, width in enumerate(widths))
        + "|"
    )
    return "\n".join([line(columns), rule, *(line([row[column] for column in columns]) for row in rows)])
