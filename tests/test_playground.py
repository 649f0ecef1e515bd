"""Making the playground: rounded weights, what is refused, and the file that is written."""

import json
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.inspection import read
from charrnn.layers import GRU, Dense, Embedding
from charrnn.model_file import load_model, save_model
from charrnn.models import Model
from charrnn.preprocessing import TextVectorizer
from playground.layers import PageLayer, page_layers
from playground.page import _cells, page
from playground.probes import findings
from playground.rounding import BYTES, rounded
from tests.networks import LeakyAverage
from tests.playground_page import ALPHABET, CHAINS, V, model_of, trained
from tests.report_subject import PLAY, subject_of
from tests.stage_project import MODEL, call, change_param, printed_by, remove

SETTINGS = {"start_string": "a", "temperature": 0.8, "top_k": 5, "top_p": 0.9, "seed": 3}
PAGE = "models/playground.html"


def contents(html):
    """The JSON of a page."""
    (data,) = re.findall(r"<script type=application/json id=contents>(.*?)</script>", html, re.DOTALL)
    return json.loads(data)


def page_of(model, precision="int8", vocabulary=ALPHABET, **settings):
    return page(trained(model, vocabulary), page_layers(model, precision), precision, SETTINGS | settings, [], None)


def test_int8_is_within_half_a_step_of_each_row(rng):
    matrix = rng.normal(size=(6, 50)) * np.array([1e-30, 1e-3, 1, 1, 10, 1e30])[:, None]
    matrix[3] = 0
    own = rounded(matrix, "int8")
    steps = np.abs(matrix).max(axis=1, keepdims=True) / 127
    assert own.numbers.dtype == np.int8 and own.decoded().dtype == np.float32
    assert (np.abs(own.decoded() - matrix) <= 0.5001 * steps).all()
    assert (np.abs(own.numbers[[0, 1, 2, 4, 5]]).max(axis=1) == 127).all() and not own.decoded()[3].any()


def test_a_matrix_is_stored_row_by_row_with_the_least_significant_byte_first():
    stored = rounded(np.array([[1, 2], [3, 4.5]]), "float16").as_json()
    assert stored["shape"] == [2, 2] and "scales" not in stored
    assert np.frombuffer(b64decode(stored["numbers"]), "<f2").tolist() == [1, 2, 3, 4.5]
    stored = rounded(np.array([[127, 254.0]]), "int8").as_json()
    assert list(b64decode(stored["numbers"])) == [64, 127]  # 63.5 is rounded to an even number
    assert np.frombuffer(b64decode(stored["scales"]), "<f4").tolist() == [2]


@pytest.mark.parametrize("precision", BYTES)
def test_a_number_that_is_too_large_for_the_precision_is_refused(precision):
    with pytest.raises(InputError, match=r"^a parameter is 1e\+39, too large for float"):
        rounded(np.array([[1.0, -1e39]]), precision)


def test_float16_refuses_what_float32_takes():
    with pytest.raises(InputError, match=r"^a parameter is 7e\+04, too large for float16$"):
        rounded(np.array([[7e4]]), "float16")
    assert rounded(np.array([[7e4]]), "float32").decoded() == 7e4


def test_equal_models_give_equal_pages():
    assert page_of(model_of(CHAINS["lstm"])) == page_of(model_of(CHAINS["lstm"]))
    assert page_of(model_of(CHAINS["lstm"])) != page_of(model_of(CHAINS["lstm"], seed=1))


def test_a_model_without_a_mogrifier_keeps_the_page_it_had_before_there_was_one():
    described, _ = contents(page_of(model_of(CHAINS["gru, folded"])))["network"]["layers"]
    assert set(described) == {"kind", "size", "input", "recurrent", "bias", "reset_after"}


