"""ONNX: onnxruntime and charrnn compute the same, and only what charrnn wrote is read."""

import json
import re

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.interop import onnx_file as module
from charrnn.interop.exporting import export_model
from charrnn.interop.importing import import_model
from charrnn.interop.onnx_file import onnx_file
from charrnn.interop.onnx_graph import NODES
from charrnn.layers import Dense, Embedding, LastStep, SimpleRNN
from charrnn.model_file import LAYERS, save_model
from charrnn.sampling import generate
from tests.interop_models import ALL, DATA, PARAMS, TEXT, VECTORIZER, E, H, V, assert_same, calibrated, trained
from tests.networks import LeakyAverage
from tests.requirements_report import INSTALL_EXPORT
from tests.stage_project import ROOT

onnx = pytest.importorskip("onnx", reason=f"onnx is missing; {INSTALL_EXPORT}")
onnxruntime = pytest.importorskip("onnxruntime", reason=f"onnxruntime is missing; {INSTALL_EXPORT}")

each_network = pytest.mark.parametrize("layers", ALL.values(), ids=ALL)


def session(content):
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def run(session, ids, states):
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"ids": ids, **states})))


def assert_computes_the_same(contents, ids, rng):
    """From a random state: the same logits and final states as charrnn, to 1e-5."""
    model, B = contents.model, ids.shape[1]
    state = [
        {name: rng.normal(size=(B, width)).astype(np.float32) for name, width in layer.state_dims.items()}
        for layer in model.layers
    ]
    buffers = model.allocate(*ids.shape)
    logits = model.forward(ids, buffers, state)
    befores, afters = ([each for each in one if each] for one in (state, model.final_state(buffers)))
    given = {f"{name}{i}": h for i, before in enumerate(befores) for name, h in before.items()}
    expected = {f"{name}{i}_next": h for i, after in enumerate(afters) for name, h in after.items()}
    found = run(session(onnx_file(contents)), ids, given)
    assert found.keys() == {"logits", *expected}
    for name, array in {"logits": logits, **expected}.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5, err_msg=name)


@each_network
def test_onnxruntime_computes_the_same_from_random_ids_and_states(layers, rng):
    for T, B in ((1, 1), (13, 3)):
        assert_computes_the_same(trained(layers), rng.integers(0, V, (T, B)), rng)


@pytest.mark.parametrize("name", ["gru", "gru after", "mogrifier", "mogrifier after", "lstm", "tied and narrowed"])
def test_onnxruntime_computes_the_same_on_a_text(name, rng):
    ids = VECTORIZER.encode(TEXT).astype(np.int64).reshape(2, -1).T
    assert_computes_the_same(trained(ALL[name]), ids, rng)


def test_calibration_is_in_the_weights(rng):
    assert_computes_the_same(calibrated(), rng.integers(0, V, (20, 2)), rng)


def test_a_float64_model_is_written_and_comes_back_as_float32(rng, tmp_path):
    contents = trained(ALL["lstm"], dtype=np.float64)
    ids = rng.integers(0, V, (9, 2))
    found = session(onnx_file(contents)).run(
        ["logits"], {"ids": ids} | dict.fromkeys(("h0", "c0"), np.zeros((2, H), "f4"))
    )
    np.testing.assert_allclose(found[0], contents.model.forward(ids, contents.model.allocate(9, 2)), rtol=0, atol=1e-5)

    export_model(contents, "onnx", tmp_path / "m.onnx")
    read = import_model(tmp_path / "m.onnx").model
    np.testing.assert_array_equal(read.parameters, contents.model.parameters.astype(np.float32))
    assert read.dtype == np.float32


@each_network
def test_the_file_is_valid_and_names_its_inputs_and_outputs(layers):
    content = onnx_file(trained(layers))
    onnx.checker.check_model(content, full_check=True)
    assert content == onnx_file(trained(layers))
    opened = session(content)
    (ids, *states), (logits, *nexts) = opened.get_inputs(), opened.get_outputs()
    assert (ids.name, ids.shape, ids.type) == ("ids", ["time", "batch"], "tensor(int64)")
    assert (logits.name, logits.shape) == ("logits", ["time", "batch", V])
    assert [(f"{state.name}_next", state.shape) for state in states] == [(after.name, after.shape) for after in nexts]


def test_states_are_numbered_by_recurrent_layer():
    states = [(each.name, each.shape) for each in session(onnx_file(trained(ALL["stacked"]))).get_inputs()[1:]]
    assert states == [("h0", ["batch", H]), ("h1", ["batch", 7]), ("c1", ["batch", 7]), ("h2", ["batch", H])]
    states = [(each.name, each.shape[1]) for each in session(onnx_file(trained(ALL["stacked mogrifier"]))).get_inputs()]
    assert states[1:] == [("h0", 7), ("h1", H), ("h2", H), ("h3", 8), ("c3", 8), ("h4", H)]


