"""Import: char-RNNs of PyTorch, whatever their modules are called; safetensors; vocabularies; all else is refused."""

import importlib.util
import json
import pickle
from random import Random

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.interop.exporting import FORMATS, export_model
from charrnn.interop.importing import import_model
from charrnn.interop.inferred import infer
from charrnn.interop.state_dict import to_state_dict
from charrnn.interop.vocabulary import read_vocabulary
from charrnn.layers import GRU, LSTM, Dense, Embedding, SimpleRNN
from charrnn.model_file import load_model, save_model
from tests.interop_models import ALL, AS_IN_PYTORCH, VECTORIZER, E, H, V, assert_same, trained
from tests.requirements_report import INSTALL_EXPORT, INSTALL_PYTORCH

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason=f"torch is missing; {INSTALL_PYTORCH}"
)
needs_onnx = pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason=f"onnx is missing; {INSTALL_EXPORT}")
needs_safetensors = pytest.mark.skipif(
    importlib.util.find_spec("safetensors") is None, reason=f"safetensors is missing; {INSTALL_EXPORT}"
)


def renamed(arrays, **modules):
    """A state dict with other names for its modules."""
    return {f"{modules[name.partition('.')[0]]}{name.partition('.')[2]}": array for name, array in arrays.items()}


def arrays_of(name):
    return to_state_dict(trained(AS_IN_PYTORCH[name]).model)


def assert_parameters(name, inferred):
    model, (layers, parameters) = trained(AS_IN_PYTORCH[name]).model, inferred
    assert tuple(layers) == model.layers
    for key, view in model.named_parameters():
        np.testing.assert_array_equal(parameters[key], view, err_msg=key)


@pytest.mark.parametrize("name", ["gru after", "lstm", "rnn", "stacked gru", "stacked lstm"])
@pytest.mark.parametrize(
    "modules",
    [
        dict(embedding="encoder.", rnn="lstm.", output="decoder."),
        dict(embedding="module.net.emb.", rnn="module.net.rnn.", output="module.head.fc."),
        dict(embedding="a.", rnn="", output="b."),
        dict(embedding="embedding.", rnn="rnn.", output="projection."),
    ],
    ids=str,
)
def test_modules_may_have_any_names_and_stand_in_any_order(name, modules):
    arrays = renamed(arrays_of(name), **modules)
    assert_parameters(name, infer(arrays))
    assert_parameters(name, infer(dict(sorted(arrays.items()))))
    assert_parameters(name, infer(dict(reversed(arrays.items()))))


def test_the_nonlinearity_is_given_because_no_file_says_it():
    assert_parameters("relu", infer(arrays_of("relu"), "relu"))
    assert infer(arrays_of("relu"))[0][1] == SimpleRNN(E, H)
    with pytest.raises(InputError, match=r"^nonlinearity is 'relu', but the file has no nn.RNN, which alone has one$"):
        infer(arrays_of("lstm"), "relu")


def test_missing_biases_are_zeros():
    arrays = {name: array for name, array in arrays_of("lstm").items() if "bias" not in name}
    layers, parameters = infer(arrays)
    assert layers == [Embedding(V, E), LSTM(E, H), Dense(H, V)]
    assert not parameters["1.lstm.bias"].any() and not parameters["2.dense.bias"].any()
    np.testing.assert_array_equal(parameters["2.dense.kernel"], arrays["output.weight"].T)


def test_one_hot_vectors_become_an_embedding_that_is_the_identity(rng):
    arrays = to_state_dict(trained([Embedding(V, V), LSTM(V, H), Dense(H, V)]).model)
    del arrays["embedding.weight"]
    layers, parameters = infer(arrays)
    assert layers == [Embedding(V, V), LSTM(V, H), Dense(H, V)]
    np.testing.assert_array_equal(parameters["0.embedding.table"], np.eye(V))


def without_bias_and_as_wide(**modules):
    arrays = to_state_dict(trained([Embedding(V, H), GRU(H, H, True), Dense(H, V)]).model)
    del arrays["output.bias"]
    return renamed(arrays, **modules)


def test_an_embedding_is_told_from_an_output_of_the_same_shape_because_it_has_no_bias():
    arrays = to_state_dict(trained([Embedding(V, H), LSTM(H, H), Dense(H, V)]).model)
    for modules in (dict(embedding="a.", rnn="r.", output="b."), dict(embedding="b.", rnn="r.", output="a.")):
        _, parameters = infer(dict(sorted(renamed(arrays, **modules).items())))
        np.testing.assert_array_equal(parameters["0.embedding.table"], arrays["embedding.weight"])


