"""The options of a search, and the paths of its results."""

import re
from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import InputError
from charrnn.messages import quoted
from stages.common.paths import Paths

SPACE_FILE = Path("search.yaml")
RESULTS = Path("tuning_results")
STORAGE = f"sqlite:///{RESULTS}/study.db"
REPORT = RESULTS / "report.html"
TABLE = Paths.metrics_dir / "tuning.csv"


@dataclass(frozen=True)
class Options:
    """The flags of `python -m tuning`; its --help describes them.

    Raises
    ------
    InputError
        If the name of the study is not allowed.
    """

    trials: float
    minutes: float
    top: int
    heartbeat: int
    space: Path
    storage: str
    study: str
    pareto: bool

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", self.study):  # it becomes part of an experiment's name
            raise InputError(f"study is {quoted(self.study)}; it must consist of at most 100 letters, digits, _ and -")