def test_the_metadata_has_vocabulary_params_layers_and_data():
    found = session(onnx_file(trained(ALL["gru"]))).get_modelmeta().custom_metadata_map
    about = {name: json.loads(text) for name, text in found.items()}
    assert about["vocabulary"] == list(VECTORIZER.vocabulary)
    assert (about["params"], about["data"], about["dtype"]) == (PARAMS, DATA, "float32")
    assert about["layers"][1] == {"class": "GRU", "input_dim": E, "hidden_dim": H}
    found = session(onnx_file(trained(ALL["mogrifier"]))).get_modelmeta().custom_metadata_map
    assert json.loads(found["layers"])[1] == {"class": "GRU", "input_dim": E, "hidden_dim": H, "mogrifier": True}


@each_network
def test_a_round_trip_is_exact(tmp_path, layers):
    export_model(trained(layers), "onnx", tmp_path / "m.onnx")
    assert_same(import_model(tmp_path / "m.onnx"), trained(layers))


@pytest.mark.parametrize("name", ["stacked lstm", "stacked mogrifier"])
def test_the_loop_in_the_documentation_samples_what_charrnn_samples(tmp_path, monkeypatch, capsys, name):
    (loop,) = re.findall(
        r"```python\n(import json\nimport numpy.*?)```", (ROOT / "docs/export.md").read_text("utf-8"), re.DOTALL
    )
    assert ", 0.8, " in loop
    contents = trained(ALL[name])
    export_model(contents, "onnx", tmp_path / "models/char_rnn.onnx")
    monkeypatch.chdir(tmp_path)
    exec(loop.replace(", 0.8, ", ", 1e-6, "), {})
    rng = np.random.default_rng(0)
    expected = "".join(generate(contents.model, VECTORIZER, "ROMEO:", 200, rng=rng, temperature=0))
    assert capsys.readouterr().out == "ROMEO:" + expected + "\n"


def test_every_layer_that_a_stored_model_can_have_is_expressed():
    assert set(NODES) == set(LAYERS) - {LastStep}


def test_a_layer_of_ones_own_is_refused_by_name():
    contents = trained([Embedding(V, E), LeakyAverage(E), Dense(E, V)])
    with pytest.raises(
        InputError, match=r"^1\.leakyaverage is not a layer that ONNX can express; it must be one of Emb"
    ):
        onnx_file(contents)


def test_a_softmax_inside_a_recurrent_layer_is_refused():
    contents = trained([Embedding(V, E), SimpleRNN(E, H, activation="softmax"), Dense(H, V)])
    with pytest.raises(
        InputError, match=r"^1\.simplernn has the activation softmax, which ONNX does not have inside a"
    ):
        onnx_file(contents)


def test_a_model_that_is_too_large_is_refused_before_it_is_built(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1000)
    with pytest.raises(InputError, match=r"^the weights have [\d,]+ bytes, and an ONNX file can hold 1,000$"):
        onnx_file(trained(ALL["gru"]))


def refused(path):
    with pytest.raises(InputError) as error:
        import_model(path)
    message = str(error.value)
    assert "\n" not in message and message.startswith(str(path))
    return message.removeprefix(str(path))


def edited(path, edit):
    proto = onnx.load_model_from_string(onnx_file(trained(ALL["gru"])))
    edit(proto)
    path.write_bytes(proto.SerializeToString())
    return refused(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "m.onnx"
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in "xy")
    other = onnx.helper.make_model(onnx.helper.make_graph([node], "other", [x], [y]), producer_name="pytorch")
    onnx.helper.set_model_props(other, {"layers": "3"})
    path.write_bytes(other.SerializeToString())
    assert refused(path) == ": charrnn did not write this ONNX file; it can import only its own"
    path.write_bytes(b"")
    assert refused(path) == ": charrnn did not write this ONNX file; it can import only its own"
    path.write_bytes(onnx_file(trained(ALL["gru"]))[:1000])
    assert refused(path) == ": it is not an ONNX file, or is damaged"
    save_model(tmp_path / "m.npz", trained(ALL["gru"]))
    path.write_bytes((tmp_path / "m.npz").read_bytes())
    assert refused(path) == ": it is not an ONNX file, or is damaged"


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "m.onnx"

    def set_prop(name, value):
        def edit(proto):
            next(prop for prop in proto.metadata_props if prop.key == name).value = value

        return edit

    def drop(proto):
        proto.graph.initializer.pop()

    def elsewhere(proto):
        onnx.external_data_helper.set_external_data(proto.graph.initializer[0], "/etc/passwd")

    def cut(proto):
        proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[4:]

    assert ": there are 1486 parameters; the layers need 1547" in edited(path, drop)
    for edit in (cut, elsewhere, set_prop("layers", "1"), set_prop("layers", "{"), set_prop("params", "[")):
        assert " is damaged (" in edited(path, edit)
    assert "its vocabulary has 'ab' at position 0; it must be a single" in edited(
        path, set_prop("vocabulary", '["ab"]')
    )
    assert "its vocabulary has 'a' at positions 0 and 1" in edited(path, set_prop("vocabulary", '["a", "a"]'))
    assert "the vocabulary has 1 character; the layers do not fit" in edited(path, set_prop("vocabulary", '["a"]'))
    assert "unknown layer 'MinGRU'" in edited(path, set_prop("layers", '[{"class": "MinGRU"}]'))
    assert "its params are []; they must be a mapping" in edited(path, set_prop("params", "[]"))
