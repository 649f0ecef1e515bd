"""Training that starts from a model (`init_from`), through the stages: characters keep their ids, contradictions are
refused by name, another file is noticed, and a model remembers what it came from."""

import hashlib
import shutil

import numpy as np
import pytest

from charrnn.layers import GRU, Dense, Embedding
from charrnn.model_file import ModelFile, load_model, save_model
from charrnn.models import Model
from charrnn.preprocessing import TextVectorizer
from charrnn.storage.archive import MODEL_FORMAT, read_archive, write_archive
from stages.common.paths import Paths
from stages.common.prepared import read_prepared
from tests.stage_project import (
    CHECKPOINT,
    MODEL,
    TEXT,
    begin,
    call,
    change_param,
    files,
    printed_by,
    rewrite,
    untrained,
)

OLD = "models/old model.npz"  # with a blank
STILL = ("--num-epochs", 1, "--learning-rate", "1e-12", "--optimizer", "sgd")  # as good as no training


@pytest.fixture
def new_text(project):
    """A project with the model of `finished`, and another text of equally many characters: é and € became x and y."""
    shutil.copy(project / MODEL, project / OLD)
    untrained(project)
    rewrite("data/raw/input.txt", lambda text: text.decode().replace("é", "x").replace("€", "A").encode())(project)
    change_param("init_from", f'"{OLD}"')(project)
    return project


def parameters(path):
    return dict(load_model(path).model.named_parameters())


def vocabulary(project):
    return read_prepared(Paths(data_dir=project / "data")).vectorizer.vocabulary


def refused(project, stage, *flags):
    ended = call(project, stage, *flags)
    assert ended.returncode == 1 and ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    return ended.stderr.removeprefix("error: ").strip()


def test_known_characters_keep_their_ids_and_new_ones_follow(new_text):
    known = load_model(new_text / OLD).vectorizer.vocabulary
    printed = printed_by(new_text, "prepare")
    assert printed.startswith(f"{len(known)} characters of {OLD}, and 2 new: 'A', 'x'\n")
    assert vocabulary(new_text) == known + "Ax"
    ids = np.concatenate([np.load(new_text / f"data/processed/{part}.npy") for part in ("train", "validation", "test")])
    text = TEXT.replace("é", "x").replace("€", "A")
    assert "".join((known + "Ax")[i] for i in ids) == text


def test_training_starts_from_the_weights_of_the_model(new_text):
    printed_by(new_text, "prepare")
    printed = printed_by(new_text, "train", *STILL)
    assert printed.startswith(f"starting from {OLD}\n")
    old, new = parameters(new_text / OLD), parameters(new_text / MODEL)
    V = len(old["0.embedding.table"])
    for name in old:
        known = new[name][tuple(slice(size) for size in old[name].shape)]
        np.testing.assert_allclose(known, old[name], atol=1e-9)
    table = new["0.embedding.table"]
    np.testing.assert_allclose(table[V:], [old["0.embedding.table"].mean(0)] * 2, atol=1e-6)


def test_the_model_remembers_what_it_came_from_by_hash_and_not_by_path(new_text):
    printed_by(new_text, "prepare")
    printed_by(new_text, "train")
    trained = load_model(new_text / MODEL)
    assert trained.init_sha256 == hashlib.sha256((new_text / OLD).read_bytes()).hexdigest()
    assert "init_from" not in trained.params and b"old model" not in (new_text / MODEL).read_bytes()
    assert load_model(new_text / OLD).init_sha256 is None
    for stage in ("evaluate", "sample"):
        printed_by(new_text, stage)
    printed_by(new_text, "report")
    assert trained.init_sha256 in (new_text / "metrics/report.html").read_text(encoding="utf-8")


def test_without_a_model_nothing_is_different(project):
    """An empty text and models/none, in any spelling, mean random weights, whether the file is there or not."""
    before = (project / MODEL).read_bytes()
    for init in ("", "models/none", "./models//none"):
        untrained(project)
        change_param("init_from", f'"{init}"')(project)
        printed_by(project, "prepare")
        printed_by(project, "train")
        assert (project / MODEL).read_bytes() == before
    assert b"init_sha256" not in before


def test_a_text_of_equally_many_characters_can_not_be_mixed_up(new_text, finished):
    """It was prepared without the model, so the same ids stand for other characters."""
    printed_by(new_text, "prepare", "--init-from", "")
    assert len(vocabulary(new_text)) == load_model(new_text / OLD).vectorizer.vocabulary_size
    before = files(new_text)
    message = refused(new_text, "train")
    assert message == (
        f"the text was prepared without {OLD}, whose characters have other ids; set init_from to this file and run "
        "`python -m stages.prepare` again"
    )
    assert refused(new_text, "train", "--init-from", "", "--weights-path", OLD) == message
    assert {name: content for name, content in files(new_text).items() if name != MODEL} == before