def test_an_embedding_is_told_from_an_output_of_the_same_shape_by_its_name_alone():
    for modules in (
        dict(embedding="encoder.", rnn="rnn.", output="decoder."),
        dict(embedding="z_emb.", rnn="r.", output="a_fc."),
    ):
        arrays = without_bias_and_as_wide(**modules)
        _, parameters = infer(arrays)
        np.testing.assert_array_equal(parameters["0.embedding.table"], arrays[modules["embedding"] + "weight"])
    with pytest.raises(
        InputError, match=r"^the embedding may be a.weight or b.weight; give it a name with 'embedding'"
    ):
        infer(without_bias_and_as_wide(embedding="a.", rnn="r.", output="b."))


def changed(name="lstm", **replaced):
    """The state dict of a network, with some arrays replaced, added, or (None) left out."""
    arrays = arrays_of(name) | {key.replace("__", "."): array for key, array in replaced.items()}
    return {key: array for key, array in arrays.items() if array is not None}


def without(name, *modules):
    return {key: array for key, array in arrays_of(name).items() if key.partition(".")[0] not in modules}


def zeros(*shape, dtype=np.float32):
    return np.zeros(shape, dtype)


TWO = arrays_of("lstm") | renamed(arrays_of("rnn"), embedding="e.", rnn="r2.", output="o.")
REFUSED = [
    ({}, "it must have one nn.GRU, nn.LSTM or nn.RNN, but it has none among its modules: "),
    ({"w.weight": zeros(2, 3)}, "it must have one nn.GRU, nn.LSTM or nn.RNN, but it has none among its modules: '"),
    (TWO, "but it has 2 among its modules: 'embedding', 'rnn', 'output', 'e', 'r2', 'o'"),
    (changed(rnn__weight_ih_l0_reverse=zeros(4 * H, E)), "it has rnn.weight_ih_l0_reverse; charrnn has neither bidi"),
    (changed(rnn__weight_hr_l0=zeros(3, H)), "it has rnn.weight_hr_l0; charrnn has neither bidirectional layers nor"),
    (changed(rnn__weight_hh_l0=zeros(2 * H, H)), f"have the shapes ({4 * H}, {E}) and ({2 * H}, {H}), as in no nn.GRU"),
    (changed(rnn__weight_hh_l0=None), f"weight_hh_l0 have the shapes ({4 * H}, {E}) and (0,), as in no nn.GRU"),
    (changed(rnn__weight_ih_l0=zeros(4 * H + 1, E)), f"has shape ({4 * H + 1}, {E}); its shape must be ({4 * H}, {E})"),
    (changed("stacked lstm", rnn__weight_ih_l1=None), f"rnn.weight_ih_l1 is missing; its shape must be ({4 * H}, {H})"),
    (changed(rnn__bias_hh_l0=zeros(3)), f"rnn.bias_hh_l0 has shape (3,); its shape must be ({4 * H},)"),
    (changed(output__bias=zeros(V - 1)), f"output.bias has shape ({V - 1},); its shape must be ({V},)"),
    (changed(output__weight=zeros(V - 1, H)), f"(V, {E}) and an nn.Linear (V, {H}), but it has embedding.weight ({V}"),
    (without("lstm", "embedding", "output"), f"nn.Linear (V, {H}), but it has nothing"),
    (without("lstm", "embedding"), f"nn.Linear (V, {H}), but it has output.weight ({V}, {H})"),
    (without("lstm", "output") | {"output.bias": zeros(V)}, f"embedding.weight ({V}, {E}), output.weight (0,)"),
    (changed(output__weight=None), f"an nn.Embedding (V, {E}) and an nn.Linear (V, {H}), but it has embedding.weight"),
    (changed(fc__weight=zeros(H, H), fc__bias=zeros(H)), f"output.weight ({V}, {H}), fc.weight ({H}, {H})"),
    (changed(norm__running_mean=zeros(H)), "norm.running_mean belongs to no nn.Embedding, nn.GRU, nn.LSTM, nn.RNN or"),
    (changed(embedding__weight=zeros(V, E, dtype=np.int64)), "embedding.weight belongs to no nn.Embedding, nn.GRU, nn"),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "message"), REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_other_networks_are_refused_by_name(arrays, message):
    with pytest.raises(InputError) as error:
        infer(arrays)
    assert message in str(error.value) and "\n" not in str(error.value)


