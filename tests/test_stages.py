"""The five stages as a user and DVC run them: programs of their own, in a folder of its own, on a tiny text."""

import csv
import errno
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from math import log
from pathlib import Path

import numpy as np
import pytest

from charrnn.evaluation import context_curve, evaluate
from charrnn.layers import Dense, Embedding
from charrnn.models import Model
from charrnn.storage import load_model, save_model
from stages.params import PARAMS, default_file, load_params

ROOT = Path(__file__).parents[1]
STAGES = ("download", "prepare", "train", "evaluate", "sample")
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT),
    "PYTHONUTF8": "1",
    "COLUMNS": "1000",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
OF_A_FOLDER = os.strerror(errno.EACCES if os.name == "nt" else errno.EISDIR)  # what reading one as a file ends with
TEXT = "".join(random.Random(0).choices("abc déf€\n", k=3000))
SHA256 = hashlib.sha256(TEXT.encode()).hexdigest()
TINY = {
    "embedding_dim": 4,
    "hidden_dim": 8,
    "window_size": 10,
    "stride": 5,
    "batch_size": 8,
    "num_epochs": 2,
    "log_interval": 1,
    "start_string": '"a"',
}
PREPARED = {f"data/processed/{name}" for name in ("train.npy", "validation.npy", "test.npy", "vocabulary.json")}
MODEL, CHECKPOINT = "models/char_rnn.npz", "models/char_rnn.npz.checkpoint"
TRAINED = {"models/char_rnn.npz", "metrics/train.json", "metrics/history.csv"}
EVALUATED = {"metrics/evaluation.json", "metrics/context.csv"}


def command(stage, *flags):
    return [sys.executable, "-m", f"stages.{stage}", *map(str, flags)]


def start(folder, stage, *flags, **environment):
    return subprocess.run(
        command(stage, *flags), cwd=folder, env=ENVIRONMENT | environment, capture_output=True, encoding="utf-8"
    )


def run(folder, stage, *flags, **environment):
    """What a stage prints; it must succeed and have no complaint."""
    ended = start(folder, stage, *flags, **environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def set_up(folder):
    """Leave a tiny text and tiny params.yaml in a folder."""
    params = re.sub(r"(?m)^data_url:\n(  - .*\n)+", "data_url: corpus.txt\n", default_file())
    for name, value in TINY.items():
        params = re.sub(rf"(?m)^{name}: .*$", f"{name}: {value}", params)
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    (folder / "corpus.txt").write_bytes(TEXT.encode())
    return folder


@pytest.fixture(scope="module")
def printed():
    """What each stage printed while `finished` was made."""
    return {}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, printed):
    """A folder in which all stages have run; only to be read."""
    folder = set_up(tmp_path_factory.mktemp("project"))
    for stage in STAGES:
        printed[stage] = run(folder, stage, *(["--output", "metrics/sample.txt"] if stage == "sample" else []))
    return folder


@pytest.fixture
def project(finished, tmp_path):
    """A copy of `finished`, to do anything with."""
    return shutil.copytree(finished, tmp_path / "project")


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
    }


def test_calibration_scales_the_last_layer_of_the_model_and_changes_nothing_else(project):
    plain, figures = load_model(project / MODEL).model, json.loads((project / "metrics/train.json").read_text())
    assert "logits times" in run(project, "train", "--calibrate")
    scaled, with_factor = load_model(project / MODEL).model, json.loads((project / "metrics/train.json").read_text())
    factor = with_factor.pop("calibration")
    assert factor != 1 and with_factor == figures
    for (name, before), (_, after) in zip(plain.named_parameters(), scaled.named_parameters()):
        np.testing.assert_array_equal(after, before * np.float32(factor if ".dense." in name else 1))
    ended = start(project, "train", "--calibrate", "--tie-weights")
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
    }
    assert printed["download"] == "3,000 characters from corpus.txt\n"


