"""The search as a user runs it: what it tries, keeps and reports, how it resumes, and the experiments it makes."""

# ruff: noqa: F401, F811 (imported fixtures look like names that are unused, then redefined)

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from html.parser import HTMLParser
from unittest import mock

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.evaluation import evaluate
from charrnn.model_file import load_model, save_model
from charrnn.parallel.processes import WorkerError
from charrnn.preprocessing import TextVectorizer
from stages.common import training
from stages.common.initial_model import initial_model
from stages.common.params import PARAMS, load_params
from stages.common.paths import Paths
from stages.common.prepared import read_prepared
from stages.common.training import KEPT, StopOnSignal, fit_with_params
from tests.dvc_project import run as run_in
from tests.dvc_project import set_params
from tests.stage_project import (
    ENVIRONMENT,
    ROOT,
    change_param,
    files,
    network_sockets,
    printed_by,
    remove,
    rows,
    running_in,
)
from tests.tuning_project import (
    COMPLETE,
    LOST,
    PRUNED,
    SPACE,
    call,
    complete_trials,
    interruptible,
    optuna,
    prepared,
    project,
    replace,
    run,
    start,
    study_of,
    table,
    trials_under_way,
    wait_for,
)
from tuning import experiments, session, trials
from tuning.options import STORAGE, TABLE
from tuning.table import write_table

# The program itself turns them off.
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def without_seconds(folder):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in table(folder)]


