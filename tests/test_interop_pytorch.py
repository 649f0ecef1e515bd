"""PyTorch: the state dict means what PyTorch's documentation says, and torch computes the same from it."""

import importlib.util
import runpy
import subprocess
import sys

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.interop.exporting import export_model
from charrnn.interop.importing import import_model
from charrnn.interop.inferred import infer
from charrnn.interop.pytorch_file import pytorch_file
from charrnn.interop.state_dict import from_state_dict, to_state_dict
from charrnn.layers import GRU, LSTM, Dense, Embedding, SimpleRNN
from charrnn.model_file import save_model
from charrnn.models import Model
from tests.interop_models import (
    AS_IN_PYTORCH,
    STEPS,
    TEXT,
    VECTORIZER,
    E,
    H,
    V,
    assert_same,
    read_by_pytorchs_equations,
    trained,
)
from tests.networks import LeakyAverage
from tests.requirements_report import INSTALL_PYTORCH
from tests.stage_project import ENVIRONMENT, ROOT, call

each_network = pytest.mark.parametrize("name", AS_IN_PYTORCH)
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason=f"torch is missing; {INSTALL_PYTORCH}"
)
CELL = {"GRU": "gru", "LSTM": "lstm", "SimpleRNN": "rnn"}


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(ROOT / "examples/pytorch_module.py"))


def logits_of(model, ids):
    return model.forward(ids[:, None], model.allocate(len(ids), 1))[:, 0]


@each_network
def test_the_state_dict_means_what_pytorch_says(name):
    contents = trained(AS_IN_PYTORCH[name])
    step = STEPS[name if name == "relu" else CELL[type(contents.model.layers[1]).__name__]]
    ids = VECTORIZER.encode(TEXT[:60])
    expected = read_by_pytorchs_equations(to_state_dict(contents.model), step, ids)
    np.testing.assert_allclose(logits_of(contents.model, ids), expected, rtol=0, atol=1e-5)


@each_network
def test_the_parameters_come_back_exactly(name):
    model = trained(AS_IN_PYTORCH[name]).model
    parameters = from_state_dict(model.layers, to_state_dict(model))
    assert list(parameters) == [key for key, _ in model.named_parameters()]
    for key, view in model.named_parameters():
        np.testing.assert_array_equal(parameters[key], view)


def test_two_biases_become_one_where_they_can(rng):
    """All of PyTorch's second biases count, and in the candidate of a GRU the second one stays apart."""
    for name in ("gru after", "lstm", "rnn"):
        arrays = to_state_dict(trained(AS_IN_PYTORCH[name]).model)
        arrays["rnn.bias_hh_l0"] = rng.normal(size=arrays["rnn.bias_hh_l0"].shape).astype(np.float32)
        layers, parameters = infer(arrays)
        model = Model(layers, rng)
        for key, view in model.named_parameters():
            view[...] = parameters[key]
        ids = VECTORIZER.encode(TEXT[:40])
        expected = read_by_pytorchs_equations(arrays, STEPS[CELL[type(layers[1]).__name__]], ids)
        np.testing.assert_allclose(logits_of(model, ids), expected, rtol=0, atol=1e-5, err_msg=name)


OTHER_FORMATS = "; use ONNX or safetensors"
NO_MOGRIFIER = f" nn.GRU does not have{OTHER_FORMATS}"
NOT_IN_PYTORCH = [
    ([Embedding(V, E), GRU(E, H), Dense(H, V)], "nn.GRU is the one with reset_after true; use ONNX, which has both"),
    ([Embedding(V, E), GRU(E, H, True, True), Dense(H, V)], f"has mogrifier true, which PyTorch's{NO_MOGRIFIER}"),
    ([Embedding(V, E), GRU(E, H, mogrifier=True), Dense(H, V)], f"mogrifier true, which PyTorch's{NO_MOGRIFIER}"),
    ([Embedding(V, E), GRU(E, H, True), GRU(H, H, True, True), Dense(H, V)], f"which PyTorch's{NO_MOGRIFIER}"),
    ([Embedding(V, E), GRU(E, 7, True), GRU(7, H, True), Dense(H, V)], f"of one kind and width{OTHER_FORMATS}"),
    ([Embedding(V, E), GRU(E, H, True), LSTM(H, H), Dense(H, V)], f"of one kind and width{OTHER_FORMATS}"),
    ([Embedding(V, E), SimpleRNN(E, H), SimpleRNN(H, H, "relu"), Dense(H, V)], f"kind and width{OTHER_FORMATS}"),
    ([Embedding(V, E), SimpleRNN(E, H, "sigmoid"), Dense(H, V)], "the activation sigmoid; PyTorch's nn.RNN has tanh"),
    ([Embedding(V, E), LSTM(E, H), Dense(H, E, "tanh"), Dense(E, V)], "the Dense has the activation tanh; for PyTor"),
    ([Embedding(V, E), Dense(E, V)], "the layers are Embedding, Dense; for PyTorch they must be"),
    ([Embedding(V, E), Dense(E, E), LSTM(E, H), Dense(H, V)], "the layers are Embedding, Dense, LSTM, Dense; for Py"),
    ([Embedding(V, E), LeakyAverage(E), Dense(E, V)], "the layers are Embedding, LeakyAverage, Dense; for PyTorch"),
]


