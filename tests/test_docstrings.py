"""The examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil
import string

import numpy as np
import pytest

import charrnn
from charrnn import ModelFile, TextVectorizer, create_char_rnn_model, save_model
from charrnn.inspection import read
from charrnn.interop.exporting import export_model
from charrnn.interop.packages import optional_package

PACKAGES = ("charrnn", "pages", "playground", "report", "stages", "tuning")
NEEDED = {  # packages, by the names of the examples
    "charrnn.interop.onnx_builder.Graph": "onnx",
    "charrnn.interop.exporting.export_model": "onnx",
    "charrnn.interop.importing.import_model": "torch",
}


def modules(package):
    """A package and all modules in it."""
    folders = importlib.import_module(package).__path__
    names = [module.name for module in pkgutil.walk_packages(folders, f"{package}.")]
    return [importlib.import_module(name) for name in (package, *names) if not name.endswith("__main__")]


def write_state_dict(path, vocabulary):
    """Write the weights of a PyTorch char-RNN with this vocabulary."""
    import torch

    vectorizer = TextVectorizer(vocabulary)
    model = create_char_rnn_model(len(vocabulary), np.random.default_rng(0), reset_after=True)
    export_model(ModelFile(model, vectorizer, {}, {}), "pytorch", "exported.pt")
    torch.save(torch.load("exported.pt", weights_only=True)["state_dict"], path)


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {test.name: test for package in PACKAGES for module in modules(package) for test in finder.find(module)}
    return [pytest.param(test, id=name) for name, test in found.items() if test.examples]


@pytest.fixture
def names(tmp_path, monkeypatch):
    """The names that examples use without defining them, and the files that they read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    vectorizer = TextVectorizer.fit(string.printable)
    rng = np.random.default_rng(0)
    model = create_char_rnn_model(vectorizer.vocabulary_size, rng)
    save_model("models/char_rnn.npz", ModelFile(model, vectorizer, {}, {}))
    ids = rng.integers(vectorizer.vocabulary_size, size=500)
    public = {name: getattr(charrnn, name) for name in charrnn.__all__}
    imported = {"np": np, "read": read, "export_model": export_model, "optional_package": optional_package}
    return {**public, **imported, "model": model, "vectorizer": vectorizer, "train_ids": ids, "test_ids": ids}


@pytest.mark.parametrize("test", examples())
def test_example_prints_what_it_says(test, names, monkeypatch):
    needed = NEEDED.get(test.name)
    if needed:
        pytest.importorskip(needed)
    if needed == "torch":
        write_state_dict("char_rnn.pt", "\n abc")
    test.globs = names | test.globs
    monkeypatch.setattr(doctest, "ELLIPSIS_MARKER", r"\u2026")  # "…", as doctest writes it before it compares
    printed = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(test, out=printed.append)
    assert printed == []