@pytest.fixture(scope="module")
def searched(prepared, tmp_path_factory):
    """A folder in which 14 trials were done at once, and what was printed; only to be read."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("searched") / "project")
    return folder, run(folder, "--trials", 14, "--top", 0)


def test_a_search_leaves_its_study_and_report_and_nothing_else(searched, prepared):
    left = set(files(searched[0])) - set(files(prepared))
    assert left == {"tuning_results/study.db", "tuning_results/report.html", "metrics/tuning.csv"}


def test_every_trial_is_a_row_and_a_line(searched):
    folder, printed = searched
    found, trials = table(folder), study_of(folder).trials
    assert [int(row["trial"]) for row in found] == list(range(14)) == [trial.number for trial in trials]
    assert {row["outcome"] for row in found} == {"complete", "pruned"}
    for row, trial in zip(found, trials, strict=True):
        assert {name: PARAMS[name].parse(row[name]) for name in trial.user_attrs["params"]} == trial.user_attrs[
            "params"
        ]
        assert row["epochs"] == "4" if row["outcome"] == "complete" else row["epochs"] in ("1", "3")
        assert (float(row["dropout"]) > 0) == (int(row["hidden_dim"]) >= 8)
    *lines, last = printed.splitlines()
    assert [line.partition(" (")[0] for line in lines] == [f"trial {i}" for i in range(14)]
    assert last == "all trials: metrics/tuning.csv, plots: tuning_results/report.html"
    best = min((row for row in found if row["outcome"] == "complete"), key=lambda row: float(row["validation_loss"]))
    assert lines[-1].endswith(f"; best: {float(best['validation_loss']):.4f}, trial {best['trial']}")


def with_and_without_dropout(folder):
    """A complete trial and another one, which draw differently from the same generator."""
    study = study_of(folder)
    with_dropout = max(study.get_trials(states=(COMPLETE,)), key=lambda trial: trial.user_attrs["params"]["dropout"])
    return with_dropout, min(study.trials, key=lambda trial: trial.user_attrs["params"]["dropout"])


def flags_of(trial):
    return [f"--{name.replace('_', '-')}={value}" for name, value in trial.user_attrs["params"].items()]


def test_a_trial_trains_as_the_stage_does(searched, tmp_path):
    folder = shutil.copytree(searched[0], tmp_path / "project")
    for trial in with_and_without_dropout(folder):
        printed_by(folder, "train", *flags_of(trial))
        losses = [float(f"{loss:.6g}") for loss in trial.user_attrs["losses"]]
        history = [float(row["validation_loss"]) for row in rows(folder / "metrics/history.csv")]
        assert history[: len(losses)] == losses
        if trial.state == COMPLETE:
            recorded = json.loads((folder / "metrics/train.json").read_bytes())["validation_loss"]
            assert recorded == float(f"{trial.value:.6g}") == min(losses)


def test_a_trial_with_two_workers_has_the_losses_of_training_with_them_in_all_digits(project):
    change_param("workers", 2)(project)
    call(project, "--trials", 2, "--top", 0)
    params = load_params(project / "params.yaml")
    prepared = read_prepared(Paths(data_dir=project / "data"))
    texts = [prepared.ids("train"), prepared.ids("validation")]
    for trial in study_of(project).trials:
        tried = params | trial.user_attrs["params"]
        model, rng = initial_model(tried, prepared.vectorizer, texts[0], None)
        losses = [row["validation_loss"] for row in fit_with_params(tried, model, texts, rng=rng)]
        assert trial.user_attrs["losses"] == losses[: len(trial.user_attrs["losses"])]
        assert trial.value in losses


def test_a_second_search_resumes_as_if_the_first_had_not_ended(project, searched):
    call(project, "--trials", 3, "--top", 0)
    assert len(table(project)) == 3
    change_param("log_interval", 2)(project)
    call(project, "--trials", 14, "--top", 0)
    assert without_seconds(project) == without_seconds(searched[0])


def test_another_seed_tries_something_else(project, searched):
    change_param("seed", 43)(project)
    call(project, "--trials", 1, "--top", 0)
    assert table(project)[0]["learning_rate"] != table(searched[0])[0]["learning_rate"]


def test_minutes_end_a_search(project):
    call(project, "--minutes", 0.01, "--top", 0)
    assert 0 < len(table(project)) < 100


@pytest.mark.parametrize(
    ("change", "flags", "words"),
    [
        (change_param("stride", 4), (), "different stride;"),
        (change_param("dropout", 0.1), (), "different dropout;"),
        (change_param("workers", 2), (), "different workers;"),
        (replace("search.yaml", "to: 12", "to: 13"), (), "different hidden_dim;"),
        (
            replace("data/processed/vocabulary.json", 'corpus_sha256": "', 'corpus_sha256": "0'),
            (),
            "different corpus_sha256;",
        ),
        (lambda folder: None, ("--pareto",), "different objectives;"),
    ],
)
def test_a_study_of_something_else_is_refused(searched, tmp_path, change, flags, words):
    folder = shutil.copytree(searched[0], tmp_path / "project")
    change(folder)
    with pytest.raises(SystemExit) as caught:
        call(folder, "--trials", 15, "--top", 0, *flags)
    assert re.fullmatch(f"error: study 'main' was started with .*{words}.*", str(caught.value))
    assert len(study_of(folder).trials) == 14


@pytest.fixture
def with_old_model(project):
    """A project in which trials start from a model, with learning rates that change next to nothing."""
    printed_by(project, "train", "--num-epochs", 1, "--model-filename", "old.npz")
    change_param("init_from", "models/old.npz")(project)
    printed_by(project, "prepare")
    (project / "search.yaml").write_text("learning_rate: {from: 1e-9, to: 1e-8}\noptimizer: [sgd, nadam]\n")
    return project


def failure_of(folder):
    with pytest.raises(SystemExit) as caught:
        call(folder, "--trials", 4, "--top", 0)
    return str(caught.value).removeprefix("error: ")


def test_every_trial_starts_from_the_given_model_and_another_file_is_another_study(with_old_model):
    call(with_old_model, "--trials", 2, "--top", 0)
    old = load_model(with_old_model / "models/old.npz")
    ids = read_prepared(Paths(data_dir=with_old_model / "data")).ids("validation")
    expected = evaluate(old.model, ids, num_streams=old.params["batch_size"])["loss"]
    for trial in study_of(with_old_model).trials:
        assert trial.user_attrs["losses"] == pytest.approx([expected] * len(trial.user_attrs["losses"]), abs=1e-4)

    old.model.parameters[0] += 1
    save_model(with_old_model / "models/old.npz", old)
    assert "was started with different init_from;" in failure_of(with_old_model)


def test_a_search_that_varies_or_contradicts_the_given_network_is_refused(with_old_model):
    change_param("num_layers", 2)(with_old_model)
    assert failure_of(with_old_model) == (
        "training can't start from models/old.npz: its network has num_layers 1, not 2; use its values"
    )
    (with_old_model / "search.yaml").write_text("dropout: [0, 0.1]\nhidden_dim: [4, 8]\ncell: [gru, rnn]\n")
    assert failure_of(with_old_model) == (
        "search.yaml varies hidden_dim, cell, but training starts from the model in init_from; remove this from "
        "search.yaml, or set init_from to models/none"
    )
    (with_old_model / "search.yaml").write_text("embedding_limit: [0.05, 0.5]\nweight_decay: [0.0, 0.1]\n")
    assert failure_of(with_old_model).startswith("search.yaml varies embedding_limit, but training starts from")
    (with_old_model / "search.yaml").write_text("init_from: [models/none, models/old.npz]\n")
    assert failure_of(with_old_model).startswith(
        "search.yaml: 'init_from' can't be searched; only these can: embedding_limit, "
    )


def test_what_cannot_be_trained_with_is_noted_and_the_search_goes_on(project):
    (project / "search.yaml").write_text("window_size: [4, 10]\n")  # stride is 5
    printed = call(project, "--trials", 6, "--top", 0)
    found = table(project)
    assert {(row["window_size"], row["outcome"] == "failed") for row in found} == {("4", True), ("10", False)}
    assert "stride is 5; it must be at most window_size, 4" in printed


WAITING = "waiting for the database, which another program has locked\n"


UNDER_WAY = (
    """SELECT * FROM trials JOIN trial_user_attributes USING (trial_id) WHERE state = 'RUNNING' AND key = 'losses'"""
)


def lock_during_a_trial(connection, kind):
    """Lock the database; but if no trial is under way, unlock it again."""
    with contextlib.suppress(sqlite3.OperationalError):  # the search is writing, or has not created all tables
        connection.execute(f"BEGIN {kind}")
        if connection.execute(UNDER_WAY).fetchall():
            return True
    connection.rollback()
    return False


@contextlib.contextmanager
def search_that_waits(folder, kind):
    """A search whose first trial waits for the database, and the connection that has locked it."""
    change_param("num_epochs", 100)(folder)
    (folder / "tuning_results").mkdir()
    with (
        interruptible(folder, "--trials", 2, "--top", 0, "--heartbeat", 1) as process,
        contextlib.closing(sqlite3.connect(folder / "tuning_results/study.db", isolation_level=None)) as connection,
    ):
        wait_for(lambda: lock_during_a_trial(connection, kind))
        assert process.stderr.readline() == WAITING
        yield process, connection


@pytest.mark.parametrize("kind", ["EXCLUSIVE", "IMMEDIATE"])  # against readers and writers, or writers only
def test_a_search_waits_while_another_program_has_locked_its_database_and_loses_nothing(project, kind):
    with search_that_waits(project, kind) as (process, connection):
        connection.rollback()
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.replace(WAITING, "")) == (0, "")
    assert [line.split()[:2] for line in printed.splitlines()[:-1]] == [["trial", "0"], ["trial", "1"]]
    assert {row["outcome"] for row in table(project)} <= {"complete", "pruned"} and len(table(project)) == 2


def test_a_search_uses_one_blas_thread(project):
    """Although the program loads NumPy late."""
    code = (
        "import sys, threadpoolctl\n"
        "from stages.common.program import run\n"
        "from tuning.__main__ import main\n"
        "assert 'numpy' not in sys.modules\n"
        "def record(self):\n"
        "    print([pool['num_threads'] for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas'])\n"
        "    raise SystemExit\n"
        "def patched():\n"
        "    from tuning.search import Search\n"
        "    Search.run = record\n"
        "    main()\n"
        "run(patched)"
    )
    several = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    ended = subprocess.run(
        [sys.executable, "-c", code, "--top", "0"],
        cwd=project,
        env=ENVIRONMENT | several,
        capture_output=True,
        encoding="utf-8",
    )
    assert set(json.loads(ended.stdout)) <= {1}, ended.stderr


def test_a_search_with_more_workers_than_cores_warns_once(project, monkeypatch, capsys):
    change_param("workers", 3)(project)
    monkeypatch.setattr(training, "available_cores", lambda: 2)
    call(project, "--trials", 2, "--top", 0)
    assert capsys.readouterr().err.count("warning: workers is 3, but there are 2 cores; ") == 1


def test_ctrl_c_ends_a_search_that_waits_for_its_database(project):
    with search_that_waits(project, "EXCLUSIVE") as (process, _):
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed, errors) == (130, "", f"\ninterrupted; {KEPT}\n")


def test_the_training_time_does_not_include_the_database(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(trials.time, "perf_counter", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    trial = optuna.create_study().ask()
    report = trials.EpochReport(trial, 3, lambda epoch, loss: advance(100))
    state = mock.Mock(history=[])
    for epoch in range(3):
        advance(1)
        state.history.append({"validation_loss": 3.0 - epoch})
        report.on_epoch(state)
        assert trial.user_attrs["seconds"] == epoch + 1
    advance(1)
    assert report.record_seconds() == 4


def test_a_search_without_a_complete_trial_fails(project):
    (project / "search.yaml").write_text("window_size: [3, 4]\n")
    with pytest.raises(SystemExit, match="^error: no trial is complete; metrics/tuning.csv shows how each one ended$"):
        call(project, "--trials", 2, "--top", 0)
    assert [row["outcome"] for row in table(project)] == ["failed"] * 2


@pytest.mark.parametrize("error", [WorkerError("worker 1 died (signal 9)"), MemoryError()], ids=repr)
def test_a_trial_that_cannot_go_on_fails_and_the_next_one_starts(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(trials, "fit_with_params", fail)
    study = optuna.create_study()
    fixed = {name: param.default for name, param in PARAMS.items()}
    task = trials.Task({}, fixed, (np.zeros(9, np.uint8),) * 2, TextVectorizer("abc"), init=None)
    study.optimize(lambda trial: trials.run_trial(trial, task, StopOnSignal(), print), n_trials=2)
    assert [(trial.state, trial.user_attrs["problem"]) for trial in study.trials] == [
        (PRUNED, str(error) or "out of memory")
    ] * 2


def test_a_trial_that_was_lost_before_it_had_params_is_a_row_too(tmp_path):
    study = optuna.create_study()
    study.tell(study.ask(), state=LOST)
    trial = study.ask()
    trial.set_user_attr("params", {"tie_weights": True})
    study.tell(trial, 1.5)
    write_table(tmp_path / "metrics/tuning.csv", study)
    assert [(row["outcome"], row["tie_weights"]) for row in table(tmp_path)] == [("lost", ""), ("complete", "true")]


def test_two_objectives(project):
    call(project, "--pareto", "--trials", 3, "--top", 0)
    found = table(project)
    assert [(row["outcome"], row["epochs"]) for row in found] == [("complete", "4")] * 3
    for row, trial in zip(found, study_of(project).trials, strict=True):
        assert [float(row["validation_loss"]), float(row["seconds"])] == pytest.approx(trial.values, rel=1e-5)
    assert "Pareto front" in (project / "tuning_results/report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_keeps_finished_trials_and_the_running_one_will_be_repeated(project):
    change_param("workers", 2)(project)
    (project / "search.yaml").write_text(f"{SPACE}num_epochs: [4, 1000000]\n", encoding="utf-8")
    flags = ("--pareto", "--trials", 10, "--top", 0)  # which prunes nothing
    with interruptible(project, *flags) as process:
        storage = f"sqlite:///{project}/tuning_results/study.db"
        wait_for(lambda: any(len(trial.user_attrs["losses"]) > 4 for trial in trials_under_way(storage)))
        if sys.platform == "linux":
            assert len(running_in(project)) == 2 and network_sockets(project) == []  # no port is open
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.strip().splitlines()[-1] == f"interrupted; {KEPT}"
    *kept, last = table(project)
    assert kept and {row["outcome"] for row in kept} == {"complete"}
    assert (last["outcome"], last["again_as"]) == ("lost", str(int(last["trial"]) + 1))
    page = (project / "tuning_results/report.html").read_text(encoding="utf-8")
    assert f"trial {kept[-1]['trial']}" in page
    again = study_of(project).trials[-1]
    assert again.state == optuna.trial.TrialState.WAITING
    assert again.params == study_of(project).trials[int(last["trial"])].params != {}


class References(HTMLParser):
    """Whatever a page would load."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [(tag, *pair) for pair in attributes if pair[0] in ("src", "href", "srcset", "data")]


