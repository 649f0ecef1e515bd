"""docs/learning.md quotes the code, shows what the lessons printed, and its pictures can be read."""

import json
import re
from textwrap import indent
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from charrnn.gradient_checking import central_differences
from tests.test_plain_gru import ROOT, import_example

PAGE = (ROOT / "docs/learning.md").read_text(encoding="utf-8")
PROSE = " ".join(PAGE.split())
PLAIN = (ROOT / "examples/plain_gru.py").read_text(encoding="utf-8")
PICTURES = sorted((ROOT / "docs/images").glob("*.svg"))
SMALLEST = 12  # pixels of a text in a picture

lessons = import_example("lessons")
each_picture = pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def record():
    return json.loads((ROOT / "examples/lessons.json").read_text(encoding="utf-8"))


def test_every_line_of_code_is_in_the_plain_gru():
    quoted = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE)
    assert len(quoted) == 6
    for lines in quoted:
        assert any(indent(lines, margin) in PLAIN for margin in (" " * 4, " " * 8)), lines


def test_the_tables_are_those_that_the_lessons_printed(record):
    assert list(record) == ["frequencies", *lessons.LESSONS]
    for name in lessons.LESSONS:
        assert lessons.table(record[name]) in PAGE, f"python examples/lessons.py --record; then update {name}"
    assert f"how frequent each character is has {record['frequencies']}," in PROSE


def test_the_losses_that_the_page_compares_with():
    text = lessons.bundled_text()
    assert f"log {text.V} = {np.log(text.V):.2f}" in PROSE
    assert f"how frequent each character is has {lessons.frequencies_loss(text):.2f}," in PROSE


@pytest.mark.parametrize("name", lessons.LESSONS)
def test_lessons_print_such_tables(name, record, monkeypatch):
    """On little text with one seed, each lesson still makes the rows and columns of the page."""
    whole = lessons.bundled_text()
    monkeypatch.setattr(lessons, "SEEDS", (1,))
    rows = list(lessons.LESSONS[name](lessons.Text(whole.train[:4000], whole.validation[:1000], whole.V)))
    assert [list(row) for row in rows] == [list(row) for row in record[name]]
    assert all(re.fullmatch(r"\d+\.\d\d|diverged", list(row.values())[-1]) for row in rows)


def test_how_far_back_the_gradient_reaches(record):
    """The figures before training depend little on the processor: lengths are kept, shrink or grow as the page says."""
    text = lessons.bundled_text()
    x, y = lessons.first_batch(text)
    layers = lessons.network(text, lessons.SimpleRNN(lessons.D, lessons.H))
    model = lessons.Model(layers, np.random.default_rng(lessons.SEEDS[0]), np.float64)
    norms = lessons.gradient_norms(model, x, y, (1, 10, 20, 40))
    assert [lessons.short(norm) for norm in norms] == list(record["recurrent_weights"][0].values())[1:5]


def test_gradient_norms_are_those_of_central_differences(rng):
    """Of the loss of the last prediction, by the state k steps before it."""
    text = lessons.bundled_text()
    x, y = (ids[-6:, :2] for ids in lessons.first_batch(text))
    k, model = 3, lessons.Model(lessons.network(text, lessons.GRU(lessons.D, lessons.H)), rng, np.float64)
    buffers = model.allocate(len(x) - k, 2)
    model.forward(x[:-k], buffers)
    state = model.final_state(buffers)

    def last_loss():
        return -np.log(model.predict(x[-k:], state)[-1, range(2), y[-1]]).sum()

    by_state = central_differences(last_loss, state[1]["h"])
    by_output = (model.predict(x)[-1] - np.eye(text.V)[y[-1]]) @ model.p[-1].kernel.T
    expected = np.mean(np.linalg.norm(by_state, axis=1) / np.linalg.norm(by_output, axis=1))
    np.testing.assert_allclose(lessons.gradient_norms(model, x, y, [k]), [expected], rtol=1e-6)


def test_all_weights_but_the_recurrent_ones_are_multiples_of_those_of_glorot():
    text = lessons.bundled_text()
    one, three = (
        dict(lessons.Model(lessons.deep_network(text, 0.05, scale), np.random.default_rng(5)).named_parameters())
        for scale in (1, 3)
    )
    for name, array in one.items():
        scaled = name.endswith(".kernel")
        np.testing.assert_allclose(three[name], (3 if scaled else 1) * array, rtol=1e-6, err_msg=name)


def test_a_watch_notes_the_norm_of_each_batch():
    """The trainer keeps their sum, which starts again in every epoch."""
    watch = lessons.Watch()
    for batch, total_norm, loss in [(1, 2.0, 4.1), (2, 5.0, 4.0), (1, 0.5, 3.9), (2, 2.0, 3.8)]:
        watch.on_batch(SimpleNamespace(batch=batch, total_norm=total_norm), loss)
    assert watch.norms == [2.0, 3.0, 0.5, 1.5] and watch.losses == [4.1, 4.0, 3.9, 3.8]


@pytest.mark.parametrize("path", [path for path in PICTURES if path.stem != "surprise"], ids=lambda path: path.stem)
def test_a_picture_can_be_read_on_any_background(path):
    """It has a page of its own colour, and no small text. The report draws `surprise`, see tests/test_picture.py."""
    svg = ElementTree.parse(path).getroot()
    sizes = [float(size) for size in re.findall(r"font(?:-size)?:[^;}]*?([\d.]+)px", path.read_text(encoding="utf-8"))]
    assert sizes and min(sizes) >= SMALLEST
    page = svg.find("{http://www.w3.org/2000/svg}rect[@class='page']")
    assert page is not None and ".page { fill: #ffffff }" in path.read_text(encoding="utf-8")
    box = [float(number) for number in svg.get("viewBox").split()]
    assert float(svg.get("width")) == box[2], "shown at its natural size"


def test_two_digits():
    assert [lessons.short(x) for x in (0.00172, 931.0, 2521234.0, 0.98)] == ["0.0017", "930", "2.5e+06", "0.98"]
