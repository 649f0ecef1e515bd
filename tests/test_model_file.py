"""The model file: an exact round trip, equal bytes for equal models, and one clear error for anything else."""

import io
import json
import pickle
import random
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.layers import GRU, LSTM, Dense, Embedding, SimpleRNN, TiedDense
from charrnn.model_file import LAYERS, ModelFile, load_model, save_model
from charrnn.models import Model, create_char_rnn_model
from charrnn.preprocessing import TextVectorizer
from charrnn.sampling import generate
from charrnn.storage.archive import MODEL_FORMAT, write_archive

GOLDEN = Path(__file__).with_name("golden") / "model_file.npz"
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
        GRU(5, 5, mogrifier=True),
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
    with pytest.raises(InputError, match="m.npz: the vocabulary has 6 characters; the layers do not fit it$"):
        load_model(tmp_path / "m.npz")


def test_equal_models_make_equal_files(path, tmp_path):
    save_model(tmp_path / "again.npz", contents())
    save_model(tmp_path / "other.npz", contents(seed=1))
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes() != (tmp_path / "other.npz").read_bytes()


def test_a_file_from_before_can_be_read_and_is_written_alike(tmp_path):
    """golden/model_file.npz was written before layers were classes derived from `charrnn.Layer`. A layer without
    parameters that models no longer may have, `LastStep`, was taken out of it."""
    loaded = load_model(GOLDEN)
    assert loaded.model.layers == (
        Embedding(6, 3, tied=True),
        SimpleRNN(3, 2, activation="relu"),
        GRU(2, 2, reset_after=True),
        GRU(2, 2),
        LSTM(2, 2),
        Dense(2, 3, "tanh"),
        TiedDense(3, 6),
    )
    np.testing.assert_array_equal(loaded.model.parameters, np.arange(147) / 64)
    np.testing.assert_allclose(
        loaded.model.predict(np.array([1, 2, 3, 4]))[-1],
        [0.1088568568, 0.1272664368, 0.1487894505, 0.1739523113, 0.2033707052, 0.2377642244],
        rtol=1e-5,
    )
    save_model(tmp_path / "again.npz", loaded)
    with zipfile.ZipFile(GOLDEN) as before, zipfile.ZipFile(tmp_path / "again.npz") as after:
        assert before.namelist() == after.namelist()
        assert all(before.read(name) == after.read(name) for name in before.namelist())


def test_numpy_alone_can_read_the_arrays_by_name(path):
    with np.load(path) as archive:
        assert archive["1.gru.recurrent_kernel"].shape == (3, 5, 5)


def rewrite(path, **changes):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})


def describe(path, **changes):
    with np.load(path) as archive:
        description = json.loads(archive["description"].item())
    rewrite(path, description=np.array(json.dumps(description | changes)))


def claim(path, shape):
    """Make an array in the file claim this shape, with a checksum that fits."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, header.getvalue() + bytes(24) if name == "2.dense.bias.npy" else content)


def add_foreign_name(path):
    """Add an array in another version of NumPy's format, whose name colours the terminal."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("\x1b[31m" * 99, np.lib.format.magic(2, 0))


def compress(path, method=zipfile.ZIP_DEFLATED):
    """Make a file of a few kilobytes hold a hundred megabytes of zeros, and claim that they are ten bytes."""
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr("zeros.npy", bytes(100_000_000))
        archive.getinfo("zeros.npy").file_size = 10


def head(path, header):
    """Give an array in the file this header in NumPy's format."""
    header = header.ljust(118).encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(24)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("2.dense.bias.npy", content)


