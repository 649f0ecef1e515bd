"""Search for good hyperparameters by validation loss; the best trials become DVC experiments.

Reads the prepared text, but never the test text, and the search space in search.yaml. The same command resumes the
search, also on another machine with the same --storage.
"""

import argparse
from math import inf
from pathlib import Path

from charrnn.config import Setting
from charrnn.errors import InputError
from stages.common.program import run
from tuning.options import SPACE_FILE, STORAGE, Options

NUMBERS = (
    Setting(
        20, "finished trials to stop at, earlier ones included; no limit with --minutes alone", "trials", at_least=1
    ),
    Setting(inf, "start no trial after this many minutes", "minutes", above=0),
    Setting(1, "how many of the best trials become DVC experiments; 0 for none", "top", at_least=0),
    Setting(
        30,
        "seconds between heartbeats; after four missed ones, another search repeats the trial",
        "heartbeat",
        at_least=1,
        at_most=86_400,  # a day; the clocks of databases and threads overflow far above it
    ),
)


def main() -> None:
    options = _options(_parser().parse_args())
    try:
        from tuning.session import tune
    except ModuleNotFoundError as error:
        raise InputError(f'{error.name} is not installed; `python -m pip install -e ".[tune]"` installs it') from None
    tune(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tuning", description=__doc__)
    for number in NUMBERS:
        default = "" if number.default == inf else f" (default: {number.default})"
        parser.add_argument(
            f"--{number.name}", metavar=type(number.default).__name__.upper(), help=number.help + default
        )
    parser.add_argument(
        "--space", type=Path, default=SPACE_FILE, metavar="PATH", help=f"search space (default: {SPACE_FILE})"
    )
    parser.add_argument(
        "--storage",
        default=STORAGE,
        metavar="URL",
        help=f"database of the study; postgresql://… for several machines (default: {STORAGE})",
    )
    parser.add_argument("--study", default="main", metavar="NAME", help="name of the study (default: main)")
    parser.add_argument(
        "--pareto", action="store_true", help="minimise validation loss and training time together, without pruning"
    )
    return parser


def _options(args: argparse.Namespace) -> Options:
    given = dict(vars(args))
    for number in NUMBERS:
        value = given[number.name]
        given[number.name] = number.default if value is None else number.parse(value)
    if args.trials is None and args.minutes is not None:
        given["trials"] = inf
    return Options(**given)


if __name__ == "__main__":
    run(main)
