"""The stages as a user runs them, on a tiny text: what they read, print and write, and what their flags do."""

import hashlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from math import log

import numpy as np
import pytest

from charrnn.evaluation import context_curve, evaluate
from charrnn.layers import Dense, Embedding
from charrnn.model_file import load_model, save_model
from charrnn.models import Model
from stages.common.params import PARAMS, load_params
from tests.stage_project import (
    ENVIRONMENT,
    EVALUATED,
    MODEL,
    PREPARED,
    REPORTED,
    SHA256,
    STAGES,
    TEXT,
    TRAINED,
    call,
    command,
    files,
    printed_by,
    replace_part,
    rows,
    run,
    set_up,
)


def test_the_stages_leave_their_files_and_no_others(finished):
    assert set(files(finished)) == {
        "params.yaml",
        "corpus.txt",
        "data/raw/input.txt",
        "metrics/data.json",
        "metrics/sample.txt",
        *PREPARED,
        *TRAINED,
        *EVALUATED,
        *REPORTED,
    }


def test_calibration_scales_the_last_layer_of_the_model_and_changes_nothing_else(project):
    plain, metrics = load_model(project / MODEL).model, (project / "metrics/train.json").read_text()
    printed = printed_by(project, "train", "--calibrate")
    scaled = load_model(project / MODEL).model
    factor = scaled.parameters[-1] / plain.parameters[-1]  # of a bias
    assert factor != 1 and f"calibration: the logits are multiplied by {factor:.2f}\n" in printed
    assert (project / "metrics/train.json").read_text() == metrics
    for (name, before), (_, after) in zip(plain.named_parameters(), scaled.named_parameters()):
        np.testing.assert_allclose(after, before * (factor if ".dense." in name else 1), rtol=1e-6)
    ended = call(project, "train", "--calibrate", "--tie-weights")
    assert ended.returncode == 1 and ended.stderr.startswith(
        "error: calibrate is True; with a TiedDense layer at the end it must be False"
    )


def test_download_copies_the_text_and_notes_where_from(finished, printed):
    assert (finished / "data/raw/input.txt").read_bytes() == TEXT.encode()
    assert json.loads((finished / "metrics/data.json").read_bytes()) == {
        "source": "corpus.txt",
        "sha256": SHA256,
        "bytes": len(TEXT.encode()),
        "characters": 3000,
        "files": [{"name": "corpus.txt", "sha256": SHA256, "bytes": len(TEXT.encode())}],
    }
    assert printed["download"] == "3,000 characters from corpus.txt\n"


def test_prepare_splits_the_text_in_order(finished, printed):
    processed = finished / "data/processed"
    about = json.loads((processed / "vocabulary.json").read_bytes())
    names = ("train", "validation", "test")
    assert about == {
        "vocabulary": "\n abcdfé€",
        "corpus_sha256": SHA256,
        "train_size": 0.8,
        "validation_size": 0.2,
        **{f"{name}_sha256": hashlib.sha256((processed / f"{name}.npy").read_bytes()).hexdigest() for name in names},
    }
    parts = [np.load(processed / f"{name}.npy") for name in names]
    assert [len(part) for part in parts] == [1920, 480, 600]
    assert "".join(about["vocabulary"][i] for i in np.concatenate(parts)) == TEXT
    assert printed["prepare"] == "9 different characters\n1,920 for train, 480 for validation, 600 for test\n"


def test_train_writes_the_model_and_its_learning_curve(finished, printed):
    trained = load_model(finished / "models/char_rnn.npz")
    names = importlib.import_module("stages.train").PARAMS
    of_file = load_params(finished / "params.yaml")
    assert trained.params == {name: of_file[name] for name in names if name != "init_from"}  # its hash says more
    assert trained.data == {"corpus_sha256": SHA256, "train_size": 0.8, "validation_size": 0.2}
    assert trained.vectorizer.vocabulary == "\n abcdfé€"
    assert [layer.output_dim for layer in trained.model.layers] == [4, 8, 9]

    history = rows(finished / "metrics/history.csv")
    figures = ["epoch", "train_loss", "validation_loss", "validation_accuracy", "learning_rate", "gradient_norm"]
    assert list(history[0]) == figures
    assert [row["epoch"] for row in history] == ["1", "2"]
    summary = json.loads((finished / "metrics/train.json").read_bytes())
    best = min(history, key=lambda row: float(row["validation_loss"]))
    assert summary == {"validation_loss": float(best["validation_loss"]), "parameters": 429}
    validation_ids = np.load(finished / "data/processed/validation.npy")
    measured = evaluate(trained.model, validation_ids, num_streams=8)
    assert summary["validation_loss"] == pytest.approx(measured["loss"], abs=1e-5)
    assert "429 parameters, 1,920 characters to train on" in printed["train"]
    assert "epoch 2/2: train loss" in printed["train"]


