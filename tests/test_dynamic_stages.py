"""`evaluate --dynamic` and `sample --adapt`: what is chosen, stored beside the model, read again, and refused."""

import json
import re
import shutil

import numpy as np
import pytest

from charrnn.config import DynamicConfig
from charrnn.dynamic import adapted, evaluate_dynamically, mean_squared_gradients
from charrnn.evaluation import evaluate
from charrnn.model_file import ModelFile, load_model, save_model
from charrnn.sampling import generate
from stages.common import dynamic
from stages.common.dynamic import DECAYS, LEARNING_RATES
from tests.stage_project import MODEL, call, change_param, files, printed_by, remove, rewrite

STORED = f"{MODEL}.dynamic"
NUM_SETTINGS = len(LEARNING_RATES) * len(DECAYS)


def ids(folder, part):
    return np.load(folder / f"data/processed/{part}.npy")


def evaluation(folder):
    return json.loads((folder / "metrics/evaluation.json").read_bytes())


@pytest.fixture(scope="module")
def evaluated(finished, tmp_path_factory):
    """A folder in which `evaluate --dynamic` has run, and what it printed; only to be read."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("dynamic") / "project")
    return folder, call(folder, "evaluate", "--dynamic")


@pytest.fixture
def folder(evaluated, tmp_path):
    """A copy of the folder of `evaluated`, to do anything with."""
    return shutil.copytree(evaluated[0], tmp_path / "project")


def test_the_figures_of_learning_stand_beside_the_others(evaluated, finished):
    folder, ended = evaluated
    assert ended.returncode == 0
    figures, before = evaluation(folder), evaluation(finished)
    assert figures.keys() - before.keys() == {"dynamic_loss"}
    assert {name: figures[name] for name in before} == before
    test, learning, _ = ended.stdout.splitlines()
    assert test.startswith("test loss ")
    assert learning.startswith("learning while it reads, with learning rate ")
    for line, name in ((test, "loss"), (learning, "dynamic_loss")):
        assert float(re.search(r"loss (\S+) nats", line)[1]) == pytest.approx(figures[name], abs=1e-4)


def test_settings_are_those_with_the_lowest_validation_loss(evaluated):
    folder, ended = evaluated
    model, T = load_model(folder / MODEL).model, DynamicConfig.window_size
    squares = mean_squared_gradients(model, ids(folder, "train"), T)
    losses = {
        (rate, decay): evaluate_dynamically(
            model, ids(folder, "validation"), squares, DynamicConfig(learning_rate=rate, decay=decay)
        )["loss"]
        for rate in LEARNING_RATES
        for decay in DECAYS
    }
    shown = ended.stderr.splitlines()
    assert shown[0] == "choosing how fast the model learns while it reads 480 characters of validation text"
    lines = [line.rpartition(" ") for line in shown[1:]]
    assert [line[0] for line in lines] == [
        f"learning rate {rate:g} and decay {decay:g}: loss" for rate, decay in losses
    ]
    assert [float(line[2]) for line in lines] == pytest.approx(list(losses.values()), abs=1e-4)  # 4 digits are printed
    rate, decay = min(losses, key=losses.get)
    config = DynamicConfig(learning_rate=rate, decay=decay)
    assert f"learning rate {rate:g} and decay {decay:g}" in ended.stdout
    expected = evaluate_dynamically(model, ids(folder, "test"), squares, config)["loss"]
    assert evaluation(folder)["dynamic_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_param_is_the_flag(project, evaluated):
    change_param("dynamic", "true")(project)
    call(project, "evaluate")
    assert files(project / "metrics")["evaluation.json"] == files(evaluated[0] / "metrics")["evaluation.json"]
    assert printed_by(project, "evaluate", "--no-dynamic").count("loss") == 1


def test_another_text_is_scored_with_what_is_stored(folder):
    before = files(folder)
    shown = printed_by(folder, "evaluate", "--dynamic", "--text", "corpus.txt").splitlines()  # and nothing is chosen
    assert [line.startswith("loss ") for line in shown] == [True, False]
    assert shown[1].startswith("learning while it reads")
    assert shown[0] == printed_by(folder, "evaluate", "--text", "corpus.txt").rstrip("\n")
    for name in ("train", "validation", "test", "vocabulary"):
        remove(f"data/processed/{name}.{'json' if name == 'vocabulary' else 'npy'}")(folder)
    assert printed_by(folder, "evaluate", "--dynamic", "--text", "corpus.txt").splitlines() == shown
    for name, content in before.items():
        if not name.startswith("data/processed"):
            assert (folder / name).read_bytes() == content


def test_what_is_missing_is_chosen_once(project):
    first = call(project, "evaluate", "--dynamic", "--text", "corpus.txt")
    assert first.stderr.count("\n") == 1 + NUM_SETTINGS
    stored = (project / STORED).read_bytes()
    second = call(project, "evaluate", "--dynamic", "--text", "corpus.txt")
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert (project / STORED).read_bytes() == stored


def test_what_belongs_to_another_model_is_chosen_again(folder):
    trained = load_model(folder / MODEL)
    trained.model.parameters *= 0.9
    save_model(folder / MODEL, trained)
    ended = call(folder, "evaluate", "--dynamic", "--text", "corpus.txt")
    assert ended.returncode == 0 and ended.stderr.startswith("choosing")
    assert call(folder, "evaluate", "--dynamic", "--text", "corpus.txt").stderr == ""


def test_a_model_elsewhere_has_its_own_beside_it(folder, tmp_path):
    shutil.copy(folder / MODEL, tmp_path / "other.npz")
    flags = ("--dynamic", "--weights-path", tmp_path / "other.npz", "--text", "corpus.txt")
    ended = call(folder, "evaluate", *flags)
    assert ended.stdout == printed_by(folder, "evaluate", "--dynamic", "--text", "corpus.txt")
    assert (tmp_path / "other.npz.dynamic").read_bytes() == (folder / STORED).read_bytes()


def test_the_figures_of_the_stage_do_not_depend_on_what_is_stored(folder):
    before = evaluation(folder)
    shutil.copy(folder / MODEL, folder / "kept")
    trained = load_model(folder / MODEL)
    other = ModelFile(adapted_by_hand(trained), trained.vectorizer, trained.params, trained.data)
    assert evaluate(other.model, ids(folder, "test")) != before
    description, arrays = dynamic.read_archive(folder / STORED, dynamic.DYNAMICS_FORMAT)
    description["config"]["learning_rate"] = 0.02
    dynamic.write_archive(folder / STORED, description.pop("format"), description, arrays)
    call(folder, "evaluate", "--dynamic")
    assert evaluation(folder) == before


def adapted_by_hand(trained):
    return adapted(trained.model, np.arange(5), np.ones_like(trained.model.parameters), DynamicConfig())


def test_a_sample_is_one_of_the_model_that_has_read_the_text(folder):
    (folder / "letter.txt").write_text("abba abba\nadda", encoding="utf-8")
    trained = load_model(folder / MODEL)
    found = dynamic.dynamics_of(trained, dynamic.Paths(model_dir=folder / "models"))
    read = adapted(trained.model, trained.vectorizer.encode("abba abba\nadda"), found.mean_squares, found.config)
    for start, flags in (("adda", ()), ("ab", ("ab",)), ("d\n", ("--start-string", "d\n"))):
        rng = np.random.default_rng(42)
        expected = start + "".join(generate(read, trained.vectorizer, start, 64, rng=rng))
        assert printed_by(folder, "sample", "--adapt", "letter.txt", "--no-color", *flags) == expected + "\n"


def test_every_kind_of_sample_is_of_the_model_that_has_read_the_text(folder):
    (folder / "letter.txt").write_text("abba" * 300, encoding="utf-8")
    for flags in (("--show", "5", "ab"), ("--num-samples", "2", "ab"), ("--temperatures", "0.5", "1")):
        adapted_one = printed_by(folder, "sample", "--adapt", "letter.txt", *flags)
        assert adapted_one != printed_by(folder, "sample", *flags)


def test_a_sample_continues_the_last_lines_of_the_text(folder):
    for text, start in (
        ("abc" * 100, ("abc" * 100)[-200:]),
        ("a\n" + "bc" * 40 + "\n", "bc" * 40 + "\n"),
        ("a\n", "a\n"),
    ):
        (folder / "letter.txt").write_text(text, encoding="utf-8", newline="")
        shown = printed_by(folder, "sample", "--adapt", "letter.txt", "--no-color")
        assert shown.startswith(start) and len(shown) == len(start) + 64 + 1


def test_characters_that_the_model_does_not_know_are_left_out_and_named(folder):
    (folder / "letter.txt").write_text("abXba", encoding="utf-8")
    ended = call(folder, "sample", "--adapt", "letter.txt", "--no-color")
    assert ended.stdout.startswith("abba") and ended.returncode == 0
    assert ended.stderr == (
        "left out 1 character that the model does not know, and joined the text around them: 'X' (1)\n"
    )


@pytest.mark.parametrize(
    ("change", "command", "message"),
    [
        (remove("corpus.txt"), "sample --adapt corpus.txt", "'corpus.txt' is not a file"),
        (
            rewrite("corpus.txt", lambda text: b"a"),
            "sample --adapt corpus.txt",
            "has 1 character; it must have at least 2",
        ),
        (
            rewrite(STORED, lambda text: text[:-9]),
            "sample --adapt corpus.txt",
            f"{STORED} is not a charrnn file, or is",
        ),
        (rewrite(STORED, lambda text: b""), "evaluate --dynamic --text corpus.txt", f"{STORED} is not a charrnn file"),
        (lambda folder: shutil.copy(folder / MODEL, folder / STORED), "sample --adapt corpus.txt", "the format is 1"),
        (lambda folder: None, f"sample --weights-path {STORED}", "the format is 4; this version reads format 1 or 3"),
        (lambda folder: None, "evaluate --dynamic --by-line --text corpus.txt", "--dynamic and --by-line are given"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change, command, message, folder):
    change(folder)
    ended = call(folder, *command.split())
    assert ended.returncode == 1
    assert message in ended.stderr and ended.stderr.count("\n") == 1


def test_without_the_text_there_is_nothing_to_choose_from(project):
    for part in ("train", "validation"):
        kept = (project / f"data/processed/{part}.npy").read_bytes()
        remove(f"data/processed/{part}.npy")(project)
        ended = call(project, "sample", "--adapt", "corpus.txt")
        assert (
            ended.returncode == 1 and f"{part}.npy is missing; run the earlier stages" in ended.stderr.splitlines()[-1]
        )
        (project / f"data/processed/{part}.npy").write_bytes(kept)
        assert not (project / STORED).exists()


@pytest.mark.parametrize("change", [{"learning_rate": -1}, {"decay": "x"}, {"speed": 1}])
def test_stored_settings_are_checked(change, folder):
    description, arrays = dynamic.read_archive(folder / STORED, dynamic.DYNAMICS_FORMAT)
    description["config"].update(change)
    dynamic.write_archive(folder / STORED, description.pop("format"), description, arrays)
    ended = call(folder, "sample", "--adapt", "corpus.txt")
    assert ended.returncode == 1 and ended.stderr.startswith(f"error: {STORED}") and ended.stderr.count("\n") == 1


@pytest.mark.parametrize("wrong", [lambda a: a[1:], lambda a: -a - 1, lambda a: a * np.nan, lambda a: a + np.inf])
def test_stored_statistics_are_checked(wrong, folder):
    description, arrays = dynamic.read_archive(folder / STORED, dynamic.DYNAMICS_FORMAT)
    arrays = {"mean_squares": wrong(arrays["mean_squares"])}
    dynamic.write_archive(folder / STORED, description.pop("format"), description, arrays)
    ended = call(folder, "sample", "--adapt", "corpus.txt")
    assert ended.returncode == 1 and "its statistics are not those of a model" in ended.stderr


def test_a_learning_rate_at_which_the_model_diverges_is_not_chosen(project, monkeypatch):
    monkeypatch.setattr(dynamic, "LEARNING_RATES", (1e38, 0.0003))
    monkeypatch.setattr(dynamic, "DECAYS", (0.003,))
    ended = call(project, "evaluate", "--dynamic")
    assert ended.returncode == 0 and "with learning rate 0.0003 and decay" in ended.stdout
    monkeypatch.setattr(dynamic, "LEARNING_RATES", (1e38,))
    ended = call(project, "evaluate", "--dynamic")
    assert ended.returncode == 1
    assert ended.stderr.endswith("error: the model diverges at every learning rate of dynamic evaluation\n")


@pytest.mark.parametrize(
    ("command", "purpose"), [(("evaluate", "--dynamic", "--text"), "evaluate"), (("sample", "--adapt"), "learn from")]
)
def test_a_text_too_short_to_learn_from_is_refused_before_anything_is_chosen(project, command, purpose):
    (project / "short.txt").write_text("a")
    ended = call(project, *command, "short.txt")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"error: the text to {purpose} has 1 character; it must have at least 2\n"
    assert not (project / STORED).exists()


def test_no_figure_is_printed_if_the_settings_cannot_be_chosen(project):
    remove("data/processed/train.npy")(project)
    ended = call(project, "evaluate", "--dynamic", "--text", "corpus.txt")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "error: data/processed/train.npy is missing" in ended.stderr
