"""One run of `python -m tuning`, from the prepared text to the results of the search."""

import time

from charrnn.blas import one_blas_thread
from charrnn.errors import InputError
from charrnn.storage.files import require_writable
from stages.common import training
from stages.common.init_from import init_path
from stages.common.initial_model import load_init, require_startable
from stages.common.params import load_params
from stages.common.paths import Paths
from stages.common.prepared import read_prepared
from stages.common.training import StopOnSignal, warn_of_workers
from tuning.experiments import make_experiment, require_dvc
from tuning.options import REPORT, TABLE, Options
from tuning.report import write_report
from tuning.search import Search
from tuning.search_space import load_search_space, require_init_not_varied
from tuning.storage import database_errors, open_storage, parse_url
from tuning.study import best_trials, open_study, subject_of
from tuning.table import write_table
from tuning.trials import Task


@one_blas_thread()  # again: NumPy was not loaded yet when `stages.common.program.run` limited BLAS
def tune(options: Options) -> None:
    """Search, write the table and the report, and turn the best trials into DVC experiments.

    Raises
    ------
    InputError
        If a value in params.yaml or an option is not allowed, or no trial is complete.
    KeyboardInterrupt
        If a signal arrives. The table and the report have been written.
    """
    params = load_params()
    fixed = {name: params[name] for name in training.PARAMS}
    space, paths = load_search_space(options.space), Paths()
    prepared = read_prepared(paths)
    texts = prepared.ids("train"), prepared.ids("validation")
    init = load_init(init_path(fixed["init_from"]))
    if init:
        require_init_not_varied(space, options.space)
        require_startable(fixed, prepared.vectorizer, init)
    if options.top:
        require_dvc()
    warn_of_workers(fixed["workers"])
    for path in (REPORT, TABLE):
        require_writable(path)

    task = Task(space, fixed, texts, prepared.vectorizer, init)
    url = parse_url(options.storage)
    with database_errors(url), StopOnSignal() as stop:
        study = open_study(
            open_storage(url, options.heartbeat, stop.should_stop),
            options.study,
            subject_of(space, fixed, prepared.data, init.sha256 if init else None, pareto=options.pareto),
            pareto=options.pareto,
            seed=fixed["seed"],
        )
        try:
            Search(study, task, stop, options.trials, deadline=time.monotonic() + 60 * options.minutes).run()
        finally:  # also after Ctrl-C
            write_table(TABLE, study)
            write_report(REPORT, study)
        best = best_trials(study)
    if not best:
        raise InputError(f"no trial is complete; {TABLE} shows how each one ended")
    print(f"all trials: {TABLE}, plots: {REPORT}", flush=True)
    for trial in best[: options.top]:
        make_experiment(f"tune-{options.study}-{trial.number}", trial.user_attrs["params"], trial.values[0])