def test_evaluate_measures_the_model_on_the_test_text(finished, printed):
    model = load_model(finished / "models/char_rnn.npz").model
    test_ids = np.load(finished / "data/processed/test.npy")
    metrics = json.loads((finished / "metrics/evaluation.json").read_bytes())
    details = json.loads((finished / "metrics/evaluated.json").read_bytes())
    copies = {name: details.pop(name) for name in ("longest_copy", "new_10_grams", "new_20_grams", "new_40_grams")}
    assert details.pop("parameters_sha256") == hashlib.sha256(model.parameters.astype("<f4")).hexdigest()
    assert metrics | details == pytest.approx(evaluate(model, test_ids), abs=1e-5)
    assert set(metrics) == {"loss", "bits_per_char", "accuracy"} and details["characters"] == 599
    assert metrics["bits_per_char"] == pytest.approx(metrics["loss"] / log(2), abs=1e-5)
    context = rows(finished / "metrics/context.csv")
    assert [row["position"] for row in context] == [str(position) for position in range(1, 11)]
    curve = context_curve(model, test_ids, 10)
    for name in ("loss", "accuracy"):
        assert [float(row[name]) for row in context] == pytest.approx(curve[name], abs=1e-5)
    assert f"test loss {metrics['loss']:.4f}" in printed["evaluate"]
    assert 3 < copies["longest_copy"] < 20  # an untrained model on a text without order: as long as chance makes them
    assert 0.9 < copies["new_10_grams"] <= copies["new_20_grams"] == copies["new_40_grams"] == 1


def test_evaluate_finds_what_the_model_has_copied(project):
    np.save(train_ids := io.BytesIO(), np.tile(np.arange(9, dtype=np.uint8), 200))
    replace_part(project, "train", train_ids.getvalue())
    trained = load_model(project / "models/char_rnn.npz")
    parrot = Model([Embedding(9, 9), Dense(9, 9)], np.random.default_rng(0))  # after each character, the next id
    parrot.parameters[...] = np.concatenate(
        [np.eye(9).ravel(), 99 * np.roll(np.eye(9), 1, axis=1).ravel(), np.zeros(9)]
    )
    save_model(project / "models/char_rnn.npz", replace(trained, model=parrot))
    assert call(project, "evaluate").returncode == 0
    metrics = json.loads((project / "metrics/evaluated.json").read_bytes())
    assert (metrics["longest_copy"], metrics["new_40_grams"]) == (1800, 0)


def test_a_large_vocabulary_gets_a_shorter_sample(project, monkeypatch):
    """A sample of 20,000 characters with a vocabulary of 70,000 took minutes."""
    vocabulary_size = load_model(project / MODEL).vectorizer.vocabulary_size
    monkeypatch.setattr(importlib.import_module("stages.evaluate"), "LOGITS_OF_SAMPLE", 500 * vocabulary_size)
    assert "\nin a sample of 500 characters, " in printed_by(project, "evaluate")


def test_evaluate_warns_of_a_model_that_predicts_worse_than_guessing(project):
    trained = load_model(project / MODEL)
    trained.model.parameters[-trained.vectorizer.vocabulary_size :] = [
        800,
        *[0] * (trained.vectorizer.vocabulary_size - 1),
    ]
    save_model(project / MODEL, trained)
    V = trained.vectorizer.vocabulary_size
    for flags in ([], ["--text", "corpus.txt"]):
        ended = call(project, "evaluate", *flags)
        assert ended.returncode == 0
        assert "worse than guessing: its loss is 7" in ended.stderr
        assert f"equal probabilities for all {V} characters give {log(V):.4f}" in ended.stderr
        assert re.search(r"perplexity 1?[.\d]+e\+\d{3}, ", ended.stdout)