@pytest.mark.parametrize(("layers", "message"), NOT_IN_PYTORCH, ids=[message[:20] for _, message in NOT_IN_PYTORCH])
def test_layers_that_pytorch_does_not_have_are_refused_by_name(layers, message):
    with pytest.raises(InputError) as error:
        pytorch_file(trained(layers))
    assert message in str(error.value) and "\n" not in str(error.value)


@needs_torch
@each_network
def test_torch_computes_the_same(tmp_path, example, name):
    import torch

    contents, path = trained(AS_IN_PYTORCH[name]), tmp_path / "m.pt"
    export_model(contents, "pytorch", path)
    module, vocabulary = example["load"](path)
    assert vocabulary == list(VECTORIZER.vocabulary)
    ids = VECTORIZER.encode(TEXT[:1000]).astype(np.int64).reshape(2, -1).T
    with torch.no_grad():
        logits, state = module(torch.tensor(ids[:200]))
        more, _ = module(torch.tensor(ids[200:]), state)
    expected = contents.model.forward(ids, contents.model.allocate(*ids.shape))
    np.testing.assert_allclose(np.concatenate([logits, more]), expected, rtol=0, atol=1e-5)


@needs_torch
@each_network
def test_a_round_trip_is_exact(tmp_path, name):
    export_model(trained(AS_IN_PYTORCH[name]), "pytorch", tmp_path / "m.pt")
    assert_same(import_model(tmp_path / "m.pt"), trained(AS_IN_PYTORCH[name]))


@needs_torch
def test_a_float64_model_stays_one(tmp_path):
    contents = trained(AS_IN_PYTORCH["lstm"], dtype=np.float64)
    export_model(contents, "pytorch", tmp_path / "m.pt")
    assert_same(import_model(tmp_path / "m.pt"), contents)


@needs_torch
@each_network
def test_the_state_dict_of_the_example_comes_back_with_a_vocabulary(tmp_path, example, name):
    """As after training it further in PyTorch, where the file says nothing of the layers."""
    import torch

    contents = trained(AS_IN_PYTORCH[name])
    export_model(contents, "pytorch", tmp_path / "m.pt")
    module, vocabulary = example["load"](tmp_path / "m.pt")
    torch.save(module.state_dict(), tmp_path / "further.pth")
    nonlinearity = "relu" if name == "relu" else None
    read = import_model(tmp_path / "further.pth", "".join(vocabulary), nonlinearity)
    assert read.model.layers == contents.model.layers
    np.testing.assert_array_equal(read.model.parameters, contents.model.parameters)


@needs_torch
def test_the_example_prints_the_loss_that_evaluate_prints(tmp_path):
    save_model(tmp_path / "m.npz", trained(AS_IN_PYTORCH["tied and narrowed"]))
    (tmp_path / "text.txt").write_text(TEXT[:500] + "\u4e00" + TEXT[500:1000], encoding="utf-8")
    export_model(trained(AS_IN_PYTORCH["tied and narrowed"]), "pytorch", tmp_path / "m.pt")
    program = [sys.executable, ROOT / "examples/pytorch_module.py", "m.pt", "text.txt"]
    ended = subprocess.run(program, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, encoding="utf-8", check=True)
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    evaluated = call(tmp_path, "evaluate", "--text", "text.txt", "--weights-path", "m.npz").stdout
    loss = ended.stdout.removesuffix(" nats per character\n")
    assert loss.startswith("loss ") and f"{loss} nats per character (" in evaluated
