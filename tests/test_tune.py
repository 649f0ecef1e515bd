"""The search for hyperparameters as a user runs it: what is tried, kept, reported, shared, and made experiments."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from charrnn.errors import InputError
from stages import experiments, tune
from stages.params import PARAMS, load_params
from stages.search_space import SPACE_FILE, load_search_space, suggest
from tests.dvc_project import run as run_in
from tests.dvc_project import set_params
from tests.test_stages import ENVIRONMENT, command, files, interruptible, rewrite, rows, run, set_up, start

optuna = pytest.importorskip("optuna", reason='optuna is missing; python -m pip install -e ".[tune]"')
pytest.importorskip("plotly", reason='plotly is missing; python -m pip install -e ".[tune]"')

# What the program itself turns off.
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

ROOT = Path(__file__).parents[1]
SPACE = """
learning_rate: {from: 1e-3, to: 1e-1, log: true}
hidden_dim: {from: 4, to: 12}
dropout: {from: 0.1, to: 0.4, step: 0.1, when: hidden_dim >= 8}
cell: [gru, rnn]
"""


def read_space(tmp_path, text):
    path = tmp_path / "search.yaml"
    path.write_text(text, encoding="utf-8")
    return load_search_space(path, tune.TUNABLE)


def study_of(folder, storage="sqlite:///tuning/study.db"):
    with contextlib.chdir(folder):
        return optuna.load_study(study_name="main", storage=storage)


def table(folder):
    return rows(folder / "metrics/tuning.csv")


def without_seconds(folder):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in table(folder)]


def driver(storage):
    return storage.replace("postgresql:", "postgresql+psycopg:")


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def in_hand(storage):
    """The trials that are running and have done an epoch; none if the study is not there yet."""
    try:
        trials = optuna.load_study(study_name="main", storage=driver(storage)).trials
    except Exception:  # the worker has not made the tables
        return []
    return [t for t in trials if t.state == optuna.trial.TrialState.RUNNING and t.user_attrs.get("losses")]


# What may be tried


def test_a_trial_takes_what_the_space_holds_and_the_rest_from_params_yaml(tmp_path):
    space = read_space(tmp_path, SPACE)
    fixed = {name: PARAMS[name].default for name in tune.TUNABLE}
    taken = {"learning_rate": 0.002, "hidden_dim": 8, "dropout": 0.1 * 3, "cell": "rnn"}
    assert suggest(space, optuna.trial.FixedTrial(taken), fixed) == {**fixed, **taken, "dropout": 0.3}
    narrow = {**taken, "hidden_dim": 7}
    assert suggest(space, optuna.trial.FixedTrial(narrow), fixed) == {**fixed, **narrow, "dropout": 0.0}


@pytest.mark.parametrize(("when", "tried"), [("cell == gru", 0.3), ("cell == rnn", 0.1), ("num_layers <= 1", 0.3)])
def test_a_condition_may_be_on_what_params_yaml_says(tmp_path, when, tried):
    space = read_space(tmp_path, f"dropout: {{from: 0.1, to: 0.5, when: {when}}}")
    fixed = {"cell": "gru", "num_layers": 1, "dropout": 0.1}
    assert suggest(space, optuna.trial.FixedTrial({"dropout": 0.3}), fixed)["dropout"] == tried


def test_the_space_that_ships_is_allowed():
    space = load_search_space(ROOT / SPACE_FILE, tune.TUNABLE)
    defaults = load_params(ROOT / "params.yaml")
    for seed in range(20):
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
        params = suggest(space, study.ask(), defaults)
        assert {name: PARAMS[name].parse(value) for name, value in params.items()} == params
        assert params["dropout"] == 0 or params["hidden_dim"] >= 128


LISTED = "must be a list of choices, or have either choices or both from and to"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hiden_dim: [8, 9]", "'hiden_dim' is not a hyperparameter that can be searched; those are cell, num_layers, "),
        ("temperature: [0.5, 1.0]", "'temperature' is not a hyperparameter that can be searched"),
        ("train_size: {from: 0.5, to: 0.9}", "'train_size' is not a hyperparameter that can be searched"),
        ("seed: [1, 2]", "'seed' is not a hyperparameter that can be searched"),
        ("hidden_dim: {from: 0, to: 9}", "hidden_dim is 0; it must be an integer of at least 1"),
        ("hidden_dim: {from: 1, to: 9.5}", "hidden_dim is 9.5; it must be an integer of at least 1"),
        ("dropout: {from: 0, to: 1}", "dropout is 1; it must be a number of at least 0 and below 1"),
        ("cell: [gru, lstn]", "cell is 'lstn'; it must be one of gru, lstm, rnn"),
        ("hidden_dim: {from: 9, to: 9}", "hidden_dim goes from 9 to 9; it must go from less to more"),
        ("cell: {from: gru, to: rnn}", "cell has a range, but is no number; it must have choices"),
        ("cell: [gru, gru]", "the choices of cell are ['gru', 'gru']; they must be at least two, all different"),
        ("cell: [gru]", "the choices of cell are ['gru']; they must be at least two, all different"),
        ("cell: {choices: gru}", "the choices of cell are 'gru'; they must be a list"),
        ("dropout: {from: 0, to: 0.5, log: true}", "dropout is logarithmic; it must begin above 0 and have no step"),
        ("batch_size: {from: 1, to: 9, log: true, step: 2}", "batch_size is logarithmic; it must begin above 0"),
        ("batch_size: {from: 1, to: 9, log: 1}", "log of batch_size is 1; it must be true or false"),
        ("hidden_dim: {from: 1, to: 9, step: 0.5}", "the step of hidden_dim is 0.5; it must be an integer above 0"),
        ("hidden_dim: {from: 1, to: 9, step: 0}", "the step of hidden_dim is 0; it must be an integer above 0"),
        ("dropout: {from: 0, to: 0.5, step: .nan}", "the step of dropout is nan; it must be a number above 0 and at"),
        ("dropout: {from: 0, to: 0.5, step: 0.2}", "from 0.0 to 0.5, which is not a whole number of steps of 0.2"),
        ("hidden_dim: 8", f"hidden_dim {LISTED}"),
        ("hidden_dim: {from: 8}", f"hidden_dim {LISTED}"),
        ("hidden_dim: {from: 1, to: 9, lag: true}", "hidden_dim has 'lag'; beside each other may stand from, to, step"),
        ("hidden_dim: {choices: [1, 2], to: 9}", "hidden_dim has 'to'; beside each other may stand choices, when"),
        ("dropout: {from: 0, to: 0.5, when: hidden_dim>8}", "the condition of dropout is 'hidden_dim>8'; it must be"),
        ("dropout: {from: 0, to: 0.5, when: dropout >= 8}", "the condition of dropout is 'dropout >= 8'; it must be"),
        ("dropout: {from: 0, to: 0.5, when: depth >= 8}", "the condition of dropout is 'depth >= 8'; it must be"),
        ("dropout: {from: 0, to: 0.5, when: hidden_dim >= x}", "hidden_dim is 'x'; it must be an integer of at least"),
        ("dropout: {from: 0, to: 0.5, when: cell >= gru}", "cell is no number, and can only be compared by =="),
        (
            "dropout: {from: 0, to: 0.5, when: hidden_dim >= 8}\nhidden_dim: [4, 8]",
            "dropout depends on hidden_dim, which must stand above it",
        ),
        ("hidden_dim: {choices: [[1], 2]}", "line 1: nested too deep; a name may have choices, or a range in braces"),
        ("hidden_dim: {from: {a: 1}, to: 2}", "line 1: nested too deep; a name may have choices, or a range in braces"),
        ("hidden_dim: [4, 8]\nhidden_dim: [4, 8]", "line 2: found duplicate key"),
    ],
)
def test_a_space_that_is_not_allowed_is_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        read_space(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "search.yaml")) and words in message
    assert len(message.splitlines()) == 1


# What a search does


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a tiny text to train on and one to validate with, and none to test with; only to be read."""
    folder = set_up(tmp_path_factory.mktemp("tuned"))
    rewrite("params.yaml", lambda text: text.replace(b"num_epochs: 2", b"num_epochs: 4"))(folder)
    run(folder, "download")
    run(folder, "prepare")
    (folder / "data/processed/test.npy").unlink()
    (folder / "search.yaml").write_text(SPACE, encoding="utf-8")
    return folder