def test_training_that_ends_worse_than_guessing_prints_a_warning(project):
    flags = ["--learning-rate", 100, "--clip-norm", 0, "--optimizer", "sgd"]
    ended = call(project, "train", *flags)
    assert ended.returncode == 0
    assert re.search(r"^warning: the model predicts worse than guessing: its loss is [\d.]{7}, ", ended.stderr)
    shown = re.findall(r"[\d.]+", ended.stdout)
    assert shown and max(map(len, shown)) <= 7


def test_each_epoch_is_followed_by_a_sample_which_changes_nothing_else(project, printed):
    written = (project / "metrics/evolution.txt").read_text(encoding="utf-8")
    samples = re.findall(r"(?s)after epoch (\d+):\n(.{150})\n(?:\n|$)", written)
    assert [int(epoch) for epoch, _ in samples] == [1, 2]
    assert all(f"\n\n{sample}\n\n" in printed["train"] for _, sample in samples)
    before = files(project)
    for every, epochs in ((0, []), (2, ["2"])):
        printed_by(project, "train", "--sample-every", every)
        kept = (project / "metrics/evolution.txt").read_text(encoding="utf-8")
        assert re.findall(r"after epoch (\d+)", kept) == epochs
        assert {**files(project), "metrics/evolution.txt": b""} == {**before, "metrics/evolution.txt": b""}
    assert kept.endswith(f"after epoch 2:\n{samples[1][1]}\n")


def test_evaluate_any_text(finished, tmp_path):
    before = files(finished)
    (tmp_path / "text.txt").write_text("bad cab\nxé€ y¤x", encoding="utf-8")
    shown = printed_by(finished, "evaluate", "--text", tmp_path / "text.txt")
    trained = load_model(finished / "models/char_rnn.npz")
    metrics = evaluate(trained.model, trained.vectorizer.encode("bad cab\né€ "))
    unknown, figures = shown.splitlines()
    left_out = "characters that the model does not know, and joined the text around them"
    assert unknown == f"left out 4 {left_out}: 'x' (2), 'y' (1), '¤' (1)"
    assert figures.startswith(f"loss {metrics['loss']:.4f} nats") and figures.endswith("over 10 characters")
    piped = subprocess.run(
        command("evaluate", "--text", "-"), cwd=finished, env=ENVIRONMENT, input=b"bad cab", capture_output=True
    )
    assert (piped.returncode, piped.stderr) == (0, b"") and b"over 6 characters" in piped.stdout
    assert files(finished) == before


def test_sample_prints_what_it_writes(finished, printed):
    assert re.fullmatch(r"a[\n abcdfé€]{64}\n", printed["sample"])
    assert (finished / "metrics/sample.txt").read_bytes() == printed["sample"].encode()


def test_the_same_seed_gives_the_same_files(project):
    before = files(project)
    for stage in ("prepare", "train", "evaluate"):
        run(project, stage)
    assert files(project) == before


def test_flags_override_params_yaml(project):
    (project / "params.yaml").write_text(
        (project / "params.yaml").read_text().replace("carry_state: false", "carry_state: true")
    )
    printed_by(project, "prepare", "--train-size", "0.5", "--validation-size", "0.5")
    assert [len(np.load(project / f"data/processed/{part}.npy")) for part in ("train", "validation")] == [750, 750]
    flags = ["--cell", "rnn", "--hidden-dim", 5, "--num-epochs", 1, "--optimizer", "sgd", "--learning-rate", "2e-3"]
    printed_by(project, "train", *flags, "--no-carry-state", "--targets", "last", "--clip-norm", 0, "--seed", 7)
    of_file = load_params(project / "params.yaml")
    trained = load_model(project / "models/char_rnn.npz")
    given = {"cell": "rnn", "hidden_dim": 5, "num_epochs": 1, "optimizer": "sgd", "learning_rate": 0.002}
    given |= {"carry_state": False, "targets": "last", "clip_norm": 0.0, "seed": 7}
    assert trained.params == {name: of_file[name] for name in trained.params} | given
    assert [type(layer).__name__ for layer in trained.model.layers] == ["Embedding", "SimpleRNN", "Dense"]
    assert len(rows(project / "metrics/history.csv")) == 1
    printed_by(project, "evaluate", "--window-size", 3, "--weights-path", MODEL)
    assert len(rows(project / "metrics/context.csv")) == 3