def test_prepare_splits_the_text_in_order(finished, printed):
    processed = finished / "data/processed"
    about = json.loads((processed / "vocabulary.json").read_bytes())
    assert about == {"vocabulary": "\n abcdfé€", "corpus_sha256": SHA256, "train_size": 0.8, "validation_size": 0.2}
    parts = [np.load(processed / f"{part}.npy") for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [1920, 480, 600]
    assert "".join(about["vocabulary"][i] for i in np.concatenate(parts)) == TEXT
    assert printed["prepare"] == "9 different characters\n1,920 for train, 480 for validation, 600 for test\n"


def test_train_writes_the_model_and_its_learning_curve(finished, printed):
    trained = load_model(finished / "models/char_rnn.npz")
    names = importlib.import_module("stages.train").PARAMS
    of_file = load_params(finished / "params.yaml")
    assert trained.params == {name: of_file[name] for name in names}
    assert trained.data == {"corpus_sha256": SHA256, "train_size": 0.8, "validation_size": 0.2}
    assert trained.vectorizer.vocabulary == "\n abcdfé€"
    assert [layer.output_dim for layer in trained.model.layers] == [4, 8, 9]

    history = rows(finished / "metrics/history.csv")
    figures = ["train_loss", "validation_loss", "validation_accuracy"]
    assert list(history[0]) == ["epoch", *figures, "learning_rate", "gradient_norm"]
    assert [row["epoch"] for row in history] == ["1", "2"]
    summary = json.loads((finished / "metrics/train.json").read_bytes())
    best = min(history, key=lambda row: float(row["validation_loss"]))
    assert summary == {name: float(best[name]) for name in ["epoch", *figures]} | {"parameters": 429}
    validation_ids = np.load(finished / "data/processed/validation.npy")
    measured = evaluate(trained.model, validation_ids, num_streams=8)
    assert summary["validation_loss"] == pytest.approx(measured["loss"], abs=1e-5)
    assert "429 parameters, 1,920 characters to train on" in printed["train"]
    assert "epoch 2/2: train loss" in printed["train"]


def test_evaluate_measures_the_model_on_the_test_text(finished, printed):
    model = load_model(finished / "models/char_rnn.npz").model
    test_ids = np.load(finished / "data/processed/test.npy")
    metrics = json.loads((finished / "metrics/evaluation.json").read_bytes())
    copies = {name: metrics.pop(name) for name in ("longest_copy", "new_10_grams", "new_20_grams", "new_40_grams")}
    assert metrics == pytest.approx(evaluate(model, test_ids), abs=1e-5)
    assert metrics["characters"] == 599
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
    ids = np.load(project / "data/processed/train.npy")
    np.save(project / "data/processed/train.npy", np.tile(np.arange(9, dtype=ids.dtype), 200))
    trained = load_model(project / "models/char_rnn.npz")
    parrot = Model([Embedding(9, 9), Dense(9, 9)], np.random.default_rng(0))  # after each character, the next id
    parrot.parameters[...] = np.concatenate(
        [np.eye(9).ravel(), 99 * np.roll(np.eye(9), 1, axis=1).ravel(), np.zeros(9)]
    )
    save_model(project / "models/char_rnn.npz", replace(trained, model=parrot))
    run(project, "evaluate")
    metrics = json.loads((project / "metrics/evaluation.json").read_bytes())
    assert (metrics["longest_copy"], metrics["new_40_grams"]) == (1800, 0)


def test_evaluate_any_text(finished, tmp_path):
    before = files(finished)
    (tmp_path / "text.txt").write_text("bad cab\nxé€ y¤x", encoding="utf-8")
    shown = run(finished, "evaluate", "--text", tmp_path / "text.txt")
    trained = load_model(finished / "models/char_rnn.npz")
    metrics = evaluate(trained.model, trained.vectorizer.encode("bad cab\né€ "))
    unknown, figures = shown.splitlines()
    left_out = "characters that the model does not know are left out, and what surrounds them is joined"
    assert unknown == f"4 {left_out}: 'x' (2), 'y' (1), '¤' (1)"
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
    run(project, "prepare", "--train-size", "0.5", "--validation-size", "0.5")
    assert [len(np.load(project / f"data/processed/{part}.npy")) for part in ("train", "validation")] == [750, 750]
    flags = ["--cell", "rnn", "--hidden-dim", 5, "--num-epochs", 1, "--optimizer", "sgd", "--learning-rate", "2e-3"]
    run(project, "train", *flags, "--no-carry-state", "--targets", "last", "--clip-norm", 0, "--seed", 7)
    of_file = load_params(project / "params.yaml")
    trained = load_model(project / "models/char_rnn.npz")
    given = {"cell": "rnn", "hidden_dim": 5, "num_epochs": 1, "optimizer": "sgd", "learning_rate": 0.002}
    given |= {"carry_state": False, "targets": "last", "clip_norm": 0.0, "seed": 7}
    assert trained.params == {name: of_file[name] for name in trained.params} | given
    assert [type(layer).__name__ for layer in trained.model.layers] == ["Embedding", "SimpleRNN", "Dense"]
    assert len(rows(project / "metrics/history.csv")) == 1
    run(project, "evaluate", "--window-size", 3, "--weights-path", MODEL)
    assert len(rows(project / "metrics/context.csv")) == 3


def test_download_takes_the_first_source_that_works(project):
    (project / "other.txt").write_bytes(b"other text")
    ended = start(project, "download", "--data-url", "nowhere.txt", "other.txt", "corpus.txt")
    assert (ended.returncode, ended.stdout) == (0, "10 characters from other.txt\n")
    (warning,) = ended.stderr.splitlines()
    assert re.match(r"warning: .*nowhere\.txt.*No such file.*other\.txt", warning)
    assert (project / "data/raw/input.txt").read_bytes() == b"other text"


@pytest.mark.parametrize("stage", STAGES)
def test_help_shows_every_flag_with_its_default(tmp_path, stage):
    shown = " ".join(run(tmp_path, stage, "--help").split())
    for name in importlib.import_module(f"stages.{stage}").PARAMS:
        param = PARAMS[name]
        default = " ".join(param.default) if isinstance(param.default, list) else param.default
        assert re.search(rf"--{name.replace('_', '-')}\b[^()]*{re.escape(f' (default: {default})')}", shown)
    for default in ("data", "input.txt", "models", "char_rnn.npz", "metrics"):
        assert f"(default: {default})" in shown


def test_sample_continues_the_start_it_is_given(project):
    flags = ["bad cab\n", "--temperature", "0.8", "--num-to-generate", "50"]
    (project / "only").mkdir()
    for name in ("params.yaml", "models"):
        (project / name).rename(project / "only" / name)
    folder = project / "only"
    before = files(folder)

    first = run(folder, "sample", *flags)
    assert re.fullmatch(r"bad cab\n[\n abcdfé€]{50}\n", first)
    assert run(folder, "sample", *flags) == first
    assert run(folder, "sample", *flags, "--seed", 7) != first
    assert run(folder, "sample", "--start-string", *flags) == first
    assert files(folder) == before


def test_the_start_may_come_from_a_file_or_from_standard_input(finished, tmp_path):
    expected = run(finished, "sample", "bad\ncab")
    for text in (b"bad\ncab", b"bad\ncab\n", b"bad\ncab\r\n"):
        (tmp_path / "start.txt").write_bytes(text)
        assert run(finished, "sample", "--prompt-file", tmp_path / "start.txt") == expected
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
    shown = run(finished, "sample", "bad", "--num-samples", 3, "--num-to-generate", 40)
    samples = shown.removesuffix("\n").split("\n--------------------\n")
    assert len(samples) == len(set(samples)) == 3
    assert all(re.fullmatch(r"bad[\n abcdfé€]{40}", sample) for sample in samples)
    assert run(finished, "sample", "bad", "--num-samples", 3, "--num-to-generate", 40) == shown


def test_a_sample_for_each_temperature(finished):
    shown = run(finished, "sample", "bad", "--temperatures", 0, 0.7)
    samples = shown.removesuffix("\n").split("\n--------------------\n")
    expected = [run(finished, "sample", "bad", "--temperature", t).removesuffix("\n") for t in (0, 0.7)]
    assert samples == [f"temperature 0:\n{expected[0]}", f"temperature 0.7:\n{expected[1]}"]


@pytest.mark.parametrize("several", [(), ("--num-samples", 2)])
def test_a_sample_ends_with_the_stop_string(finished, several):
    whole = run(finished, "sample", "b", "--num-to-generate", 300, *several).split("\n--------------------\n")[0]
    shown = run(finished, "sample", "b", "--num-to-generate", 300, "--stop", "ab", *several)
    first = shown.removesuffix("\n").split("\n--------------------\n")[0]
    assert first == whole[: 1 + whole[1:].index("ab") + 2]


def test_top_k_and_top_p_reach_the_sampler(finished):
    greedy = run(finished, "sample", "bad", "--temperature", 0)
    assert run(finished, "sample", "bad", "--top-k", 1) == greedy
    assert run(finished, "sample", "bad", "--top-p", 1e-9) == greedy
    assert run(finished, "sample", "bad") != greedy


def test_temperature_0_does_not_depend_on_the_seed(finished):
    first, second = (run(finished, "sample", "--temperature", 0, "--seed", seed) for seed in (1, 2))
    assert first == second


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
    run(project, "train", *flags, "--model-filename", "fresh.npz")
    run(project, "train", *flags, "--model-filename", "further.npz", "--weights-path", "models/char_rnn.npz")
    fresh, further = (load_model(project / f"models/{name}.npz").model.parameters for name in ("fresh", "further"))
    np.testing.assert_allclose(further, given, atol=1e-9)
    assert not np.allclose(fresh, given, atol=1e-3)


def test_evaluate_and_sample_use_given_weights(project):
    run(project, "train", "--seed", 7, "--model-filename", "other.npz", "--metrics-dir", "elsewhere")
    usual = {"sample": run(project, "sample"), "evaluate": run(project, "evaluate", "--metrics-dir", "usual")}
    before = files(project)
    for stage in ("evaluate", "sample"):
        assert run(project, stage, "--weights-path", "models/other.npz", "--metrics-dir", "given") != usual[stage]
    after = files(project)
    for name in ("evaluation.json", "context.csv"):
        assert after.pop(f"given/{name}") != before[f"usual/{name}"]
    assert after == before


def test_a_model_with_other_hyperparameters_than_params_yaml_needs_its_name(project):
    run(project, "train", "--seed", 7, "--model-filename", "other.npz", "--metrics-dir", "elsewhere")
    for stage in ("evaluate", "sample"):
        ended = start(project, stage, "--model-filename", "other.npz")
        assert ended.returncode == 1
        assert ended.stderr == (
            "error: models/other.npz was trained with seed 7, but params.yaml has 42; train again, or name the model "
            "with --weights-path to take it as it is\n"
        )


def test_every_location_can_be_chosen(tmp_path):
    set_up(tmp_path)
    flags = "--data-dir d --data-filename text.txt --model-dir m/n --model-filename model.npz --metrics-dir r"
    for stage in STAGES:
        run(tmp_path, stage, *flags.split())
    moved = {name.replace("data/", "d/").replace("metrics/", "r/") for name in PREPARED | EVALUATED}
    made = {"d/raw/text.txt", "r/data.json", "r/train.json", "r/history.csv", "m/n/model.npz"}
    assert set(files(tmp_path)) == {"corpus.txt", "params.yaml", *moved, *made}


@pytest.mark.parametrize("name", ["model", "v1.0", "model.zip"])
def test_a_model_file_may_have_any_name(project, name):
    before = files(project)
    run(project, "train", "--model-filename", name)
    assert files(project) == before | {f"models/{name}": before["models/char_rnn.npz"]}
    run(project, "sample", "--model-filename", name)


def remove(name):
    """A change to a folder: without this file or folder."""

    def change(folder):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def rewrite(name, edit):
    """A change to a folder: with other content of this file."""

    def change(folder):
        (folder / name).write_bytes(edit((folder / name).read_bytes()))

    return change


def cut(content):
    return content[: len(content) // 2]


def spoil(content):
    return content[:900] + bytes([content[900] ^ 255]) + content[901:]


def prepare_another_split(folder):
    run(folder, "prepare", "--train-size", "0.5")


def change_param(name, value):
    def change(folder):
        path = folder / "params.yaml"
        changed = re.sub(rf"(?m)^{name}: .*$", f"{name}: {value}", path.read_text(encoding="utf-8"))
        path.write_text(changed, encoding="utf-8")

    return change


def prepare_another_text(folder):
    rewrite("data/raw/input.txt", lambda text: text.replace(b"a", b"A"))(folder)
    run(folder, "prepare")


def replace_by_folder(name):
    """A change to a folder: with a folder of this name instead of a file."""

    def change(folder):
        remove(name)(folder)
        (folder / name).mkdir()

    return change


def in_params(name, value):
    """A change to a folder: with this in params.yaml."""
    return rewrite(
        "params.yaml", lambda text: re.sub(rf"(?m)^{name}: .*$", lambda _: f"{name}: {value}", text.decode()).encode()
    )


def unchanged(folder):
    pass


BAD_SOURCES = {
    "nowhere.txt": "No such file or directory",
    "data": OF_A_FOLDER,
    "models/char_rnn.npz": "the text is not UTF-8: ",
    "ftp://127.0.0.1/text": "ftp:// is not supported; a source is an http, https or file URL, or a path",
    "http://[::1": "Invalid IPv6 URL",
    "http://": "Invalid URL 'http://': No host supplied",
}


@pytest.mark.parametrize(
    "change, call, words",
    [
        *((unchanged, f"download --data-url {source}", f"'{source}': {why}") for source, why in BAD_SOURCES.items()),
        (unchanged, "download --data-url=", "data_url is ['']; it must be a text or a list of texts, none of them emp"),
        (unchanged, "download --max-corpus-mb 0", "max_corpus_mb is '0'; it must be a number above 0"),
        (unchanged, "download --max-corpus-mb 1e-3", "'corpus.txt': it has more than 0.001 MB, the limit that max_cor"),
        (unchanged, "prepare --train-size 1", "train_size is '1'; it must be a number above 0 and below 1"),
        (unchanged, "prepare --train-size 0.9999", "3000 characters, which leaves 1 for test at train_size 0.9999"),
        (unchanged, "train --cell lstn", "cell is 'lstn'; it must be one of gru, lstm, rnn"),
        (unchanged, "train --num-layers 0", "num_layers is '0'; it must be an integer of at least 1"),
        (unchanged, "train --dropout 1", "dropout is '1'; it must be a number of at least 0 and below 1"),
        (unchanged, "train --patience=-1", "patience is '-1'; it must be an integer of at least 0"),
        (unchanged, "train --schedule cosy", "schedule is 'cosy'; it must be one of constant, step, cosine"),
        (unchanged, "train --final-learning-rate 1", "final_learning_rate is 1.0; it must be at least 0 and at most"),
        (unchanged, "train --learning-rate=-1e-3", "learning_rate is '-1e-3'; it must be a number above 0"),
        (
            unchanged,
            "train --weight-decay 1000",
            "weight_decay is 1000.0; times the learning_rate, 0.001, it must be below",
        ),
        (unchanged, "train --hidden-dim 8.5", "hidden_dim is '8.5'; it must be an integer of at least 1"),
        (unchanged, "train --hidden-dim 1000000 --num-layers 1000", "memory"),
        (unchanged, "train --seed -1", "seed is '-1'; it must be an integer of at least 0"),
        (
            unchanged,
            "train --num-layers 1001",
            "num_layers is '1001'; it must be an integer of at least 1 and at most 1",
        ),
        *(
            (
                unchanged,
                f"train --{flag}-dim {10**30}",
                f"{flag}_dim is '{10**30}'; it must be an integer of at least 1",
            )
            for flag in ("embedding", "hidden")
        ),
        (unchanged, "train --batch-size 1000001", "batch_size is '1000001'; it must be an integer of at least 1 and"),
        (unchanged, "train --window-size 480", "window_size is 480; in a validation text of 480 characters it must be"),
        (unchanged, "train --window-size 1920", "window_size is 1920; in a validation text of 480 characters it must"),
        (
            lambda folder: run(folder, "prepare", "--train-size", "0.5", "--validation-size", "0.9"),
            "train --window-size 150",
            "window_size is 150; in a text of 150 characters it must be below",
        ),
        pytest.param(
            unchanged,
            "evaluate --text /proc/self/mem",
            "error: /proc/self/mem: Input/output error",
            marks=pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a Linux file that opens but fails"),
        ),
        (unchanged, "evaluate --text nothing.txt", "'nothing.txt' is not a file"),
        (unchanged, "evaluate --text=", "'' is not a file"),
        (unchanged, "evaluate --text models/char_rnn.npz", "models/char_rnn.npz is not UTF-8"),
        (rewrite("corpus.txt", lambda text: b"XYZ"), "evaluate --text corpus.txt", "has 0 characters; it must have at"),
        (unchanged, "evaluate --window-size 600", "window_size is 600; in a text of 600 characters it must be below"),
        (unchanged, "sample --temperature nan", "temperature is 'nan'; it must be a number of at least 0"),
        (unchanged, "sample --temperatures 0.5 x", "temperature is 'x'; it must be a number of at least 0"),
        (
            unchanged,
            "sample --temperatures 0.5 --temperature 1",
            "--temperature and --temperatures are given; they exc",
        ),
        (unchanged, "sample --top-k=-1", "top_k is '-1'; it must be an integer of at least 0"),
        (unchanged, "sample --top-p 0", "top_p is '0'; it must be a number above 0 and at most 1"),
        (unchanged, "sample --num-samples 0", "num_samples is '0'; it must be an integer of at least 1"),
        (unchanged, "sample a --start-string b", "the start string is given twice; TEXT, --prompt-file and --start"),
        (
            unchanged,
            f"sample --num-samples {10**30}",
            f"num_samples is '{10**30}'; it must be an integer of at least 1",
        ),
        (unchanged, f"sample --num-to-generate {10**30}", f"num_to_generate is '{10**30}'; it must be an integer of"),
        (unchanged, "sample --prompt-file nothing.txt", "'nothing.txt' is not a file"),
        (unchanged, "sample --prompt-file models/char_rnn.npz", "models/char_rnn.npz is not UTF-8"),
        (unchanged, "sample --num-to-generate 0", "num_to_generate is '0'; it must be an integer of at least 1"),
        (unchanged, "sample ", "start_string is ''; it must be a text that is not empty"),
        (unchanged, "sample abx¤", "start_string is 'abx¤': text has characters that are not in"),
        (
            unchanged,
            "sample ab\udcff",
            "text has a lone surrogate '\\udcff' at position 2; only characters are allowed",
        ),
        *(
            (in_params("start_string", value), "sample", f"start_string is {shown}")
            for value, shown in {
                "''": "''; it must be a text that is not empty",
                "ab¤": "'ab¤': text has characters that are not in the vocabulary: '¤' at position 2",
                r'"a\ud800"': r"'a\ud800': text has a lone surrogate '\ud800' at position 1",
            }.items()
        ),
        (unchanged, "sample --start-string=", "start_string is ''; it must be a text that is not empty"),
        (unchanged, "sample --output .", "error: .: Is a directory"),
        (unchanged, "sample --output models", "error: models: Is a directory"),
        (unchanged, "sample --output corpus.txt/sample.txt", "corpus.txt"),
        *(
            (rewrite("params.yaml", lambda text: text + b"hiden_dim: 8\n"), stage, "is not a hyperparameter; known are")
            for stage in STAGES
        ),
        (rewrite("params.yaml", lambda text: text + b"seed: 1\n"), "sample", "duplicate key"),
        (rewrite("params.yaml", lambda text: b""), "train", "params.yaml holds no hyperparameters; `python -m stages."),
        (
            rewrite("params.yaml", lambda text: text + b"\xff"),
            "train",
            "params.yaml is not YAML: unacceptable character",
        ),
        (rewrite("params.yaml", lambda text: text + b"#" * 70_000), "train", "params.yaml has more than 65,536 bytes"),
        (rewrite("params.yaml", lambda text: text + b"a: &a [[x]]\n"), "train", "nested too deep; a name may have"),
        *(
            (in_params(name, value), stage, f"params.yaml: {name} is {shown}; it must be a")
            for stage in ("download", "train")
            for name, value, shown in (
                ("learning_rate", ".nan", "nan"),
                ("learning_rate", "-.inf", "-inf"),
                ("learning_rate", "-1", "-1"),
                ("learning_rate", "fast", "'fast'"),
                ("hidden_dim", "1.5", "1.5"),
                ("hidden_dim", "0x" + 5000 * "f", "a number of too many digits"),
                ("max_corpus_mb", "null", "None"),
            )
        ),
        (replace_by_folder("params.yaml"), "train", f"params.yaml: {OF_A_FOLDER}"),
        (remove("params.yaml"), "train", "params.yaml: No such file or directory"),
        (remove("data/raw"), "prepare", "data/raw/input.txt is missing; run the stages before"),
        (rewrite("data/raw/input.txt", lambda text: b""), "prepare", "data/raw/input.txt is empty"),
        *(
            (rewrite("data/raw/input.txt", lambda _, text=text: text), "prepare", f"data/raw/input.txt {why}")
            for text, why in {
                TEXT.encode() + b"\xff": f"is not UTF-8: invalid start byte at byte {len(TEXT.encode())}",
                b"x": "has no character but 'x'; a corpus must have at least two different ones",
                b"xxxxxxxxxxxxxxxxxxxxxxxxxxxx": "has no character but 'x'; a corpus must have at least two diff",
            }.items()
        ),
        (
            rewrite("data/raw/input.txt", lambda text: b"xyz"),
            "prepare",
            "the text has 3 characters, which leaves 0 for",
        ),
        (replace_by_folder("data/raw/input.txt"), "prepare", f"error: data/raw/input.txt: {OF_A_FOLDER}"),
        (remove("data/processed"), "train", "data/processed/train.npy is missing; run the stages before"),
        (remove("data/processed"), "evaluate", "data/processed/vocabulary.json is missing; run the stages before"),
        (remove("data/processed/test.npy"), "evaluate", "data/processed/test.npy is missing; run the stages before"),
        (rewrite("data/processed/train.npy", cut), "train", "data/processed/train.npy"),
        (rewrite("data/processed/test.npy", cut), "evaluate", "data/processed/test.npy"),
        (rewrite("data/processed/vocabulary.json", cut), "train", "data/processed/vocabulary.json"),
        (rewrite("data/processed/vocabulary.json", cut), "evaluate", "data/processed/vocabulary.json"),
        (rewrite("data/processed/vocabulary.json", lambda text: b"{}"), "train", "data/processed/vocabulary.json"),
        *(
            (remove("models"), stage, "models/char_rnn.npz is missing; run the stages before")
            for stage in ("evaluate", "sample", "train --weights-path models/char_rnn.npz")
        ),
        *(
            (rewrite("models/char_rnn.npz", damage), stage, "models/char_rnn.npz is not a charrnn file")
            for stage in ("evaluate", "sample", "train --weights-path models/char_rnn.npz")
            for damage in (cut, spoil)
        ),
        (unchanged, "sample --weights-path corpus.txt", "corpus.txt is not a charrnn file"),
        (unchanged, "sample --weights-path data/processed/test.npy", "test.npy is not a charrnn file"),
        (unchanged, "train --hidden-dim 9 --weights-path models/char_rnn.npz", "another vocabulary or other layers"),
        (prepare_another_text, "train --weights-path models/char_rnn.npz", "another vocabulary or other layers"),
        (prepare_another_text, "evaluate", "models/char_rnn.npz was trained on another text, or another split of it"),
        (prepare_another_text, "sample", "models/char_rnn.npz was trained on another text, or another split of it"),
        *(
            (
                change_param("batch_size", 9),
                stage,
                "was trained with batch_size 8, but params.yaml has 9; train again, or",
            )
            for stage in ("evaluate", "sample", "evaluate --text corpus.txt")
        ),
        (change_param("train_size", 0.7), "sample", "was trained with train_size 0.8, but params.yaml has 0.7; train"),
        (
            prepare_another_text,
            "evaluate --weights-path models/char_rnn.npz",
            "was trained on another text, or another",
        ),
        (prepare_another_split, "evaluate", "models/char_rnn.npz was trained on another text, or another split of it"),
        (unchanged, "train --optimizer sgd --learning-rate 1e38 --clip-norm 0", "training diverged in epoch 1, batch "),
        (unchanged, "train --window-size 5 --stride 6", "stride is 6; it must be at most window_size, 5"),
    ],
)
def test_what_can_not_work_ends_with_one_line(project, change, call, words):
    change(project)
    before = files(project)
    ended = start(project, *call.split(" "))
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line
    assert files(project) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file")
@pytest.mark.parametrize(
    ("stage", "path"),
    [
        ("download", "data/raw/input.txt"),
        ("prepare", "data/processed/train.npy"),
        ("train", CHECKPOINT),
        ("evaluate", "metrics/evaluation.json"),
        ("sample --output metrics/sample.txt", "metrics/sample.txt"),
    ],
)
def test_a_file_that_can_not_be_written_whole_stays_as_it_was(stage, path, project):
    import resource

    before = files(project)
    ended = subprocess.run(
        command(*stage.split(), *(["--seed", 8] if stage.startswith("sample") else [])),
        cwd=project,
        env={name: value for name, value in ENVIRONMENT.items() if not name.startswith("COVERAGE")},  # it writes too
        capture_output=True,
        encoding="utf-8",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)),  # as good as a full disk
    )
    assert ended.returncode == 1
    assert ended.stderr == f"error: {path}: File too large\n"
    assert files(project) == before