@pytest.fixture
def project(prepared, tmp_path):
    """A copy of `prepared`, to do anything with."""
    return shutil.copytree(prepared, tmp_path / "project")


@pytest.fixture(scope="module")
def searched(prepared, tmp_path_factory):
    """A folder in which 14 trials were done at once, and what was printed; only to be read."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("searched") / "project")
    return folder, run(folder, "tune", "--trials", 14, "--top", 0)


def test_a_search_leaves_its_study_and_report_and_nothing_else(searched, prepared):
    left = set(files(searched[0])) - set(files(prepared))
    assert left == {"tuning/study.db", "tuning/report.html", "metrics/tuning.csv"}


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
    run(project, "tune", "--trials", 3, "--top", 0)
    assert len(table(project)) == 3
    rewrite("params.yaml", lambda text: text.replace(b"log_interval: 1\n", b"log_interval: 2\n"))(project)
    run(project, "tune", "--trials", 14, "--top", 0)
    assert without_seconds(project) == without_seconds(searched[0])


def test_another_seed_tries_something_else(project, searched):
    rewrite("params.yaml", lambda text: text.replace(b"seed: 42", b"seed: 43"))(project)
    run(project, "tune", "--trials", 1, "--top", 0)
    assert table(project)[0]["learning_rate"] != table(searched[0])[0]["learning_rate"]


def test_minutes_end_a_search(project):
    run(project, "tune", "--minutes", 0.01, "--top", 0)
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
    ended = start(folder, "tune", "--trials", 15, "--top", 0, *flags)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 1 and line.startswith("error: ") and words in line
    assert len(study_of(folder).trials) == 14


def test_what_can_not_be_trained_with_is_noted_and_the_search_goes_on(project):
    (project / "search.yaml").write_text("window_size: [4, 10]\n")  # stride is 5
    printed = run(project, "tune", "--trials", 6, "--top", 0)
    found = table(project)
    assert {(row["window_size"], row["outcome"] == "failed") for row in found} == {("4", True), ("10", False)}
    assert "stride is 5; it must be at most window_size, 4" in printed


def test_a_search_without_a_complete_trial_fails(project):
    (project / "search.yaml").write_text("window_size: [3, 4]\n")
    ended = start(project, "tune", "--trials", 2, "--top", 0)
    assert ended.stderr == "error: no trial was completed; metrics/tuning.csv tells what came of each\n"
    assert [row["outcome"] for row in table(project)] == ["failed"] * 2


def test_two_objectives(project):
    run(project, "tune", "--pareto", "--trials", 3, "--top", 0)
    found = table(project)
    assert [(row["outcome"], row["epochs"]) for row in found] == [("complete", "4")] * 3
    for row, trial in zip(found, study_of(project).trials, strict=True):
        assert [float(row["validation_loss"]), float(row["seconds"])] == pytest.approx(trial.values, rel=1e-5)
    assert "Pareto front" in (project / "tuning/report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_keeps_what_is_done_and_the_trial_in_hand_is_done_again(project, searched):
    rewrite("search.yaml", lambda text: text + b"num_epochs: [4, 1000000]\n")(project)
    flags = ("--pareto", "--trials", 10, "--top", 0)  # which prunes nothing
    with interruptible(project, "tune", *flags) as process:
        storage = f"sqlite:///{project}/tuning/study.db"
        wait_for(lambda: any(len(trial.user_attrs["losses"]) > 4 for trial in in_hand(storage)))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.strip().splitlines()[-1].startswith("interrupted")
    *kept, last = table(project)
    assert kept and {row["outcome"] for row in kept} == {"complete"}
    assert (last["outcome"], last["again_as"]) == ("lost", str(int(last["trial"]) + 1))
    page = (project / "tuning/report.html").read_text(encoding="utf-8")
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
    page = (searched[0] / "tuning/report.html").read_text(encoding="utf-8")
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
        ("--top 0 --storage study.db", "the storage is 'study.db'; it must be a URL such as sqlite:///tuning/study.db"),
        ("--top 0 --storage postgresql://me:secret@127.0.0.1:1/x", "postgresql://me:***@127.0.0.1:1/x: connection"),
        ("--top 0 --storage sqlite:///no/folder/study.db", "sqlite:///no/folder/study.db: unable to open database"),
        ("--top 0 --storage oracle://x", "oracle://x needs oracledb, which is not installed"),
        ("", "experiments need a Git and DVC repository with a commit, or --top 0: "),
    ],
)
def test_what_can_not_work_ends_with_one_line_and_leaves_nothing(project, flags, words):
    before = files(project)
    ended = start(project, "tune", *flags.split(), GIT_CEILING_DIRECTORIES=str(project.parent))
    assert ended.returncode == 1 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and words in line and "secret" not in line
    assert files(project) == before


def test_without_data_the_search_says_what_to_run(project):
    shutil.rmtree(project / "data")
    ended = start(project, "tune", "--top", 0)
    assert re.fullmatch(r"error: data/processed/train.npy is missing; run the stages before .*\n", ended.stderr)


@pytest.mark.parametrize("module", ["optuna", "plotly"])
def test_what_is_not_installed_is_named_with_the_way_to_install_it(project, tmp_path, module):
    (tmp_path / "hidden").mkdir()
    absent = f'raise ModuleNotFoundError("No module named {module!r}", name={module!r})'
    (tmp_path / "hidden" / f"{module}.py").write_text(absent)
    ended = start(project, "tune", PYTHONPATH=f"{tmp_path / 'hidden'}{os.pathsep}{ROOT}")
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


# Several workers


@pytest.fixture(scope="module")
def server():
    """The URL of an empty PostgreSQL server of our own."""
    folders = [
        shutil.which("initdb") and Path(shutil.which("initdb")).parent,
        *Path("/usr/lib/postgresql").glob("*/bin"),
    ]
    programs = next((folder for folder in folders if folder and (folder / "initdb").exists()), None)
    if programs is None or os.name != "posix":
        pytest.skip("no PostgreSQL server is installed; Debian's package is postgresql")
    pytest.importorskip("psycopg", reason='psycopg is missing; python -m pip install -e ".[tune]"')
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # a short path, for the socket, that another user may enter
    user = {}
    if os.getuid() == 0:  # a server refuses to be root's
        shutil.chown(folder, "postgres")
        user = {"user": "postgres"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program, *arguments):
        subprocess.run(
            [programs / program, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60, **user
        )

    options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
    call("initdb", "-D", folder / "data", "-A", "trust", "-U", "tuner", "--no-sync")
    call("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-o", options, "-w", "start")
    yield f"postgresql://tuner@127.0.0.1:{port}/postgres"
    call("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request, tmp_path):
    """The URL of a database without a study."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    url = request.getfixturevalue("server")
    import psycopg

    name = f"t{random.randrange(10**12)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.removesuffix("postgres") + name