def test_download_takes_the_first_source_that_works(project):
    (project / "other.txt").write_bytes(b"other text")
    ended = call(project, "download", "--data-url", "nowhere.txt", "other.txt", "corpus.txt")
    assert (ended.returncode, ended.stdout) == (0, "10 characters from other.txt\n")
    (warning,) = ended.stderr.splitlines()
    assert re.match(r"warning: .*nowhere\.txt.*No such file.*other\.txt", warning)
    assert (project / "data/raw/input.txt").read_bytes() == b"other text"


@pytest.mark.parametrize("stage", STAGES)
def test_help_shows_every_flag_with_its_default(tmp_path, monkeypatch, stage):
    monkeypatch.setenv("COLUMNS", "1000")
    shown = printed_by(tmp_path, stage, "--help")
    module = importlib.import_module(f"stages.{stage}")
    defaults = {name: PARAMS[name].default for name in module.PARAMS}
    places = {"data_dir": "data", "data_filename": "input.txt", "model_dir": "models", "model_filename": "char_rnn.npz"}
    places |= {"weights_path": "", "metrics_dir": "metrics"}
    shown_places = re.findall(r"(?m)^  --([\w-]+) PATH", shown)
    assert [name for name in places if name.replace("_", "-") in shown_places] == list(module.PATHS)
    for name, default in (defaults | {name: places[name] for name in module.PATHS if places[name]}).items():
        default = {"\n": r'"\n"', "": '""'}.get(default, default) if isinstance(default, str) else default
        text = re.escape(" ".join(default) if isinstance(default, list) else str(default))
        assert re.search(rf"(?m)^  --{name.replace('_', '-')}[ ,].*\n?.* \(default: {text}\)$", shown)


def test_every_stage_accepts_the_paths_of_all(project):
    flags = ["--data-filename", "input.txt", "--model-dir", "models", "--model-filename", "char_rnn.npz"]
    for stage in STAGES:
        printed_by(project, stage, *flags, "--data-dir", "data", "--metrics-dir", "metrics")


def test_a_stop_text_that_no_sample_can_contain_is_refused(project):
    ended = call(project, "sample", "--stop", "aX")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: --stop is 'aX', which no sample can contain: the vocabulary lacks ")


def test_at_temperature_0_one_sample_is_drawn_and_a_warning_says_why(project):
    once = printed_by(project, "sample", "--temperature", 0)
    twice = call(project, "sample", "--temperature", 0, "--num-samples", 2)
    assert (twice.returncode, twice.stdout) == (0, once)
    assert twice.stderr == "warning: at temperature 0 all samples are the same; this is one of them\n"


def test_arguments_are_utf_8_even_in_an_ascii_locale(project):
    ascii_locale = dict(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="utf-8")
    for flags in (["é€"], ["--start-string", "é€"]):
        assert run(project, "sample", *flags, **ascii_locale).startswith("é€")
    assert run(project, "sample", "--stop", "€", "--num-to-generate", 1000, **ascii_locale).endswith("€\n")


def test_sample_continues_the_start_it_is_given(project):
    flags = ["bad cab\n", "--temperature", "0.8", "--num-to-generate", "50"]
    (project / "only").mkdir()
    for name in ("params.yaml", "models"):
        (project / name).rename(project / "only" / name)
    folder = project / "only"
    before = files(folder)

    first = printed_by(folder, "sample", *flags)
    assert re.fullmatch(r"bad cab\n[\n abcdfé€]{50}\n", first)
    assert printed_by(folder, "sample", *flags) == first
    assert printed_by(folder, "sample", *flags, "--seed", 7) != first
    assert printed_by(folder, "sample", "--start-string", *flags) == first
    assert files(folder) == before


def test_the_start_may_come_from_a_file_or_from_standard_input(finished, tmp_path):
    expected = printed_by(finished, "sample", "bad\ncab")
    for text in (b"bad\ncab", b"bad\ncab\n", b"bad\ncab\r\n"):
        (tmp_path / "start.txt").write_bytes(text)
        assert printed_by(finished, "sample", "--prompt-file", tmp_path / "start.txt") == expected
    piped = subprocess.run(
        command("sample", "--prompt-file", "-"), cwd=finished, env=ENVIRONMENT, input=b"bad\ncab", capture_output=True
    )
    assert (piped.returncode, piped.stderr, piped.stdout.decode()) == (0, b"", expected)