def test_the_report_has_all_plots_and_loads_nothing(searched):
    page = (searched[0] / "tuning_results/report.html").read_text(encoding="utf-8")
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == [
        "Optimization history",
        "Learning curves",
        "Importance of each hyperparameter",
        "Parallel coordinates",
    ]
    assert len(re.findall(r"Plotly\.newPlot\(\s*\"", page)) == 4 and "No plot yet" not in page
    assert len(page) > 1_000_000  # the library is in the page
    references = References()
    references.feed(page)
    assert references.found == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--trials 0", "trials is '0'; it must be an integer of at least 1"),
        ("--minutes 0", "minutes is '0'; it must be a number above 0"),
        ("--top=-1", "top is '-1'; it must be an integer of at least 0"),
        ("--heartbeat 0", "heartbeat is '0'; it must be an integer of at least 1 and at most 86,400"),
        (
            f"--heartbeat {'9' * 30}",
            f"heartbeat is '{'9' * 30}'; it must be an integer of at least 1 and at most 86,400",
        ),
        ("--study a/b", "study is 'a/b'; it must consist of at most 100 letters, digits, _ and -"),
        (f"--study {'a' * 101}", "it must consist of at most 100 letters, digits, _ and -"),
        ("--space none.yaml", "none.yaml: No such file or directory"),
        ("--top 0 --storage study.db", f"the storage is 'study.db'; it must be a URL such as {STORAGE}"),
        ("--top 0 --storage postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:***@127.0.0.1:1/x: connection"),
        ("--top 0 --storage postgres:/me:secret@h/x", "the storage is '***@h/x'; it must be a URL such as"),
        ("--top 0 --storage postgresql://me:secret@h:abc/x", "the storage is '***@h:abc/x'; it must be a URL such as"),
        (
            "--top 0 --storage postgresql://me:s@e:secret@[::1/x",
            "the storage is '***@[::1/x'; it must be a URL such as",
        ),
        (
            "--top 0 --storage postgresql:/h/x?password=secret",
            "the storage is 'postgresql:/h/x'; it must be a URL such",
        ),
        ("--top 0 --storage sqlite:///x.db?uri=a&x=secret", "sqlite:///x.db: String is not true/false: 'a'"),
        ("--top 0 --storage sqlite:///x.db?timeout=abc", "sqlite:///x.db: could not convert string to float: 'abc'"),
        ("--top 0 --storage postgresql://127.0.0.1:1/x?password=secret", "postgresql://127.0.0.1:1/x: connection"),
        ("--top 0 --storage sqlite://me:secret@h/x", "sqlite://me:***@h/x: Invalid SQLite URL: sqlite://me:***@h/x"),
        ("--top 0 --storage sqlite:///\udce9.db", "the storage is 'sqlite:///\\udce9.db'; it must be a URL such as"),
        ("--top 0 --storage sqlite:///no/folder/study.db", "sqlite:///no/folder/study.db: unable to open database"),
        ("--top 0 --storage oracle://x", "oracle://x needs oracledb, which is not installed"),
        ("", "experiments need a Git and DVC repository with a commit; --top 0 makes none: "),
    ],
)
def test_what_cannot_work_ends_with_one_line_and_leaves_nothing(project, monkeypatch, capsys, flags, words):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    before = files(project)
    with pytest.raises(SystemExit) as caught:
        call(project, *flags.split())
    (line,) = str(caught.value).splitlines()
    assert line.startswith("error: ") and words in line and "secret" not in line
    assert files(project) == before and capsys.readouterr() == ("", "")