@pytest.mark.parametrize(
    "flags, why",
    [
        ((), "it is an HTML page; a corpus must be plain text"),
        (("--max-corpus-mb", "1e-5"), "it has more than 1e-05 MB, the limit that max_corpus_mb sets"),
    ],
)
def test_a_page_that_is_no_corpus_ends_with_one_line(project, flags, why):
    (project / "page.html").write_text("<html>Sign in to read this</html>")
    before = files(project)
    name = "corpus.txt" if flags else "page.html"
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=project)) as server:
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            ended = start(project, "download", "--data-url", url, *flags)
        finally:
            server.shutdown()
    assert ended.returncode != 0
    assert ended.stderr == f"error: data_url: no source could be read: '{url}': {why}\n"
    assert files(project) == before


def test_a_validation_text_may_be_just_longer_than_the_window(project):
    flags = ["--num-epochs", 1, "--stride", 479]
    assert "epoch 1/1" in run(project, "train", "--window-size", 479, *flags)


@pytest.mark.skipif(sys.platform != "linux", reason="a file name that is not UTF-8")
def test_a_path_that_is_not_utf8_is_read_and_noted(project):
    (project / "corpus.txt").rename(project / "caf\udce9.txt")
    assert run(project, "download", "--data-url", "caf\udce9.txt") == "3,000 characters from caf\\udce9.txt\n"
    assert json.loads((project / "metrics/data.json").read_bytes())["source"] == "caf\udce9.txt"