@pytest.mark.skipif(os.name != "posix", reason="closes standard input as a POSIX shell does")
@pytest.mark.parametrize("flags", [("sample", "--prompt-file"), ("evaluate", "--text")], ids=str)
def test_a_closed_standard_input_is_named(finished, flags):
    closed = subprocess.run(
        [*command(*flags, "-")],
        cwd=finished,
        env=ENVIRONMENT,
        preexec_fn=lambda: os.close(0),
        capture_output=True,
        encoding="utf-8",
    )
    assert (closed.returncode, closed.stderr) == (1, "error: standard input is closed; it must be open to be read\n")


def test_several_samples(finished):
    shown = printed_by(finished, "sample", "bad", "--num-samples", 3, "--num-to-generate", 40)
    samples = shown.removesuffix("\n").split("\n--------------------\n")
    assert len(samples) == len(set(samples)) == 3
    assert all(re.fullmatch(r"bad[\n abcdfé€]{40}", sample) for sample in samples)
    assert printed_by(finished, "sample", "bad", "--num-samples", 3, "--num-to-generate", 40) == shown


def test_a_sample_for_each_temperature(finished):
    shown = printed_by(finished, "sample", "bad", "--temperatures", 0, 0.7)
    samples = shown.removesuffix("\n").split("\n--------------------\n")
    expected = [printed_by(finished, "sample", "bad", "--temperature", t).removesuffix("\n") for t in (0, 0.7)]
    assert samples == [f"temperature 0:\n{expected[0]}", f"temperature 0.7:\n{expected[1]}"]


@pytest.mark.parametrize("several", [(), ("--num-samples", 2)])
def test_a_sample_ends_with_the_stop_string(finished, several):
    whole = printed_by(finished, "sample", "b", "--num-to-generate", 300, *several).split("\n--------------------\n")[0]
    shown = printed_by(finished, "sample", "b", "--num-to-generate", 300, "--stop", "ab", *several)
    first = shown.removesuffix("\n").split("\n--------------------\n")[0]
    assert first == whole[: 1 + whole[1:].index("ab") + 2]


def test_top_k_and_top_p_reach_the_sampler(finished):
    greedy = printed_by(finished, "sample", "bad", "--temperature", 0)
    assert printed_by(finished, "sample", "bad", "--top-k", 1) == greedy
    assert printed_by(finished, "sample", "bad", "--top-p", 1e-9) == greedy
    assert printed_by(finished, "sample", "bad") != greedy


def test_temperature_0_does_not_depend_on_the_seed(finished):
    first, second = (printed_by(finished, "sample", "--temperature", 0, "--seed", seed) for seed in (1, 2))
    assert first == second


@pytest.mark.parametrize("k", [1, 5, 999])
def test_show_prints_the_most_probable_next_characters_instead_of_a_sample(project, k):
    trained = load_model(project / MODEL)
    p = trained.model.predict(trained.vectorizer.encode("bad\ncab"))[-1]
    expected = [f"{p[i]:9.4%}  {trained.vectorizer.vocabulary[i]!r}" for i in np.argsort(-p, kind="stable")[:k]]
    shown = printed_by(project, "sample", "bad\ncab", "--show", k, "--color", "--output", "shown.txt")
    assert shown.splitlines() == expected and len(expected) == min(k, len(p))
    assert (project / "shown.txt").read_bytes() == shown.encode()
    (project / "start.txt").write_text("bad\ncab\n", encoding="utf-8")
    assert printed_by(project, "sample", "--prompt-file", "start.txt", "--show", k) == shown