def test_an_error_is_one_line_and_an_exit_code(project):
    ended = start(project, "--trials", 0)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "error: trials is '0'; it must be an integer of at least 1\n"


def test_without_data_the_search_says_what_to_run(project):
    remove("data")(project)
    with pytest.raises(
        SystemExit, match="^error: data/processed/vocabulary.json is missing; run the earlier stages .*$"
    ):
        call(project, "--top", 0)


@pytest.mark.parametrize("module", ["optuna", "plotly"])
def test_what_is_not_installed_is_named_with_the_way_to_install_it(project, tmp_path, module):
    (tmp_path / "hidden").mkdir()
    absent = f'raise ModuleNotFoundError("No module named {module!r}", name={module!r})'
    (tmp_path / "hidden" / f"{module}.py").write_text(absent)
    ended = start(project, PYTHONPATH=f"{tmp_path / 'hidden'}{os.pathsep}{ROOT}")
    assert ended.returncode == 1
    assert ended.stderr == f'error: {module} is not installed; `python -m pip install -e ".[tune]"` installs it\n'


# Experiments made of the best trials


def test_the_best_becomes_an_experiment_with_the_loss_of_its_trial(repository, monkeypatch):
    set_params(repository, num_epochs=2)
    (repository / "search.yaml").write_text(SPACE, encoding="utf-8")
    (repository / TABLE).write_text("trial\n0\n")  # of an earlier search; Git tracks it
    run_in(repository, "git", "add", "-A")
    run_in(repository, "git", "commit", "-qm", "tuned")
    printed = run_in(repository, sys.executable, "-m", "tuning", "--trials", "6").stdout
    assert run_in(repository, "git", "status", "--porcelain").stdout == f" M {TABLE.as_posix()}\n"
    best, second = complete_trials(repository)[:2]
    name = f"tune-main-{best.number}"
    assert f"experiment {name} has validation loss {best.value:.6g}, like its trial; `dvc exp apply {name}`" in printed

    _, baseline = json.loads(run_in(repository, "dvc", "exp", "show", "--json").stdout)
    (experiment,) = baseline["experiments"]
    data = experiment["revs"][0]["data"]
    params = data["params"]["params.yaml"]["data"]
    assert experiment["name"] == name
    assert {name: params[name] for name in best.user_attrs["params"]} == best.user_attrs["params"]
    assert data["metrics"]["metrics/train.json"]["data"]["validation_loss"] == float(f"{best.value:.6g}")

    monkeypatch.chdir(repository)  # an experiment of the same name is replaced
    assert experiments.run_experiment(name, second.user_attrs["params"]) == float(f"{second.value:.6g}")
    run_in(repository, "dvc", "exp", "apply", name)
    recorded = json.loads((repository / "metrics/train.json").read_bytes())["validation_loss"]
    assert recorded == float(f"{second.value:.6g}")
    assert load_params(repository / "params.yaml")["hidden_dim"] == second.user_attrs["params"]["hidden_dim"]


