"""The names that `import charrnn` offers: each is imported when it is first used, and not before."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import charrnn

ROOT = Path(__file__).parents[1]


def in_a_new_process(program):
    """What a program prints, run in a Python that has imported nothing of ours yet."""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    return ended.stdout.split()


@pytest.mark.parametrize("name", charrnn.__all__)
def test_every_public_name_is_there(name):
    value = getattr(charrnn, name)
    assert value is getattr(sys.modules[charrnn.ORIGINS[name]], name)
    assert value.__name__ == name and value.__doc__
    assert value.__module__.startswith("charrnn.")


def test_type_checkers_see_the_same_names_in_the_same_modules():
    tree = ast.parse(Path(charrnn.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {alias.name: node.module for node in imports for alias in node.names} == charrnn.ORIGINS
    (names,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    assert sorted(ast.literal_eval(names)) == sorted(charrnn.__all__)


def test_the_names_that_the_documents_use_are_public():
    names = "GRU LSTM SimpleRNN Embedding Dense TiedDense Layer Model create_char_rnn_model gradient_check generate"
    names += " ModelConfig TrainingConfig SamplingConfig InputError TextVectorizer load_model save_model Callback"
    names += " SGD Adagrad Adam Nadam RMSprop evaluate"
    assert set(names.split()) <= set(charrnn.__all__) <= set(dir(charrnn))
    assert len(charrnn.__all__) == len(set(charrnn.__all__))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="^module 'charrnn' has no attribute 'Transformer'$"):
        _ = charrnn.Transformer
    with pytest.raises(ImportError, match="Transformer"):
        from charrnn import Transformer  # noqa: F401


def test_no_public_name_is_that_of_a_module():
    """Importing the module would put it in the place of what it defines."""
    modules = {path.stem for path in (ROOT / "charrnn").iterdir()}
    assert not modules & set(charrnn.__all__)


def test_importing_the_package_alone_imports_no_module_that_takes_time():
    imported = in_a_new_process("import sys, charrnn; print(*sys.modules)")
    assert "charrnn" in imported
    assert not [name for name in imported if name.startswith("charrnn.")]
    assert not {"numpy", "requests", "dvc", "yaml", "tqdm", "threadpoolctl"} & set(imported)


def test_a_model_can_be_made_trained_and_sampled_from_without_what_only_the_pipeline_needs():
    program = (
        "import sys, numpy as np; from charrnn import GRU, Dense, Embedding, Model, Nadam, TrainingConfig, generate; "
        "rng = np.random.default_rng(0); model = Model([Embedding(3, 2), GRU(2, 4), Dense(4, 3)], rng); "
        "ids = np.tile(np.arange(3), 40); "
        "model.fit(ids, ids, rng=rng, optimizer=Nadam(), num_epochs=1, workers=1); print(*sys.modules)"
    )
    imported = in_a_new_process(program)
    assert "charrnn.training" in imported
    assert not {"requests", "dvc", "yaml", "tqdm"} & set(imported)


def test_a_star_import_offers_exactly_the_public_names():
    offered = in_a_new_process("before = set(globals()); from charrnn import *; print(*(set(globals()) - before))")
    assert set(offered) - {"before"} == set(charrnn.__all__)


def test_a_name_stays_what_it_is_whatever_is_imported_afterwards():
    program = (
        "import charrnn, importlib, pkgutil; first = {name: getattr(charrnn, name) for name in charrnn.__all__}; "
        "[importlib.import_module(m.name) for m in pkgutil.walk_packages(charrnn.__path__, 'charrnn.') "
        "if not m.name.endswith('worker_main')]; "
        "print(*(name for name, value in first.items() if getattr(charrnn, name) is not value))"
    )
    assert in_a_new_process(program) == []
