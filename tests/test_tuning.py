"""The search as a user runs it: what it tries, keeps and reports, how it resumes, and the experiments it makes."""

import json
import os
import re
import shutil
import signal
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from charrnn.parallel.processes import WorkerError
from stages.common.params import PARAMS, load_params
from stages.common.prepared import read_ids, read_vocabulary
from stages.common.training import StopOnSignal, fit_with_params, fresh_model
from tests.dvc_project import run as run_in
from tests.dvc_project import set_params
from tests.tuning_project import (
    COMPLETE,
    LOST,
    PRUNED,
    ROOT,
    SPACE,
    complete_trials,
    edit,
    files,
    interruptible,
    optuna,
    prepared,  # noqa: F401 (a fixture)
    project,  # noqa: F401 (a fixture)
    run,
    stage,
    start,
    study_of,
    table,
    trials_under_way,
    wait_for,
)
from tuning import __main__ as program
from tuning import experiments, session, trials
from tuning.options import TABLE
from tuning.table import write_table

# The program itself turns it off.
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
    assert [line.partition(":")[0] for line in printed.splitlines()[:-1]] == [f"trial {i}" for i in range(14)]
    best = min((row for row in found if row["outcome"] == "complete"), key=lambda row: float(row["validation_loss"]))
    assert f"best {float(best['validation_loss']):.4f} of trial {best['trial']} " in printed.splitlines()[-2]


def test_a_trial_trains_as_the_stage_does(searched, tmp_path):
    folder = shutil.copytree(searched[0], tmp_path / "project")
    trials = study_of(folder).trials
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    pruned = [trial for trial in trials if trial.state == optuna.trial.TrialState.PRUNED]
    # one with dropout and one without: they draw differently from the same generator
    tried = [max(complete, key=lambda t: t.user_attrs["params"]["dropout"])]
    tried.append(min(complete + pruned, key=lambda t: t.user_attrs["params"]["dropout"]))
    for trial in tried:
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in trial.user_attrs["params"].items()]
        run(folder, "train", *flags)
        history = [float(row["validation_loss"]) for row in rows(folder / "metrics/history.csv")]
        losses = [float(f"{loss:.6g}") for loss in trial.user_attrs["losses"]]
        assert history[: len(losses)] == losses
        if trial.value is not None and trial in complete:
            recorded = json.loads((folder / "metrics/train.json").read_bytes())["validation_loss"]
            assert recorded == float(f"{trial.value:.6g}") == min(losses)


def test_a_second_search_goes_on_as_if_the_first_had_not_ended(project, searched):
    run(project, "--trials", 3, "--top", 0)
    assert len(table(project)) == 3
    rewrite("params.yaml", lambda text: text.replace(b"log_interval: 1\n", b"log_interval: 2\n"))(project)
    run(project, "--trials", 14, "--top", 0)
    assert without_seconds(project) == without_seconds(searched[0])


def test_another_seed_tries_something_else(project, searched):
    rewrite("params.yaml", lambda text: text.replace(b"seed: 42", b"seed: 43"))(project)
    run(project, "--trials", 1, "--top", 0)
    assert table(project)[0]["learning_rate"] != table(searched[0])[0]["learning_rate"]


def test_minutes_end_a_search(project):
    run(project, "--minutes", 0.01, "--top", 0)
    assert 0 < len(table(project)) < 100


@pytest.mark.parametrize(
    ("change", "flags", "words"),
    [
        (rewrite("params.yaml", lambda text: text.replace(b"stride: 5", b"stride: 4")), (), "another stride;"),
        (rewrite("params.yaml", lambda text: text.replace(b"dropout: 0.0", b"dropout: 0.1")), (), "another dropout;"),
        (rewrite("search.yaml", lambda text: text.replace(b"to: 12", b"to: 13")), (), "another hidden_dim;"),
        (
            rewrite("data/processed/vocabulary.json", lambda text: text.replace(b'_sha256": "', b'_sha256": "0')),
            (),
            "another corpus_sha256;",
        ),
        (lambda folder: None, ("--pareto",), "another objectives;"),
    ],
)
def test_a_study_of_something_else_is_refused(searched, tmp_path, change, flags, words):
    folder = shutil.copytree(searched[0], tmp_path / "project")
    change(folder)
    ended = start(folder, "--trials", 15, "--top", 0, *flags)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 1 and line.startswith("error: ") and words in line
    assert len(study_of(folder).trials) == 14


def test_what_can_not_be_trained_with_is_noted_and_the_search_goes_on(project):
    (project / "search.yaml").write_text("window_size: [4, 10]\n")  # stride is 5
    printed = run(project, "--trials", 6, "--top", 0)
    found = table(project)
    assert {(row["window_size"], row["outcome"] == "failed") for row in found} == {("4", True), ("10", False)}
    assert "stride is 5; it must be at most window_size, 4" in printed


def test_a_search_without_a_complete_trial_fails(project):
    (project / "search.yaml").write_text("window_size: [3, 4]\n")
    ended = start(project, "--trials", 2, "--top", 0)
    assert ended.stderr == "error: no trial was completed; metrics/tuning.csv tells what came of each\n"
    assert [row["outcome"] for row in table(project)] == ["failed"] * 2