def test_a_path_that_dvc_cannot_copy_is_refused_and_the_remedy_works(repository, tmp_path, monkeypatch):
    folder = shutil.move(repository, tmp_path / "война")
    monkeypatch.chdir(folder)
    with pytest.raises(
        InputError, match="^DVC can't run experiments here: .*война/.dvc/cache; move it with `mv"
    ) as caught:
        experiments.require_dvc()
    move, choose = (
        command.replace("FOLDER", f"{tmp_path}/cache") for command in re.findall("`(.*?)`", str(caught.value))
    )
    run_in(folder, *move.split())
    run_in(folder, *choose.split())
    experiments.require_dvc()
    assert experiments.run_experiment("a", {"hidden_dim": 9}) > 0
    run_in(folder, "git", "config", "user.name", "Иван")
    with pytest.raises(InputError, match="express user.name in .git/config; remove it with `git config "):
        experiments.require_dvc()
    run_in(folder, "dvc", "exp", "run", "--temp", "-S", "temperature=0.5", fails=True)  # else the check is out of date


@pytest.mark.parametrize("top", [0, 3])
def test_top_is_how_many_of_the_best_become_experiments(searched, tmp_path, monkeypatch, top):
    made = []
    monkeypatch.setattr(session, "require_dvc", lambda: None)
    monkeypatch.setattr(session, "make_experiment", lambda *arguments: made.append(arguments))
    call(shutil.copytree(searched[0], tmp_path / "project"), "--trials", 14, "--top", top)
    best = complete_trials(searched[0])[:top]
    assert made == [(f"tune-main-{trial.number}", trial.user_attrs["params"], trial.value) for trial in best]


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        (
            1.23457,
            "experiment tune-a has validation loss 1.23457, like its trial; `dvc exp apply tune-a` applies it\n",
        ),
        (1.23458, "warning: experiment tune-a has validation loss 1.23458, but its trial had 1.23457: "),
    ],
)
def test_an_experiment_with_another_loss_than_its_trial_is_warned_of(monkeypatch, capsys, recorded, message):
    runs = []
    monkeypatch.setattr(experiments, "run_experiment", lambda name, params: runs.append((name, params)) or recorded)
    experiments.make_experiment("tune-a", {"hidden_dim": 8}, 1.2345678)
    assert runs == [("tune-a", {"hidden_dim": 8})]
    assert capsys.readouterr().out.startswith(message)
