"""Search for hyperparameters: trials on the validation text, a report, and the best as DVC experiments.

No stage of the pipeline. It reads what `prepare` leaves, never the test text, and the ranges of search.yaml. A second
call goes on with the study of the first, and so does one on another machine that has the same --storage.
"""

import argparse
import re
import time
from collections.abc import Mapping
from math import inf
from pathlib import Path

from charrnn.errors import InputError
from charrnn.files import require_writable
from stages import cli, experiments, train
from stages.files import DIGITS
from stages.params import Param, Value, load_params
from stages.processed import read_ids, read_vocabulary
from stages.search_space import SPACE_FILE, Choices, Range, load_search_space

FOLDER = Path("tuning")
STORAGE = f"sqlite:///{FOLDER}/study.db"
REPORT = FOLDER / "report.html"
TABLE = cli.Locations().metrics_dir / "tuning.csv"
INDIFFERENT = ("calibrate", "log_interval", "workers")  # to a trial, which is one process and only fits
UNTRIED = ("seed", *INDIFFERENT)  # a lucky seed is no better model
TUNABLE = tuple(name for name in train.PARAMS if name not in UNTRIED)

BUDGET = {
    param.name: param
    for param in (
        Param(
            "trials",
            20,
            "trials that the study has at the end, those of earlier calls included; no limit with --minutes alone",
            at_least=1,
        ),
        Param("minutes", inf, "no trial begins later than so many minutes from now", above=0),
        Param("top", 1, "how many of the best become DVC experiments; 0 for none", at_least=0),
        Param(
            "heartbeat", 30, "seconds between two signs of life; after four without, a trial is done again", at_least=1
        ),
    )
}


def main() -> None:
    args = _parser().parse_args()
    given = {name: getattr(args, name) for name in BUDGET}
    budget = {
        name: param.default if given[name] is None else param.parse(given[name]) for name, param in BUDGET.items()
    }
    if args.minutes is not None and args.trials is None:
        budget["trials"] = inf
    if not re.fullmatch(r"[A-Za-z0-9_-]+", args.study):
        raise InputError(f"study is {args.study!r}; it must consist of letters, digits, _ and -")
    try:
        from stages import search, tuning_report
    except ModuleNotFoundError as error:
        raise InputError(f'{error.name} is not installed; python -m pip install -e ".[tune]" brings it') from None

    values = load_params()
    fixed = {name: values[name] for name in train.PARAMS}
    space = load_search_space(args.space, TUNABLE)
    where = cli.Locations()
    texts = read_ids(where.processed / "train.npy"), read_ids(where.processed / "validation.npy")
    vectorizer, data = read_vocabulary(where.vocabulary)
    if budget["top"]:
        experiments.require_dvc()
    for path in (REPORT, TABLE):
        require_writable(path)

    about = {
        **data,
        **{name: _about(space.get(name), value) for name, value in fixed.items() if name not in INDIFFERENT},
    }
    about["objectives"] = "loss and seconds" if args.pareto else "loss"
    with search.database_named(args.storage):
        study = search.open_study(
            args.storage,
            args.study,
            about,
            2 if args.pareto else 1,
            seed=fixed["seed"],
            heartbeat=budget["heartbeat"],
        )
        with train.stopped_between_batches() as stopped:
            try:
                search.Search(
                    study,
                    space,
                    fixed,
                    texts,
                    vectorizer.vocabulary_size,
                    num_trials=budget["trials"],
                    deadline=time.monotonic() + 60 * budget["minutes"],
                    stopped=stopped,
                ).run()
            finally:  # Ctrl-C keeps everything done
                tuning_report.write_table(TABLE, study)
                tuning_report.write_page(REPORT, study)
        best = search.best_trials(study)
    if not best:
        raise InputError(f"no trial was completed; {TABLE} tells what came of each")
    print(f"{TABLE} has all trials, {REPORT} their pictures", flush=True)
    for trial in best[: budget["top"]]:
        make_experiment(f"tune-{args.study}-{trial.number}", trial.user_attrs["params"], trial.values[0])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stages.tune", description=__doc__)
    for param in BUDGET.values():
        default = "" if param.name == "minutes" else f" (default: {param.default})"
        parser.add_argument(f"--{param.name}", metavar=type(param.default).__name__.upper(), help=param.help + default)
    parser.add_argument(
        "--space", type=Path, default=SPACE_FILE, metavar="PATH", help=f"what may be tried (default: {SPACE_FILE})"
    )
    parser.add_argument(
        "--storage",
        default=STORAGE,
        metavar="URL",
        help=f"database of the study; postgresql://… for several machines (default: {STORAGE})",
    )
    parser.add_argument("--study", default="main", metavar="NAME", help="name of the study in it (default: main)")
    parser.add_argument(
        "--pareto", action="store_true", help="look for low loss and for few seconds of training; prunes nothing"
    )
    return parser


def _about(dimension: Range | Choices | None, value: object) -> str:
    """What a study holds of one param: what it is searched in, what it is where it is not searched, or both."""
    if dimension is None:
        return str(value)
    return str(dimension) + (f", else {value}" if dimension.when else "")


def make_experiment(name: str, params: Mapping[str, Value], loss: float) -> None:
    """Run a trial as an experiment, and tell whether that has the same validation loss."""
    recorded = experiments.run_experiment(name, {**params, "workers": 1})  # as the trial was
    expected = float(f"{loss:.{DIGITS}g}")
    if recorded == expected:
        print(f"`dvc exp apply {name}` takes the params of that trial, with validation loss {recorded}", flush=True)
    else:
        print(
            f"warning: experiment {name} has validation loss {recorded}, its trial {expected}: the trial ran "
            "with another number of cores, other code, or on another kind of machine",
            flush=True,
        )


if __name__ == "__main__":
    cli.run(main)