EMBEDDING = {"class": "Embedding", "input_dim": 6, "output_dim": 3}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b""), "is not a charrnn file, or is damaged"),
        (lambda path: path.write_bytes(b"hello"), "is not a charrnn file, or is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is not a charrnn file, or is damaged"),
        (lambda path: np.savez(path, a=np.zeros(3)), "is not a charrnn file, or is damaged"),
        (lambda path: rewrite(path, description=np.array("{")), "is not a charrnn file, or is damaged"),
        (
            lambda path: rewrite(path, description=np.array('{"format": 2}')),
            ": the format is 2; this version reads format 1 or 3",
        ),
        (
            lambda path: rewrite(path, description=np.array(json.dumps({"format": "\x1b[31m" * 99}))),
            ": the format is \\x1b[31m\\x1b[31m",
        ),
        (lambda path: rewrite(path, description=np.array("[]")), "its description is not a mapping"),
        (lambda path: rewrite(path, **{"2.dense.bias": None}), ": there are 183 parameters; the layers need 189"),
        (lambda path: rewrite(path, **{"2.dense.bias": np.zeros(7)}), "there are 190 parameters; the layers need 189"),
        (
            lambda path: rewrite(path, **{"2.dense.kernel": np.zeros((6, 5), np.float32)}),
            "2.dense.kernel has dtype float32 and shape (6, 5); its layer needs float32 and (5, 6)",
        ),
        (
            lambda path: rewrite(path, **{"2.dense.bias": np.zeros(6)}),
            "2.dense.bias has dtype float64 and shape (6,); its layer needs float32 and (6,)",
        ),
        (
            lambda path: rewrite(path, **{"2.dense.bias": np.full(6, np.nan, np.float32)}),
            ": some parameters are not finite",
        ),
        (lambda path: rewrite(path, **{"2.dense.bias": np.array([{}] * 6)}), "2.dense.bias.npy holds objects"),
        (lambda path: describe(path, dtype="float16"), "the dtype is 'float16'; it must be one of float32, float64"),
        (lambda path: describe(path, vocabulary="\n aé漢\ud800"), "lone surrogate"),
        (lambda path: describe(path, vocabulary=list("\n aé漢🙂")), "is not a charrnn file, or is damaged"),
        (lambda path: describe(path, vocabulary="\n aé漢漢"), "vocabulary has a character twice"),
        (lambda path: describe(path, params=3), ": its params are 3; they must be a mapping"),
        (lambda path: describe(path, data=[["a", 1]]), ": its data are [['a', 1]]; they must be a mapping"),
        (lambda path: describe(path, dtype="\x1b[31m" * 999), "the dtype is '\\x1b[31m\\x1b[31m"),
        (lambda path: describe(path, layers=[{"class": "\x1b[31m" * 999}]), "unknown layer '\\x1b[31m\\x1b[31m"),
        (
            lambda path: describe(path, layers=[{"class": "Embedding", "input_dim": "\n" * 999, "output_dim": 3}]),
            ": Embedding: input_dim is '\\n\\n",
        ),
        (
            lambda path: describe(path, layers=[dict(EMBEDDING, initializer="zeros")]),
            ": Embedding: initializer is 'zeros'; a file can't store it",
        ),
        (
            lambda path: rewrite(path, **{"2.dense.bias": np.zeros(6, [("\x1b[31m" * 99, "<f4")])}),
            "2.dense.bias has dtype [('\\x1b[31m\\x1b[31m",
        ),
        (lambda path: describe(path, layers=[]), ": "),
        (lambda path: describe(path, layers=["GRU"]), "is not a charrnn file, or is damaged"),
        (
            lambda path: describe(path, layers=[{"class": "Transformer"}]),
            "unknown layer 'Transformer'; it must be one of Emb",
        ),
        (
            lambda path: describe(path, layers=[{"class": "Dense", "input_dim": 10**12, "output_dim": 10**12}]),
            "there are 189 parameters; the layers need 1000000000001000000000000",
        ),
        (
            lambda path: describe(path, layers=[{"class": "Dense", "input_dim": 10**999, "output_dim": 1}]),
            "there are 189 parameters; the layers need 1000",
        ),
        (lambda path: claim(path, (10**15,)), "2.dense.bias.npy does not have as many numbers as its shape says"),
        (add_foreign_name, "is not a charrnn file, or is damaged (the header of \\x1b[31m\\x1b[31m"),
        (compress, "it is compressed"),
        (lambda path: compress(path, zipfile.ZIP_BZIP2), "it is compressed"),
        (lambda path: compress(path, zipfile.ZIP_LZMA), "it is compressed"),
        *(
            (lambda path, header=header: head(path, header), "is not a charrnn file, or is damaged")
            for header in (
                "{'descr': " + 6000 * "-" + "1",
                "{'descr': '<f4', (",
                "{'descr': '<f4',\n  1\n 2",
                "\x00",
                "1 +",
                "{'descr': '<f4'}",
                "[",
            )
        ),
    ],
)
def test_anything_else_is_refused_in_one_line(path, damage, message):
    damage(path)
    with pytest.raises(InputError) as error:
        load_model(path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert str(error.value).isprintable() and len(str(error.value)) < len(str(path)) + 400


def mutated(content, rng):
    """Some bits flipped, bytes set, pieces cut out, doubled or exchanged, or the end cut off."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 5, 30])):
        kind, i, j = rng.randrange(6), rng.randrange(len(content)), rng.randrange(len(content))
        if kind <= 1:
            content[i] ^= 1 << rng.randrange(8)
        elif kind == 2:
            content[i] = rng.choice([0, 1, 127, 128, 255])
        elif kind == 3:
            content[i : i + 8] = rng.choice([bytes(8), b"\xff" * 8, content[j : j + 8]])
        elif kind == 4:
            del content[max(i, 100) : i + rng.randrange(1, 40)]
        elif rng.random() < 0.3:
            del content[max(i, 100) :]
        else:
            content[i:i] = content[j : j + 40]
    return bytes(content)


def test_fuzz(path, monkeypatch):
    """A damaged file is refused in one line, or read as it was where the damage does not matter. Neither takes much
    memory, and nothing in the file is ever unpickled."""
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, None)
    rng, original, expected, refused = random.Random(5), path.read_bytes(), load_model(path), 0
    tracemalloc.start()
    for _ in range(4000):
        path.write_bytes(mutated(original, rng))
        try:
            loaded = load_model(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert loaded.model.layers == expected.model.layers
            assert loaded.model.parameters.tobytes() == expected.model.parameters.tobytes()
            assert (loaded.vectorizer, loaded.params, loaded.data) == (VECTORIZER, PARAMS, expected.data)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    assert 2000 < refused < 4000


def test_fuzz_the_description(path):
    """The same for a description with arbitrary values, and a checksum that fits."""
    rng = random.Random(6)
    with np.load(path) as archive:
        description = json.loads(archive["description"].item())
    odd = [None, True, -1, 0, 1, 3, 10**30, 0.5, float("nan"), "", "GRU", [], [1], {}, [[[]]], "\ud800"]

    def spoiled(value):
        if isinstance(value, dict) and value and rng.random() < 0.8:
            key = rng.choice(list(value))
            return value | {key: spoiled(value[key])}
        if isinstance(value, list) and value and rng.random() < 0.8:
            i = rng.randrange(len(value))
            return [*value[:i], spoiled(value[i]), *value[i + 1 :]]
        return rng.choice(odd)

    refused = 0
    for _ in range(1000):
        key = rng.choice(list(description))
        describe(path, **{key: spoiled(description[key])})
        try:
            load_model(path)
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
        describe(path, **description)
    assert refused > 500


WIDTHS = {"Embedding": "output_dim", "Dense": "output_dim", "TiedDense": "output_dim", "LastStep": "dim"}
OPTIONS = {
    "Embedding": {"tied": [True]},
    "SimpleRNN": {"activation": ["relu", "softmax"]},
    "Dense": {"activation": ["sigmoid", "softmax"]},
    "GRU": {"reset_after": [True], "mogrifier": [True]},
    "LSTM": {"forget_bias": [0, 2.5]},
}


def random_layers(rng):
    """Descriptions of one to five layers of any kinds whose widths fit."""
    layers, width = [], 6
    for i in range(size := rng.randrange(1, 6)):
        name = "Embedding" if i == 0 and rng.random() < 0.7 else rng.choice([layer.__name__ for layer in LAYERS])
        output = 6 if i == size - 1 else rng.choice([1, 2, 3, 6])
        output = width if name == "LastStep" else output
        layer = {"class": name, WIDTHS.get(name, "hidden_dim"): output}
        if name != "LastStep":
            layer["input_dim"] = width
        options = OPTIONS.get(name, {})
        layers.append(layer | {key: rng.choice(values) for key, values in options.items() if rng.random() < 0.4})
        width = output
    return layers


def write_chain(path, descriptions, rng):
    """A model file with these layers, which is correct except perhaps for their order."""
    known, generator = {layer.__name__: layer for layer in LAYERS}, np.random.default_rng(rng.randrange(10**9))
    arrays = {}
    for i, described in enumerate(descriptions):
        layer = known[described["class"]](**{key: value for key, value in described.items() if key != "class"})
        for name, shape in layer.shapes().items():
            arrays[f"{i}.{described['class'].lower()}.{name}"] = generator.normal(size=shape).astype(np.float32)
    description = {"layers": descriptions, "dtype": "float32", "vocabulary": "\n aé漢🙂", "params": {}, "data": {}}
    write_archive(path, MODEL_FORMAT, description, arrays)


def test_fuzz_the_chain_of_layers(tmp_path):
    """A file with layers in any order is refused in one line, or its model can do everything that models do."""
    rng, path, refused, ids = random.Random(7), tmp_path / "model.npz", 0, VECTORIZER.encode("\n aé漢🙂" * 5)
    for _ in range(1500):
        write_chain(path, random_layers(rng), rng)
        try:
            model = load_model(path).model
        except InputError as error:
            refused += 1
            assert str(path) in str(error) and "\n" not in str(error)
            continue
        assert model.evaluate(ids)["characters"] == model.evaluate(ids, num_streams=2)["characters"] + 1 == len(ids) - 1
        assert model.predict(ids).shape == (len(ids), 6)
        assert len("".join(generate(model, VECTORIZER, "aé", 5, rng=np.random.default_rng(0)))) == 5
        settings = dict(window_size=7, stride=7, workers=1, targets=rng.choice(["every", "last"]))
        model.fit(ids, ids, rng=np.random.default_rng(0), num_epochs=1, **settings)
    assert 1000 < refused < 1450


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([EMBEDDING | {"output_dim": 6}, {"class": "Embedding", "input_dim": 6, "output_dim": 6}], "a later layer is"),
        ([{"class": "Dense", "input_dim": 6, "output_dim": 6}], "the first layer is Dense, which reads vectors"),
        ([EMBEDDING | {"output_dim": 6}, {"class": "LastStep", "dim": 6}], "the LastStep drops time steps"),
        (
            [EMBEDDING, {"class": "LastStep", "dim": 3}, {"class": "Dense", "input_dim": 3, "output_dim": 6}],
            "the LastStep drops time steps",
        ),
    ],
)
def test_a_chain_that_is_no_model_is_refused_when_it_is_read(layers, message, tmp_path):
    write_chain(tmp_path / "m.npz", layers, random.Random(0))
    with pytest.raises(InputError) as error:
        load_model(tmp_path / "m.npz")
    assert str(error.value).startswith(f"{tmp_path / 'm.npz'}: {message}")