@pytest.mark.skipif(os.name == "nt", reason="Windows has no broken pipes")
def test_sample_stops_quietly_when_nobody_reads_on(finished):
    with subprocess.Popen(
        command("sample", "--num-to-generate", 10**9),
        cwd=finished,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.read(3)
        process.stdout.close()
        assert process.wait(timeout=60) == 1
        assert process.stderr.read() == b""


def test_sample_survives_an_output_that_lacks_its_characters(finished):
    assert run(finished, "sample", "--num-to-generate", 100, PYTHONIOENCODING="ascii")


def test_train_goes_on_from_given_weights(project):
    given = load_model(project / "models/char_rnn.npz").model.parameters
    flags = ["--num-epochs", 1, "--seed", 7, "--learning-rate", "1e-12", "--optimizer", "sgd"]
    printed_by(project, "train", *flags, "--model-filename", "fresh.npz")
    printed_by(project, "train", *flags, "--model-filename", "further.npz", "--weights-path", "models/char_rnn.npz")
    fresh, further = (load_model(project / f"models/{name}.npz").model.parameters for name in ("fresh", "further"))
    np.testing.assert_allclose(further, given, atol=1e-9)
    assert not np.allclose(fresh, given, atol=1e-3)


def test_evaluate_and_sample_use_given_weights(project):
    printed_by(project, "train", "--seed", 7, "--model-filename", "other.npz", "--metrics-dir", "elsewhere")
    usual = {
        "sample": printed_by(project, "sample"),
        "evaluate": printed_by(project, "evaluate", "--metrics-dir", "usual"),
    }
    before = files(project)
    for stage in ("evaluate", "sample"):
        assert (
            printed_by(project, stage, "--weights-path", "models/other.npz", "--metrics-dir", "given") != usual[stage]
        )
    after = files(project)
    for name in ("evaluation.json", "evaluated.json", "context.csv"):
        assert after.pop(f"given/{name}") != before[f"usual/{name}"]
    assert after == before


def test_a_model_with_other_hyperparameters_than_params_yaml_needs_its_name(project):
    printed_by(project, "train", "--seed", 7, "--model-filename", "other.npz", "--metrics-dir", "elsewhere")
    for stage in ("evaluate", "sample"):
        ended = call(project, stage, "--model-filename", "other.npz")
        assert ended.returncode == 1
        assert ended.stderr == (
            "error: models/other.npz was trained with seed 7, but params.yaml has 42; train again, or name the model "
            "with --weights-path to use it anyway\n"
        )


def test_every_location_can_be_chosen(tmp_path):
    set_up(tmp_path)
    flags = "--data-dir d --data-filename text.txt --model-dir m/n --model-filename model.npz --metrics-dir r"
    for stage in STAGES:
        printed_by(tmp_path, stage, *flags.split())
    moved = {name.replace("data/", "d/").replace("metrics/", "r/") for name in PREPARED | EVALUATED | REPORTED}
    made = {
        "d/raw/text.txt",
        "r/data.json",
        "m/n/model.npz",
        *(name.replace("metrics/", "r/") for name in TRAINED - {MODEL}),
    }
    assert set(files(tmp_path)) == {"corpus.txt", "params.yaml", *moved, *made}


@pytest.mark.parametrize("name", ["model", "v1.0", "model.zip"])
def test_a_model_file_may_have_any_name(project, name):
    before = files(project)
    printed_by(project, "train", "--model-filename", name)
    assert files(project) == before | {f"models/{name}": before["models/char_rnn.npz"]}
    printed_by(project, "sample", "--model-filename", name)


def test_a_validation_text_may_be_just_longer_than_the_window(project):
    flags = ["--num-epochs", 1, "--stride", 479]
    assert "epoch 1/1" in printed_by(project, "train", "--window-size", 479, *flags)


@pytest.mark.skipif(sys.platform != "linux", reason="a file name that is not UTF-8")
def test_a_path_that_is_not_utf8_is_read_and_noted(project):
    (project / "corpus.txt").rename(project / "caf\udce9.txt")
    assert run(project, "download", "--data-url", "caf\udce9.txt") == "3,000 characters from caf\\udce9.txt\n"
    assert json.loads((project / "metrics/data.json").read_bytes())["source"] == "caf\udce9.txt"


def test_one_blas_thread_or_two_give_the_same_bytes(project):
    """At a size at which BLAS would use both, and sum in another order."""
    left = []
    for num_threads in ("1", "2"):
        flags = ("--hidden-dim", 64, "--batch-size", 32, "--window-size", 100, "--num-epochs", 4)
        threads = dict(OPENBLAS_NUM_THREADS=num_threads, OMP_NUM_THREADS=num_threads)
        run(project, "train", *flags, **threads)
        run(project, "evaluate", "--weights-path", MODEL, **threads)
        run(project, "sample", "--weights-path", MODEL, "--output", "metrics/sample.txt", **threads)
        left.append(files(project))
    assert left[0] == left[1]