def test_the_page_refers_to_nothing_outside():
    html = page_of(model_of(CHAINS["gru"]))
    assert re.findall(r"""(?:src|href)=["']?([^"'\s>]+)""", html) == ["data:,", "https://github.com/charrnn/charrnn"]
    assert "default-src 'none'" in html and "url(" not in html and "@import" not in html
    assert not re.search(r"\b(fetch|XMLHttpRequest|import|WebSocket|EventSource|sendBeacon)\b\s*\(", html)


def test_no_character_of_the_vocabulary_ends_the_script():
    vocabulary = "</script>!-- \"'\\\r\0\u2028😀&{%"
    model = model_of(
        [Embedding(len(vocabulary := "".join(dict.fromkeys(vocabulary))), 3), GRU(3, 4), Dense(4, len(vocabulary))]
    )
    html = page_of(model, vocabulary=vocabulary, start_string="</script><!--")
    data = contents(html)
    assert data["network"]["vocabulary"] == vocabulary and data["beginning"] == "</script><!--"
    assert html.count("</script>") == 2


@pytest.mark.parametrize("between", [[], [Dense(4, 4)]])
def test_a_model_without_a_hidden_state_is_refused(between, rng):
    with pytest.raises(InputError, match=r"^the model has no recurrent layer; a playground shows the hidden state of"):
        page_layers(Model([Embedding(V, 4), *between, Dense(4, V)], rng), "int8")


def test_a_layer_that_the_page_does_not_know_is_refused(rng):
    problem = (
        r"^the model has the layer LeakyAverage\(dim=4\); a playground can run an Embedding followed by GRU, LSTM, "
        "SimpleRNN, Dense, TiedDense$"
    )
    with pytest.raises(InputError, match=problem):
        page_layers(Model([Embedding(V, 4), GRU(4, 4), LeakyAverage(4), Dense(4, V)], rng), "int8")


def test_the_probes_on_the_page_read_from_the_state_what_the_report_shows():
    subject = subject_of(PLAY * 60)
    found = findings(subject.trained, subject.test_ids)
    reading = read(subject.trained.model, subject.test_ids)
    states = np.concatenate(list(reading.states.values()), axis=1)
    assert len(found) > 3 and found == sorted(found, key=lambda own: -own.correlation)
    for own in found:
        values = states @ own.weights + own.bias
        np.testing.assert_allclose([values.mean(), values.std()], [own.mean, own.deviation], rtol=1e-6)
        described = own.as_json()
        assert described["bias"] == own.bias - own.mean
        np.testing.assert_allclose(np.frombuffer(b64decode(described["weights"]), "<f4"), own.weights, rtol=1e-6)


def test_a_text_without_features_has_no_probes():
    subject = subject_of("xzxz" * 100)
    assert findings(subject.trained, subject.test_ids) == []


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([PageLayer("gru", 128)], "a GRU of 128 units"),
        ([PageLayer("embedding", 9), PageLayer("lstm", 1), PageLayer("dense", 9)], "an LSTM of 1 unit"),
        ([PageLayer("gru", 384), PageLayer("gru", 384)], "a GRU of 2 layers with 384 units each"),
        ([PageLayer("gru", 4), PageLayer("rnn", 8)], "a stack of GRU of 4 units, simple recurrent network of 8 units"),
    ],
)
def test_the_layers_in_words(layers, words):
    assert _cells(layers) == words


def test_the_stage_writes_the_page_and_says_what_rounding_costs(project):
    first, second = (printed_by(project, "playground").splitlines() for _ in range(2))
    assert first == second
    html = (project / PAGE).read_text(encoding="utf-8")
    assert first[0] == f"{PAGE}: {len(html.encode()):,} bytes; open it in a browser"
    assert re.fullmatch(
        r"loss with int8 weights 2\.\d{5} nats .* model's own 2\.\d{5}, over 599 characters .*", first[1]
    )
    assert contents(html)["beginning"] == "a" and contents(html)["findings"]
    sizes = []
    for precision in BYTES:
        printed_by(project, "playground", "--precision", precision, "--output", f"pages/{precision}.html")
        sizes.append((project / f"pages/{precision}.html").stat().st_size)
    assert sizes == sorted(sizes) and len(set(sizes)) == 3