def test_a_model_with_the_vocabulary_in_another_order_is_refused_by_every_later_stage(project):
    """Text and split are the same, and so is the number of characters: only the order is another."""
    given = load_model(project / MODEL)
    turned = TextVectorizer(given.vectorizer.vocabulary[::-1])
    save_model(project / OLD, ModelFile(given.model, turned, given.params, given.data))
    printed_by(project, "prepare", "--init-from", OLD)
    assert vocabulary(project) == turned.vocabulary
    for stage in ("evaluate", "sample", "report"):
        assert refused(project, stage) == (
            f"{MODEL} orders the characters differently from the text in data/processed; train again"
        )
    printed_by(project, "prepare")
    for stage in ("evaluate", "report"):
        assert "differently" in refused(project, stage, "--weights-path", OLD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("--cell", "lstm"), "cell 'gru', not 'lstm'"),
        (("--hidden-dim", 9), "hidden_dim 8, not 9"),
        (("--num-layers", 2, "--embedding-dim", 5), "num_layers 1, not 2, embedding_dim 4, not 5"),
        (("--tie-weights",), "tie_weights False, not True"),
        (("--reset-after",), "reset_after False, not True"),
        (("--mogrifier",), "mogrifier False, not True"),
    ],
)
def test_params_that_contradict_the_model_are_refused_by_name(changes, message, new_text):
    printed_by(new_text, "prepare")
    assert refused(new_text, "train", *changes) == (
        f"training can't start from {OLD}: its network has {message}; use its values"
    )
    assert not (new_text / MODEL).exists()


def test_a_network_that_no_params_describe_is_refused(new_text, rng):
    vectorizer = load_model(new_text / OLD).vectorizer
    V = vectorizer.vocabulary_size
    odd = Model([Embedding(V, 4), GRU(4, 8), GRU(8, 9), Dense(9, V)], rng)
    save_model(new_text / OLD, ModelFile(odd, vectorizer, {}, {}))
    printed_by(new_text, "prepare")
    assert refused(new_text, "train").startswith(f"training can't start from {OLD}: the layers are Embedding {V} → 4, ")


@pytest.mark.parametrize("stage", ["prepare", "train"])
def test_what_is_no_model_is_refused_in_one_line(stage, new_text):
    assert refused(new_text, stage, "--init-from", "models/nothing.npz") == (
        "init_from is 'models/nothing.npz', but there is no such file; models/none starts from random weights"
    )
    assert refused(new_text, stage, "--init-from", "corpus.txt").startswith("corpus.txt is not a charrnn file, or is")
    assert refused(new_text, stage, "--init-from", "models").startswith("models: ")


def test_a_damaged_vocabulary_is_refused_by_prepare(new_text):
    description, arrays = read_archive(new_text / OLD, MODEL_FORMAT)
    del description["format"]
    for vocabulary, message in (
        ("aa", f"{OLD}: vocabulary has a character twice"),
        (3, f"{OLD} is not a charrnn file"),
    ):
        write_archive(new_text / OLD, MODEL_FORMAT, description | {"vocabulary": vocabulary}, arrays)
        assert refused(new_text, "prepare").startswith(message)


def test_an_interrupted_run_resumes_only_with_the_same_model_to_start_from(new_text):
    """The file counts, not its path."""
    printed_by(new_text, "prepare")
    interrupted(new_text)
    saved = (new_text / CHECKPOINT).read_bytes()
    other = load_model(new_text / OLD)
    other.model.parameters[0] += 1
    save_model(new_text / "models/other.npz", other)
    few = ("--num-epochs", 2)  # which is another run too, so that it ends soon
    printed = printed_by(new_text, "train", *few, "--init-from", "models/other.npz")
    assert f"{CHECKPOINT} belongs to a run with different init_from, num_epochs\n" in printed
    (new_text / CHECKPOINT).write_bytes(saved)
    (new_text / OLD).rename(new_text / "models/moved.npz")
    printed = printed_by(new_text, "train", *few, "--init-from", "models/moved.npz")
    assert f"{CHECKPOINT} belongs to a run with different num_epochs\n" in printed


def interrupted(project):
    """Leave the checkpoint of a run that was stopped in its second epoch or later."""
    with begin(project, "--num-epochs", 500, "--checkpoint-seconds", 0, shown="epoch 1/") as process:
        process.terminate()
        process.wait()