@contextlib.contextmanager
def workers(folder, number, storage, *flags):
    """So many searches at the same time in one study; they are killed at the end."""
    call = command("tune", "--top", 0, "--storage", storage, "--heartbeat", 1, *flags)
    processes = [
        subprocess.Popen(call, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def check_the_count(trials, number, overshoot):
    """Whatever was lost was done again, just once, with the same params, and nothing else was done twice."""
    done = [t for t in trials if t.state in (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)]
    lost = [t for t in trials if t.state == optuna.trial.TrialState.FAIL]
    assert number <= len(done) <= number + overshoot
    assert len(done) + len(lost) == len(trials)
    assert len({json.dumps(t.user_attrs["params"]) for t in done}) == len(done)
    for trial in lost:
        (again,) = [t for t in trials if t.system_attrs.get("retry_history", [None])[-1] == trial.number]
        assert again.params == trial.params
    return lost


LONG_TRIALS = "learning_rate: {from: 1e-3, to: 1e-1, log: true}\nhidden_dim: {from: 4, to: 12}\n"


@pytest.fixture
def slower(project):
    """A folder in which a trial takes about a second."""
    (project / "search.yaml").write_text(LONG_TRIALS, encoding="utf-8")
    rewrite("params.yaml", lambda text: text.replace(b"num_epochs: 4", b"num_epochs: 30"))(project)
    return project


def test_the_trial_of_a_killed_search_is_done_again_by_the_next(slower, storage):
    with workers(slower, 1, storage, "--trials", 3) as (worker,):
        (trial,) = wait_for(lambda: in_hand(storage))
        worker.kill()
    run(slower, "tune", "--top", 0, "--storage", storage, "--heartbeat", 1, "--trials", 3)
    trials = optuna.load_study(study_name="main", storage=driver(storage)).trials
    assert [t.number for t in check_the_count(trials, 3, overshoot=0)] == [trial.number]


@pytest.mark.parametrize("storage", ["postgresql"], indirect=True)
def test_several_workers_share_a_study_and_one_is_killed(slower, storage):
    with workers(slower, 3, storage, "--trials", 12) as processes:
        wait_for(lambda: len(in_hand(storage)) == 3)
        processes[0].kill()
        for process in processes[1:]:
            _, errors = process.communicate(timeout=120)
            assert (process.returncode, errors) == (0, "")
    trials = optuna.load_study(study_name="main", storage=driver(storage)).trials
    assert len(check_the_count(trials, 12, overshoot=1)) == 1
    assert [row["outcome"] for row in table(slower)].count("lost") == 1


@pytest.mark.parametrize("storage", ["postgresql"], indirect=True)
def test_a_worker_that_was_taken_for_dead_does_not_count_its_trial_again(slower, storage):
    with workers(slower, 1, storage, "--trials", 2) as (stopped,):
        (trial,) = wait_for(lambda: in_hand(storage))
        stopped.send_signal(signal.SIGSTOP)
        run(slower, "tune", "--top", 0, "--storage", storage, "--heartbeat", 1, "--trials", 2)
        stopped.send_signal(signal.SIGCONT)
        printed, errors = stopped.communicate(timeout=60)
    assert (stopped.returncode, errors) == (0, "")
    assert f"trial {trial.number} took too long to be heard of; another worker does it\n" in printed
    trials = optuna.load_study(study_name="main", storage=driver(storage)).trials
    assert [t.number for t in check_the_count(trials, 2, overshoot=0)] == [trial.number]
