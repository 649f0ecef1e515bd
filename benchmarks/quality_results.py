"""The results of `benchmarks.quality`: kept in a file from run to run, and shown as tables."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness
from charrnn.config import Value
from charrnn.evaluation import LN2

NETWORKS = ("default", "fast", "middle", "best")
WINDOW_SIZES = (64, 256)

NANOGPT = "[nanoGPT](https://github.com/karpathy/nanoGPT), README"
MIN_RNNS = "[Were RNNs All We Needed?](https://arxiv.org/abs/2410.01201)"
PUBLISHED = [
    {
        "model": "transformer, 4 layers, 128 wide, on a CPU",
        "loss": "1.88",
        "measured on": "20 batches of 12 windows of 64 characters, drawn at random from the last 10 %",
        "source": NANOGPT,
    },
    {
        "model": "transformer, 6 layers, 384 wide, on an A100",
        "loss": "1.4697",
        "measured on": "200 batches of 64 windows of 256, drawn likewise; the lowest of several times during training",
        "source": NANOGPT,
    },
    {
        "model": "minGRU",
        "loss": "1.548",
        "measured on": "not stated; presumably likewise, as it builds on nanoGPT",
        "source": MIN_RNNS,
    },
    {
        "model": "transformer, in the same paper",
        "loss": "1.547",
        "measured on": "not stated; presumably likewise, as it builds on nanoGPT",
        "source": MIN_RNNS,
    },
]

Figures = dict[str, float | None]
Row = dict[str, Any]  # "name", "params" other than the defaults, "machine", and "runs", a list of Figures


class Results:
    """The rows of a results file. What is measured again replaces what was measured before; all else stays.

    A row keeps its earlier runs, with other seeds, if params and machine are the same.
    """

    def __init__(self, text_sha256: str, names: Sequence[str], path: Path) -> None:
        """Read a file, unless there is none or it is about another text; `names` gives the order of the rows."""
        written = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.rows: list[Row] = written["rows"] if written.get("text_sha256") == text_sha256 else []
        self.text_sha256, self.names, self.path = text_sha256, names, path

    def add(self, name: str, params: Mapping[str, Value], figures: Figures) -> None:
        """Add a run to the row with this name. Averages of runs with other params are removed."""
        row = {"name": name, "params": dict(params), "machine": harness.machine(), "runs": [figures]}
        kept = []
        for before in self.rows:
            comparable = same_run(before, row)
            if before["name"] == name:
                others = [run for run in before["runs"] if comparable and run.get("seed") != figures.get("seed")]
                row["runs"] = [*others, figures]
            elif comparable or model(before) != model(row):
                kept.append(before)
        self.rows = sorted([*kept, row], key=lambda row: (self.names.index(model(row)), row["name"]))  # averages behind

    def write(self) -> None:
        """Write the file."""
        harness.write(self.path.stem, {"text_sha256": self.text_sha256, "rows": self.rows})


def model(row: Row) -> str:
    """The model of a row: "best", also for "best × 3", the average."""
    return row["name"].partition(" × ")[0]


def same_run(first: Row, second: Row) -> bool:
    """Whether rows have the same params and were measured on the same machine, perhaps on different days."""
    undated = ({**row["machine"], "date": ""} for row in (first, second))
    return first["params"] == second["params"] and next(undated) == next(undated)


def table(rows: Sequence[Row]) -> str:
    """A row for each model, with the medians of its runs."""
    processors = _processors(rows)

    def cells(row):
        def middle(key, form):
            values = [run[key] for run in row["runs"] if run.get(key) is not None]
            return form.format(median(values)) if values else ""

        losses = [run["loss"] for run in row["runs"]]
        spread = f" ({min(losses):.4f} to {max(losses):.4f})" if len(losses) > 1 else ""
        return {
            "model": row["name"],
            "parameters": middle("parameters", "{:,.0f}"),
            "training": middle("seconds", "{:,.0f} s"),
            "loss": middle("loss", "{:.4f}") + spread,
            "bits per character": f"{median(losses) / LN2:.3f}",
            "accuracy": middle("accuracy", "{:.2%}"),
            **{f"from {size}": middle(f"loss_from_{size}", "{:.4f}") for size in WINDOW_SIZES},
            **processors[row["name"]],
        }

    return harness.table([cells(row) for row in rows])


def summary(rows: Sequence[Row]) -> str:
    """The networks and the best n-gram model: their cost, and how well they predict."""
    rows = [row for row in rows if row["name"] in ("5-gram", *NETWORKS)]
    processors = _processors(rows)
    return harness.table(
        [
            {
                "model": row["name"],
                "parameters": f"{row['runs'][0]['parameters']:,}",
                "training": f"{median(run['seconds'] for run in row['runs']):,.0f} s",
                "loss": f"{median(run['loss'] for run in row['runs']):.3f}",
                **processors[row["name"]],
            }
            for row in rows
        ]
    )


def _processors(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """The last cell of each row, if they were not all measured on the same processor."""
    names = {row["name"]: row["machine"]["processor"] for row in rows}
    return {name: {"processor": names[name]} if len(set(names.values())) > 1 else {} for name in names}
