"""The model in the checkpoint of an unfinished run: its best weights, or one clear line if there are none."""

import numpy as np
import pytest

from charrnn.config import TrainingConfig
from charrnn.errors import InputError
from charrnn.model_file import ModelFile, describe, load_model
from charrnn.models import create_char_rnn_model
from charrnn.preprocessing import TextVectorizer, read_vectorizer
from charrnn.storage.archive import CHECKPOINT_FORMAT, read_archive, write_archive
from charrnn.training import fresh_state
from charrnn.training.checkpoint import save_checkpoint

LOSSES = (2.0, 1.0, 1.5)
TRAINED = ModelFile(
    create_char_rnn_model(3, np.random.default_rng(0), embedding_dim=2, hidden_dim=4, tie_weights=True),
    TextVectorizer("cab"),
    {"hidden_dim": 4},
    {"corpus_sha256": "0"},
    "1" * 64,
)


@pytest.fixture
def state():
    ids, rng = np.tile(np.arange(3), 50), np.random.default_rng(1)
    now = fresh_state(TRAINED.model, ids, TrainingConfig(window_size=10, stride=10), rng=rng)
    now.best_parameters = now.parameters + 1
    now.history = [{"epoch": epoch, "validation_loss": loss} for epoch, loss in enumerate(LOSSES, start=1)]
    return now


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.checkpoint"


def test_the_weights_are_those_of_the_best_epoch(path, state):
    save_checkpoint(path, {}, describe(TRAINED), state)
    loaded = load_model(path)
    assert loaded.unfinished == "its best weights, from epoch 2"
    np.testing.assert_array_equal(loaded.model.parameters, TRAINED.model.parameters + 1)
    assert loaded.model.layers == TRAINED.model.layers
    assert (loaded.vectorizer, loaded.params, loaded.data) == (TRAINED.vectorizer, TRAINED.params, TRAINED.data)
    assert loaded.init_sha256 == TRAINED.init_sha256
    assert read_vectorizer(path) == TRAINED.vectorizer


def test_before_the_first_epoch_has_ended_they_are_the_current_ones(path, state):
    state.history, state.batch = [], 1200
    save_checkpoint(path, {}, describe(TRAINED), state)
    loaded = load_model(path)
    assert loaded.unfinished == "its weights after 1,200 batches of epoch 1"
    np.testing.assert_array_equal(loaded.model.parameters, TRAINED.model.parameters)


def changed(path, change):
    description, arrays = read_archive(path, CHECKPOINT_FORMAT)
    arrays = dict(arrays)
    del description["format"]
    change(description, arrays)
    write_archive(path, CHECKPOINT_FORMAT, description, arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about, arrays: about.update(model={}), "is not a charrnn file, or is damaged ('dtype')"),
        (lambda about, arrays: about.pop("model"), "is not a charrnn file, or is damaged ('model')"),
        (lambda about, arrays: about.update(now=3), "is not a charrnn file, or is damaged"),
        (lambda about, arrays: about["now"].update(history=[1]), "is not a charrnn file, or is damaged"),
        (
            lambda about, arrays: about["now"]["history"][1].update(epoch="\x1b[31m"),
            "is not a charrnn file, or is damaged",
        ),
        (lambda about, arrays: arrays.pop("best_parameters"), "is not a charrnn file, or is damaged"),
        (
            lambda about, arrays: arrays.update(best_parameters=arrays["best_parameters"][1:]),
            ": there are 102 parameters; the layers need 103",
        ),
        (
            lambda about, arrays: arrays.update(best_parameters=arrays["best_parameters"].astype(np.float64)),
            ": parameters has dtype float64 and shape (103,); its layer needs float32 and (103,)",
        ),
        (
            lambda about, arrays: arrays.update(best_parameters=arrays["best_parameters"] * np.nan),
            ": some parameters are not finite",
        ),
        (lambda about, arrays: about["model"].update(init_sha256=3), ": its init_sha256 is 3; it must be a text"),
        (lambda about, arrays: about["model"].update(vocabulary="caab"), ": vocabulary has a character twice"),
    ],
)
def test_one_line_for_a_checkpoint_without_a_model(change, message, path, state):
    save_checkpoint(path, {}, describe(TRAINED), state)
    changed(path, change)
    with pytest.raises(InputError) as error:
        load_model(path)
    assert str(error.value).startswith(str(path)) and message in str(error.value)
    assert str(error.value).isprintable()