def interruptible(folder, stage, *flags):
    """Start a stage that can be sent a SIGINT."""
    return subprocess.Popen(
        command(stage, *flags),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs in the background may ignore it
    )


@pytest.fixture(scope="module")
def interrupted(finished, tmp_path_factory):
    """A folder in which Ctrl-C ended the first training after its first epoch, with the exit code and stderr."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("interrupted") / "project")
    for name in TRAINED:
        remove(name)(folder)
    with interruptible(folder, "train", "--num-epochs", 10**9) as process:
        while not process.stdout.readline().startswith("epoch 1/"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    return folder, process.returncode, errors


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_interrupted_training_fails_in_one_line_and_leaves_a_checkpoint_but_no_model(interrupted, finished):
    folder, code, errors = interrupted
    assert code == 130
    (line,) = errors.strip().splitlines()
    assert line == "interrupted; what is done is kept, and the same command goes on from there"
    left = files(folder)
    assert set(left) - {"metrics/history.csv", CHECKPOINT} == set(files(finished)) - TRAINED
    assert CHECKPOINT in left


LONGER = ("--num-epochs", 6, "--dropout", 0.2, "--checkpoint-seconds", 0)


@pytest.fixture(scope="module")
def uninterrupted(finished, tmp_path_factory):
    """What longer training leaves that nothing has stopped, and how long that took."""
    folder = shutil.copytree(finished, tmp_path_factory.mktemp("uninterrupted") / "project")
    began = time.monotonic()
    run(folder, "train", *LONGER)
    seconds = time.monotonic() - began
    assert CHECKPOINT not in files(folder)
    return files(folder), seconds


def killed_after(seconds, folder, *flags):
    """Start training and kill it after so many seconds, unless it has ended; whether it was killed."""
    with subprocess.Popen(command("train", *flags), cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.returncode != 0


def test_training_killed_at_twenty_random_moments_leaves_the_same_bytes(project, uninterrupted):
    expected, seconds = uninterrupted
    moments, kills = random.Random(8), 0
    for name in TRAINED:
        remove(name)(project)
    for _ in range(20):
        kills += killed_after(moments.uniform(0.2, 1.0) * seconds, project, *LONGER)
        (project / MODEL).unlink(missing_ok=True)  # as DVC would before it starts again
    has_checkpoint = CHECKPOINT in files(project)
    printed = run(project, "train", *LONGER)
    assert kills >= 10
    assert printed.count("going on from models/char_rnn.npz.checkpoint") == has_checkpoint
    assert files(project) == expected


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to be waited for")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_training_that_was_told_to_stop_goes_on_from_there(number, project, uninterrupted):
    with subprocess.Popen(
        command("train", *LONGER[:-1], 1000), cwd=project, env=ENVIRONMENT, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        while not process.stdout.readline().startswith("epoch 2/"):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(timeout=60) == 130
    assert "going on from models/char_rnn.npz.checkpoint: epoch " in run(project, "train", *LONGER)
    assert files(project) == uninterrupted[0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_training_told_to_stop_after_its_last_batch_fails_too(project, finished):
    code = (
        "import os, signal\n"
        "from charrnn import training\n"
        "from stages import cli, train\n"
        "evaluate = training.evaluate\n"
        "training.evaluate = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT) or evaluate(*a, **k)\n"
        "cli.run(train.main)"
    )
    for name in TRAINED:
        remove(name)(project)
    ended = subprocess.run(
        [sys.executable, "-c", code, "--num-epochs", "1"],
        cwd=project,
        env=ENVIRONMENT,
        capture_output=True,
        encoding="utf-8",
    )
    assert (ended.returncode, ended.stderr.strip()) == (
        130,
        "interrupted; what is done is kept, and the same command goes on from there",
    )
    assert MODEL not in files(project)
    assert "going on from models/char_rnn.npz.checkpoint: epoch 2, 0 " in run(project, "train", "--num-epochs", 1)
    assert MODEL in files(project)


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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_a_checkpoint_of_another_run_is_left_aside_with_a_word(interrupted, tmp_path, finished):
    project = shutil.copytree(interrupted[0], tmp_path / "project")
    printed = run(project, "train")
    assert (
        "not going on from a checkpoint: models/char_rnn.npz.checkpoint is of a run with another num_epochs\n"
        in printed
    )
    assert files(project) == files(finished)


def test_a_damaged_checkpoint_is_left_aside_with_a_word(project, finished):
    (project / CHECKPOINT).write_bytes(b"half")
    assert "not going on from a checkpoint: models/char_rnn.npz.checkpoint is not a charrnn file" in run(
        project, "train"
    )
    assert files(project) == files(finished)