@needs_safetensors
@pytest.mark.parametrize("layers", ALL.values(), ids=ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_round_trip_through_safetensors_is_exact(tmp_path, layers, dtype):
    contents, path = trained(layers, dtype=dtype), tmp_path / "m.safetensors"
    export_model(contents, "safetensors", path)
    assert_same(import_model(path), contents)
    content = path.read_bytes()
    export_model(import_model(path), "safetensors", path)
    assert path.read_bytes() == content


@needs_safetensors
def test_a_round_trip_gives_the_same_model_file(tmp_path):
    save_model(tmp_path / "a.npz", trained(ALL["stacked"]))
    export_model(load_model(tmp_path / "a.npz"), "safetensors", tmp_path / "a.safetensors")
    save_model(tmp_path / "b.npz", import_model(tmp_path / "a.safetensors"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@needs_safetensors
def test_safetensors_has_the_arrays_and_a_description(tmp_path):
    from safetensors import safe_open

    contents = trained(ALL["gru"])
    export_model(contents, "safetensors", tmp_path / "m.safetensors")
    with safe_open(tmp_path / "m.safetensors", framework="numpy") as file:
        about = json.loads(file.metadata()["charrnn"])
        for name, view in contents.model.named_parameters():
            np.testing.assert_array_equal(file.get_tensor(name), view)
    assert about["vocabulary"] == list(VECTORIZER.vocabulary)
    assert [layer["class"] for layer in about["layers"]] == ["Embedding", "GRU", "Dense"]


@needs_safetensors
def test_a_state_dict_in_safetensors_is_imported(tmp_path):
    from safetensors.numpy import save_file

    arrays = renamed(arrays_of("lstm"), embedding="emb.", rnn="rnn.", output="fc.")
    for dtype in (np.float32, np.float16, np.float64):
        save_file({name: np.ascontiguousarray(a, dtype) for name, a in arrays.items()}, tmp_path / "m.safetensors")
        read = import_model(tmp_path / "m.safetensors", VECTORIZER.vocabulary)
        assert read.model.dtype == (np.float64 if dtype == np.float64 else np.float32)
        expected = arrays["fc.weight"].astype(dtype).T
        np.testing.assert_array_equal(read.model.p[-1].kernel, expected)
    assert (read.vectorizer, read.params, read.data) == (VECTORIZER, {}, {})


def refused(path, *args):
    with pytest.raises(InputError) as error:
        import_model(path, *args)
    message = str(error.value)
    assert "\n" not in message and message.startswith(str(path))
    return message.removeprefix(str(path))


@needs_safetensors
def test_other_safetensors_files_are_refused(tmp_path):
    from safetensors.numpy import save, save_file

    path = tmp_path / "m.safetensors"
    path.write_bytes(b"something else")
    assert refused(path).startswith(": it is not a safetensors file, or is damaged (")
    save_file(arrays_of("lstm"), path)
    assert refused(path) == ": it has no vocabulary; give one with --vocabulary"
    assert refused(path, "abc") == f": it knows {V} characters, but the vocabulary has 3 characters"
    assert refused(path, "aa" + VECTORIZER.vocabulary[2:]).startswith(": its vocabulary has 'a' at positions 0 and 1")
    path.write_bytes(save(arrays_of("lstm"), {"charrnn": "{"}))
    assert refused(path).startswith(" is damaged (")
    save_file(changed(output__bias=np.full(V, np.nan, np.float32)), path)
    assert refused(path, VECTORIZER.vocabulary) == ": some parameters are not finite"
    save_file({"q": np.zeros(3, np.uint8)}, path)
    assert refused(path) == ": q has dtype U8; it must be one of F16, F32, F64"
    export_model(trained(ALL["gru"]), "safetensors", path)
    assert refused(path, "abc") == ": charrnn wrote this file, so its vocabulary is known and can't be given"
    assert refused(path, None, "relu") == ": charrnn wrote this file, so its nonlinearity is known and can't be given"


@needs_torch
@pytest.mark.parametrize("key", [None, "state_dict", "model"])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_state_dict_may_be_inside_a_checkpoint(tmp_path, key, legacy):
    import torch

    class CharRNN(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.gru = torch.nn.Embedding(V, E), torch.nn.GRU(E, H, num_layers=2)
            self.decoder = torch.nn.Linear(H, V)

    torch.manual_seed(0)
    module = CharRNN()
    optimizer = torch.optim.Adam(module.parameters())
    module.decoder(module.gru(module.encoder(torch.zeros(3, 1, dtype=torch.int64)))[0]).sum().backward()
    optimizer.step()
    checkpoint = {key: module.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    saved = module.state_dict() if key is None else checkpoint
    torch.save(saved, tmp_path / "m.pt", _use_new_zipfile_serialization=not legacy)
    read = import_model(tmp_path / "m.pt", VECTORIZER.vocabulary)
    ids = np.arange(20) % V
    with torch.no_grad():
        expected = module.decoder(module.gru(module.encoder(torch.tensor(ids)[:, None]))[0])
    found = read.model.forward(ids[:, None], read.model.allocate(20, 1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@needs_torch
def test_half_precision_becomes_float32(tmp_path):
    import torch

    arrays = arrays_of("gru after")
    for dtype in (torch.bfloat16, torch.float16):
        tensors = {name: torch.tensor(array).to(dtype) for name, array in arrays.items()}
        torch.save(tensors, tmp_path / "m.pt")
        read = import_model(tmp_path / "m.pt", VECTORIZER.vocabulary)
        np.testing.assert_array_equal(read.model.p[0].table, tensors["embedding.weight"].float().numpy())
        assert read.model.dtype == np.float32


class Touch:
    """A pickle that would create a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@needs_torch
def test_no_code_from_a_file_is_run_and_other_files_are_refused(tmp_path):
    import torch

    path, touched = tmp_path / "m.pt", tmp_path / "touched"
    unsafe = ": it is damaged, or holds more than the tensors of a state dict, which is not loaded because it could run"
    path.write_bytes(pickle.dumps(Touch(touched)))
    assert refused(path).startswith(unsafe)
    torch.save({"state_dict": Touch(touched)}, path)
    assert refused(path).startswith(unsafe)
    assert not touched.exists()
    torch.save(torch.nn.GRU(2, 3), path)  # the module itself, not its state dict
    assert refused(path).startswith(unsafe)
    for content in (b"", b"a text", pickle.dumps({"a": 1}), path.read_bytes()[:200]):
        path.write_bytes(content)
        assert refused(path).startswith(unsafe)
    save_model(tmp_path / "m.npz", trained(ALL["gru"]))
    path.write_bytes((tmp_path / "m.npz").read_bytes())
    assert refused(path).startswith(unsafe)


@needs_torch
def test_pickles_that_are_no_state_dict_are_refused(tmp_path):
    import torch

    path, tensors = tmp_path / "m.pt", {"a": torch.zeros(2)}
    none = ": it has no state dict, a mapping from names to tensors, in "
    for value, message in (
        ([1, 2], none + "'list'; it must have one"),
        ({"epoch": 3}, none + "'dict'; it must have one"),
        ({1: torch.zeros(2)}, none + "'dict'; it must have one"),
        ({"model": tensors, "average": tensors}, ": it has 2 state dicts in 'dict'; it must have one"),
        (tensors, ": it has no vocabulary; give one with --vocabulary"),
        ({"w": torch.zeros(2, 2).to_sparse()}, ": w is not an array of numbers: "),
    ):
        torch.save(value, path)
        assert refused(path).startswith(message)
    export_model(trained(AS_IN_PYTORCH["tied"]), "pytorch", path)
    ours = torch.load(path, weights_only=True)
    embedding, gru, output = ours["layers"]
    for edit, message in (
        ({"layers": 3}, " is damaged ("),
        ({"layers": [{"class": "Attention"}]}, ": unknown layer 'Attention'"),
        ({"layers": [embedding, gru | {"mogrifier": True}, output]}, ": the GRU has mogrifier true, which PyTorch"),
        ({"vocabulary": ["a"]}, ": the vocabulary has 1 character; the layers do not fit it"),
        ({"params": {"x": torch.zeros(2)}}, " is damaged ("),
        ({"state_dict": ours["state_dict"] | {"extra": torch.zeros(2)}}, ": it has extra, which does not belong"),
        ({"state_dict": ours["state_dict"] | {"output.weight": torch.zeros(V, H)}}, ": output.weight and embedding.we"),
    ):
        torch.save(ours | edit, path)
        assert refused(path).startswith(message)


@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        pytest.param(".onnx", "stacked lstm", marks=needs_onnx),
        pytest.param(".onnx", "stacked mogrifier", marks=needs_onnx),
        pytest.param(".pt", "stacked lstm", marks=needs_torch),
        pytest.param(".safetensors", "stacked lstm", marks=needs_safetensors),
    ],
)
def test_a_damaged_file_is_read_or_refused_with_one_line(tmp_path, suffix, name):
    random, path = Random(0), tmp_path / f"m{suffix}"
    (format,) = (name for name in FORMATS if FORMATS[name].suffix == suffix)
    export_model(trained(ALL[name]), format, path)
    content, places = path.read_bytes(), [*range(3000), *range(-2500, 0)]  # the weights are in between
    for _ in range(60):
        damaged = bytearray(content)
        for place in random.sample(places, 3):
            damaged[place] = random.randrange(256)
        path.write_bytes(damaged[: random.choice([len(damaged), random.randrange(len(damaged))])])
        try:
            assert np.isfinite(import_model(path).model.parameters).all()
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_a_suffix_says_what_a_file_is(tmp_path):
    save_model(tmp_path / "m.npz", trained(ALL["gru"]))
    allowed = ": the name of a file to import must end in one of .onnx, .safetensors, .pt, .pth, .bin, .ckpt"
    assert refused(tmp_path / "m.npz") == allowed
    assert refused(tmp_path / "m") == allowed
    with pytest.raises(InputError, match=r"^nonlinearity is 'sigmoid'; it must be tanh or relu$"):
        import_model("m.pt", None, "sigmoid")
    for name, format in FORMATS.items():
        with pytest.raises(
            InputError, match=rf"m.npz' can't be the name of this file; it must end in {format.suffix}$"
        ):
            export_model(trained(ALL["gru"]), name, tmp_path / "m.npz")
    with pytest.raises(InputError, match=r"^format is 'tflite'; it must be one of onnx, pytorch, safetensors$"):
        export_model(trained(ALL["gru"]), "tflite", "m.tflite")


VOCABULARIES = [
    ("v.json", '["b", "a", "\\n"]', "ba\n"),
    ("v.json", '"ba\\n"', "ba\n"),
    ("v.JSON", '{"a": 1, "\\n": 2, "b": 0}', "ba\n"),
    ("vocabulary.json", '{"vocabulary": "ba\\n", "sha256": "0"}', "ba\n"),
    ("v.json", '["\\ud83d\\ude42", "é"]', "🙂é"),
    ("v.txt", "ba\n", "ba\n"),
    ("v.txt", '["a]', '["a]'),
]


@pytest.mark.parametrize(("name", "content", "vocabulary"), VOCABULARIES)
def test_a_vocabulary_is_a_json_or_a_text(tmp_path, name, content, vocabulary):
    (tmp_path / name).write_bytes(content.encode())
    assert read_vocabulary(tmp_path / name) == vocabulary


NO_VOCABULARIES = [
    ("v.json", b"[", "v.json is not JSON: "),
    ("v.json", b"[" * 100_000, "v.json is not JSON: "),
    ("v.json", b"3", "v.json is 3; it must be a list of characters, or a text of them"),
    ("v.json", b"[]", "vocabulary is empty; it must have at least one character"),
    ("v.json", b"{}", "vocabulary is empty; it must have at least one character"),
    ("v.json", b'["a", "<unk>"]', "v.json has '<unk>' at position 1; it must be a single character"),
    ("v.json", b'["a", 5]', "v.json has 5 at position 1; it must be a single character"),
    ("v.json", b'["a", "b", "a"]', "v.json has 'a' at positions 0 and 2; each character may occur only once"),
    ("v.json", b'["a", "\\ud800"]', "text has a lone surrogate '\\ud800' at position 1; only characters are allowed"),
    ("v.json", b'{"a": 0, "b": 2}', "v.json is a mapping, but not from characters to the ids 0 to 1"),
    ("v.json", b'{"0": "a"}', "v.json is a mapping, but not from characters to the ids 0 to 0"),
    ("v.json", b'{"a": true, "b": 0}', "v.json is a mapping, but not from characters to the ids 0 to 1"),
    ("v.json", b'{"vocabulary": 1}', "v.json is 1; it must be a list of characters, or a text of them"),
    ("v.txt", b"aba", "v.txt has 'a' at positions 0 and 2; each character may occur only once"),
    ("v.txt", b"\xff", "v.txt is not UTF-8: "),
]


@pytest.mark.parametrize(("name", "content", "message"), NO_VOCABULARIES)
def test_what_is_no_vocabulary_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_vocabulary(tmp_path / name)
    assert message in str(error.value) and "\n" not in str(error.value)