def test_two_objectives(project):
    run(project, "--pareto", "--trials", 3, "--top", 0)
    found = table(project)
    assert [(row["outcome"], row["epochs"]) for row in found] == [("complete", "4")] * 3
    for row, trial in zip(found, study_of(project).trials, strict=True):
        assert [float(row["validation_loss"]), float(row["seconds"])] == pytest.approx(trial.values, rel=1e-5)
    assert "Pareto front" in (project / "tuning_results/report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_keeps_what_is_done_and_the_trial_in_hand_is_done_again(project, searched):
    rewrite("search.yaml", lambda text: text + b"num_epochs: [4, 1000000]\n")(project)
    flags = ("--pareto", "--trials", 10, "--top", 0)  # which prunes nothing
    with interruptible(project, *flags) as process:
        storage = f"sqlite:///{project}/tuning_results/study.db"
        wait_for(lambda: any(len(trial.user_attrs["losses"]) > 4 for trial in in_hand(storage)))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.strip().splitlines()[-1].startswith("interrupted")
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


def test_the_report_has_all_pictures_and_loads_nothing(searched):
    page = (searched[0] / "tuning_results/report.html").read_text(encoding="utf-8")
    headings = re.findall("<h2>(.*?)</h2>", page)
    assert headings == [
        "Optimization history",
        "Learning curves",
        "Importance of each hyperparameter",
        "Parallel coordinates",
    ]
    assert len(re.findall(r"Plotly\.newPlot\(\s*\"", page)) == 4 and "No picture yet" not in page
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
        ("--heartbeat 0", "heartbeat is '0'; it must be an integer of at least 1"),
        ("--study a/b", "study is 'a/b'; it must consist of letters, digits, _ and -"),
        ("--space none.yaml", "none.yaml: No such file or directory"),
        ("--top 0 --storage study.db", "the storage is 'study.db'; it must be a URL such as sqlite:///tuning_results/study.db"),
        ("--top 0 --storage postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:***@127.0.0.1:1/x: connection"),
        ("--top 0 --storage sqlite:///no/folder/study.db", "sqlite:///no/folder/study.db: unable to open database"),
        ("--top 0 --storage oracle://x", "oracle://x needs oracledb, which is not installed"),
        ("", "experiments need a Git and DVC repository with a commit, or --top 0: "),
    ],
)
def test_what_can_not_work_ends_with_one_line_and_leaves_nothing(project, flags, words):
    before = files(project)
    ended = start(project, *flags.split(), GIT_CEILING_DIRECTORIES=str(project.parent))
    assert ended.returncode == 1 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and words in line and "secret" not in line
    assert files(project) == before


def test_without_data_the_search_says_what_to_run(project):
    shutil.rmtree(project / "data")
    ended = start(project, "--top", 0)
    assert re.fullmatch(r"error: data/processed/train.npy is missing; run the stages before .*\n", ended.stderr)


@pytest.mark.parametrize("module", ["optuna", "plotly"])
def test_what_is_not_installed_is_named_with_the_way_to_install_it(project, tmp_path, module):
    (tmp_path / "hidden").mkdir()
    absent = f'raise ModuleNotFoundError("No module named {module!r}", name={module!r})'
    (tmp_path / "hidden" / f"{module}.py").write_text(absent)
    ended = start(project, PYTHONPATH=f"{tmp_path / 'hidden'}{os.pathsep}{ROOT}")
    assert ended.returncode == 1
    assert ended.stderr == f'error: {module} is not installed; python -m pip install -e ".[tune]" brings it\n'


# What becomes of the best


def complete_trials(folder):
    """Best first."""
    trials = study_of(folder).get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    return sorted(trials, key=lambda trial: trial.value)


def test_the_best_becomes_an_experiment_with_the_loss_of_its_trial(repository, monkeypatch):
    set_params(repository, num_epochs=2)
    (repository / "search.yaml").write_text(SPACE, encoding="utf-8")
    (repository / tune.TABLE).write_text("trial\n0\n")  # of an earlier search; Git tracks it
    run_in(repository, "git", "add", "-A")
    run_in(repository, "git", "commit", "-qm", "tuned")
    printed = run_in(repository, sys.executable, "-m", "stages.tune", "--trials", "6").stdout
    assert run_in(repository, "git", "status", "--porcelain").stdout == f" M {tune.TABLE}\n"
    best, second = complete_trials(repository)[:2]
    name = f"tune-main-{best.number}"
    assert f"`dvc exp apply {name}` takes the params of that trial" in printed

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


@pytest.mark.parametrize("top", [0, 3])
def test_top_is_how_many_of_the_best_become_experiments(searched, tmp_path, monkeypatch, top):
    made = []
    monkeypatch.chdir(shutil.copytree(searched[0], tmp_path / "project"))
    monkeypatch.setattr(experiments, "require_dvc", lambda: None)
    monkeypatch.setattr(tune, "make_experiment", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(sys, "argv", ["tune", "--trials", "14", "--top", str(top)])
    tune.main()
    best = complete_trials(searched[0])[:top]
    assert made == [(f"tune-main-{trial.number}", trial.user_attrs["params"], trial.value) for trial in best]


@pytest.mark.parametrize(("recorded", "begins"), [(1.23457, "`dvc exp apply tune-a"), (1.23458, "warning: experiment")])
def test_an_experiment_with_another_loss_than_its_trial_is_warned_of(monkeypatch, capsys, recorded, begins):
    runs = []
    monkeypatch.setattr(experiments, "run_experiment", lambda name, params: runs.append((name, params)) or recorded)
    tune.make_experiment("tune-a", {"hidden_dim": 8}, 1.2345678)
    assert runs == [("tune-a", {"hidden_dim": 8, "workers": 1})]  # as many as the trial had
    assert capsys.readouterr().out.startswith(begins)