def test_without_the_prepared_text_the_page_has_no_probes(project):
    remove("data/processed")(project)
    assert len(printed_by(project, "playground").splitlines()) == 1
    assert contents((project / PAGE).read_text(encoding="utf-8"))["findings"] == []


def test_a_model_of_another_text_is_not_measured_on_this_one(project):
    save_model(project / "other.npz", trained(model_of(CHAINS["gru"])))
    printed = printed_by(project, "playground", "--weights-path", "other.npz", "--output", "other.html")
    assert len(printed.splitlines()) == 1
    assert contents((project / "other.html").read_text(encoding="utf-8"))["findings"] == []


def test_a_text_whose_ids_stand_for_other_characters_is_not_measured(project):
    """Text and split are the same, and so is the number of characters: only the order is another."""
    given = load_model(project / MODEL)
    turned = TextVectorizer(given.vectorizer.vocabulary[::-1])
    save_model(project / "turned.npz", replace(given, vectorizer=turned))
    printed = printed_by(project, "playground", "--weights-path", "turned.npz", "--output", "turned.html")
    assert len(printed.splitlines()) == 1
    assert contents((project / "turned.html").read_text(encoding="utf-8"))["findings"] == []


def test_the_page_is_written_beside_the_model(project):
    (project / "elsewhere").mkdir()
    (project / MODEL).rename(project / "elsewhere/other.npz")
    assert printed_by(project, "playground", "--weights-path", "elsewhere/other.npz").startswith(
        f"{Path('elsewhere/playground.html')}: "
    )
    assert not (project / PAGE).exists()


@pytest.mark.parametrize(
    ("change", "flags", "problem"),
    [
        (None, ["--precision", "int4"], "--precision is 'int4'; it must be one of int8, float16, float32"),
        (None, ["--max-mb", "0"], "--max-mb is '0'; it must be a number above 0"),
        (None, ["--max-mb", "0.0001"], "the page would have 0.0 million bytes, and --max-mb is 0.0001; a browser"),
        (None, ["--max-mb", "0.0001", "--precision", "float32"], "; --precision int8 makes it smaller; a browser"),
        (None, ["--start-string", "xyz"], "start_string: the vocabulary lacks 'x' at"),
        (None, ["--temperature", "-1"], "temperature is '-1'; it must be a number of at least 0"),
        (None, ["--output", "models"], "--output is 'models'; the name of a page must end in .html or .htm"),
        (None, ["--output", "models/char_rnn.npz"], "--output is 'models/char_rnn.npz'; the name of a page must end"),
        (lambda project: (project / "a.html").mkdir(), ["--output", "a.html"], "a.html: Is a directory"),
        (None, ["--weights-path", "params.yaml"], "params.yaml"),
        (remove("models/char_rnn.npz"), [], "models/char_rnn.npz is missing; run the earlier stages first"),
        (change_param("hidden_dim", 9), [], "was trained with hidden_dim 8, but params.yaml has 9"),
    ],
)
def test_what_cannot_be_done_ends_with_one_line(project, change, flags, problem):
    if change:
        change(project)
    ended = call(project, "playground", *flags)
    assert ended.returncode == 1 and ended.stdout == ""
    assert problem in ended.stderr and ended.stderr.count("\n") == 1
    assert not (project / PAGE).exists()


def test_a_model_with_a_layer_of_ones_own_is_refused(project):
    model = Model([Embedding(V, 4), LeakyAverage(4), Dense(4, V)], np.random.default_rng(0))
    save_model(project / "own.npz", replace(trained(model)))
    ended = call(project, "playground", "--weights-path", "own.npz")
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "own.npz: unknown layer 'LeakyAverage'; it must be one of Embedding, SimpleRNN, GRU" in ended.stderr
