"""What the benchmarks share: interleaved timing, a description of the machine, results as JSON and as a table."""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Timing:
    """Seconds of single calls, in the order in which they were made."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """Half of the calls took between these."""
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
    """Time single calls of every contender, in turns, so that whatever slows the machine for a while slows them all.

    Each round goes through the contenders, beginning with another one each time. A turn is `warm_up` calls that are
    not counted and then `calls` that are. Between turns nothing runs for `pause` seconds, because the threads of BLAS
    and OpenMP keep a core busy for a while after their last task, which would slow down whoever comes next. The calls
    of a contender that is among `turns` are made within the context manager that its function there returns.
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
    """A float32 product of two n x n matrices, and its multiply-adds: how fast the machine can be at its best."""
    a, out = np.ones((n, n), np.float32), np.empty((n, n), np.float32)
    return (lambda: np.matmul(a, a, out=out)), n**3


def machine(*packages: str) -> dict[str, object]:
    """What the figures depend on: processor, cores, operating system, and versions of those packages installed."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "date": date.today().isoformat(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": f"{blas['name']} {blas['version']}",
        "versions": {name: version for name in ("numpy", *packages) if (version := _version(name))},
    }


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
        raise argparse.ArgumentTypeError(f"it is {text!r}; it must be an integer of at least 1")
    return int(text)


def write(name: str, results: Mapping[str, object]) -> Path:
    """Write `results/NAME.json` and return where it lies."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return path


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of equal keys as a Markdown table, the first column flush left, the others flush right."""
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
