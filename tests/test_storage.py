"""The model file: an exact round trip, equal bytes for equal models, and one clear error for anything else."""

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.files import replacing
from charrnn.gru import GRU
from charrnn.layers import Dense, Embedding, LastStep
from charrnn.models import Model, create_char_rnn_model
from charrnn.preprocessing import TextVectorizer
from charrnn.simple_rnn import SimpleRNN
from charrnn.storage import ModelFile, load_model, save_model

VECTORIZER = TextVectorizer("\n aé漢🙂")
PARAMS = {"hidden_dim": 5, "learning_rate": 0.001, "start_string": "é"}


def contents(seed=0):
    model = create_char_rnn_model(6, np.random.default_rng(seed), embedding_dim=3, hidden_dim=5)
    return ModelFile(model, VECTORIZER, PARAMS, {"corpus_sha256": "0" * 64})


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.npz"
    save_model(path, contents())
    return path


def test_round_trip(path):
    loaded, saved = load_model(path), contents()
    assert loaded.model.layers == saved.model.layers
    np.testing.assert_array_equal(loaded.model.parameters, saved.model.parameters)
    assert loaded.model.dtype == np.float32
    assert (loaded.vectorizer, loaded.params, loaded.data) == (VECTORIZER, PARAMS, {"corpus_sha256": "0" * 64})


def test_options_of_layers_survive(tmp_path, rng):
    layers = (
        Embedding(6, 3),
        SimpleRNN(3, 4, activation="relu"),
        GRU(4, 5, reset_after=True),
        LastStep(5),
        Dense(5, 6, activation="tanh"),
    )
    save_model(tmp_path / "m.npz", ModelFile(Model(layers, rng), VECTORIZER, {}, {}))
    assert load_model(tmp_path / "m.npz").model.layers == layers


def test_a_float64_model_comes_back_as_it_was(tmp_path, rng):
    model = create_char_rnn_model(6, rng, dtype=np.float64)
    save_model(tmp_path / "m.npz", ModelFile(model, VECTORIZER, {}, {}))
    loaded = load_model(tmp_path / "m.npz").model
    assert loaded.dtype == np.float64
    np.testing.assert_array_equal(loaded.parameters, model.parameters)


@pytest.mark.parametrize("sizes", [(3, 3), (3, 6), (6, 3)])
def test_a_vocabulary_that_does_not_fit_the_layers_is_refused(tmp_path, rng, sizes):
    before, after = sizes
    model = Model([Embedding(before, 2), Dense(2, after)], rng)
    save_model(tmp_path / "m.npz", ModelFile(model, VECTORIZER, {}, {}))
    with pytest.raises(InputError, match="m.npz: the vocabulary has 6 characters; its layers differ$"):
        load_model(tmp_path / "m.npz")


def test_equal_models_make_equal_files(path, tmp_path):
    save_model(tmp_path / "again.npz", contents())
    save_model(tmp_path / "other.npz", contents(seed=1))
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes() != (tmp_path / "other.npz").read_bytes()


def test_arrays_are_there_by_name_for_anybody_with_numpy(path):
    with np.load(path) as archive:
        assert archive["1.gru.recurrent_kernel"].shape == (3, 5, 5)


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="No space left"):
        save_model(path, contents(seed=1))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_file_that_was_written_takes_the_place_of_the_old_one(path):
    before = path.read_bytes()
    with open(path, "rb") as reader:
        with replacing(path) as temporary:
            temporary.write_bytes(b"new")
            written = temporary.stat().st_ino
        assert reader.read() == before
    assert path.stat().st_ino == written
    assert path.read_bytes() == b"new"


def rewrite(path, **changes):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b""), "is not a charrnn model file, or is damaged"),
        (lambda path: path.write_bytes(b"hello"), "is not a charrnn model file, or is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is not a charrnn model file, or is damaged"),
        (lambda path: np.savez(path, a=np.zeros(3)), "is not a charrnn model file, or is damaged"),
        (lambda path: rewrite(path, description=np.array("{")), "is not a charrnn model file, or is damaged"),
        (
            lambda path: rewrite(path, description=np.array('{"format": 2}')),
            "has format 2; this version reads format 1",
        ),
        (lambda path: rewrite(path, **{"2.dense.bias": None}), "is not a charrnn model file, or is damaged"),
        (
            lambda path: rewrite(path, **{"2.dense.bias": np.zeros(7)}),
            "2.dense.bias has shape (7,); its layer needs (6,)",
        ),
        (lambda path: rewrite(path, **{"2.dense.kernel": np.zeros((6, 5))}), "has shape (6, 5); its layer needs (5,"),
        (
            lambda path: rewrite(path, **{"2.dense.bias": np.array([{}] * 6)}),
            "is not a charrnn model file, or is damaged",
        ),
    ],
)
def test_anything_else_is_refused_with_one_line(path, damage, message):
    damage(path)
    with pytest.raises(InputError) as error:
        load_model(path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert "\n" not in str(error.value)