def test_the_best_weights_of_a_checkpoint_can_be_used(project):
    interrupted(project)
    best = load_model(project / CHECKPOINT)
    history = [float(row) for row in validation_losses(project)]
    assert best.unfinished == f"its best weights, from epoch {int(np.argmin(history)) + 1}"
    line = f"{CHECKPOINT} is from an unfinished run; using {best.unfinished}\n"
    for stage in ("sample", "evaluate", "report"):
        ended = call(project, stage, "--weights-path", CHECKPOINT)
        assert (ended.returncode, ended.stderr) == (0, line), stage

    # the same weights as a model file give the same
    sampled = call(project, "sample", "--weights-path", CHECKPOINT).stdout
    save_model(project / "models/best.npz", ModelFile(best.model, best.vectorizer, best.params, best.data))
    assert call(project, "sample", "--weights-path", "models/best.npz").stdout == sampled

    # and training can start from them
    printed_by(project, "prepare", "--init-from", CHECKPOINT)
    printed = printed_by(project, "train", *STILL, "--init-from", CHECKPOINT, "--model-filename", "further.npz")
    assert printed.startswith(f"starting from {CHECKPOINT}, {best.unfinished}\n")
    further = load_model(project / "models/further.npz").model.parameters
    np.testing.assert_allclose(further, best.model.parameters, atol=1e-9)


def test_the_checkpoint_that_a_run_would_overwrite_is_refused(project):
    """Otherwise the run would remove what it started from, and could not resume."""
    interrupted(project)
    before = (project / CHECKPOINT).read_bytes()
    printed_by(project, "prepare", "--init-from", CHECKPOINT)
    message = f"training can't start from {CHECKPOINT}, which it overwrites; copy it, and use the copy"
    for flags in (("--init-from", CHECKPOINT), ("--weights-path", CHECKPOINT)):
        assert refused(project, "train", *flags) == message
    assert (project / CHECKPOINT).read_bytes() == before


def validation_losses(project):
    lines = (project / "metrics/history.csv").read_text(encoding="utf-8").splitlines()
    place = lines[0].split(",").index("validation_loss")
    return [line.split(",")[place] for line in lines[1:]]


def test_a_model_that_did_not_start_from_the_file_that_is_there_is_refused_by_later_stages(new_text):
    printed_by(new_text, "prepare")
    printed_by(new_text, "train", *STILL)
    for name, value in (("num_epochs", "1"), ("learning_rate", "1.0e-12"), ("optimizer", "sgd")):
        change_param(name, value)(new_text)
    printed_by(new_text, "sample")
    other = load_model(new_text / OLD)
    other.model.parameters[0] += 1
    save_model(new_text / OLD, other)
    for stage in ("evaluate", "sample", "report"):
        assert refused(new_text, stage).startswith(f"{MODEL} was not trained from the model that is now in {OLD} (init")
    (new_text / OLD).unlink()  # as in a clone that has pulled only the new model
    printed_by(new_text, "sample")


def test_random_weights_begin_with_the_limit_and_the_bias_of_the_params(project):
    def begun(*flags):
        call(project, "train", *STILL, *flags).check_returncode()
        values = parameters(project / MODEL)
        untrained(project)
        return {name.split(".", 1)[1]: value for name, value in values.items()}

    usual = begun()
    assert 0.04 < np.abs(usual["embedding.table"]).max() < 0.05 and np.abs(usual["dense.bias"]).max() < 1e-6
    other = begun("--embedding-limit", 0.5, "--output-bias", "log_frequencies")
    np.testing.assert_allclose(other["embedding.table"], 10 * usual["embedding.table"], rtol=1e-4)
    counts = np.bincount(
        read_prepared(Paths(data_dir=project / "data")).ids("train"), minlength=len(other["dense.bias"])
    )
    np.testing.assert_allclose(other["dense.bias"], np.log((counts + 1) / (counts + 1).sum()), rtol=1e-5)
    np.testing.assert_allclose(other["gru.kernel"], usual["gru.kernel"], atol=1e-6)


def test_with_a_model_the_limit_and_the_bias_of_the_params_are_ignored(new_text):
    def trained(*flags):
        printed_by(new_text, "train", *STILL, *flags)
        weights = load_model(new_text / MODEL).model.parameters
        untrained(new_text)
        return weights

    printed_by(new_text, "prepare")
    usual = trained()
    np.testing.assert_array_equal(trained("--embedding-limit", 0.5, "--output-bias", "log_frequencies"), usual)
