"""The report: a page that can be read anywhere, whatever text it is about, and whose figures are those of the run."""

import csv
import json
import random
import re
import tracemalloc
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from charrnn.errors import DivergenceError
from charrnn.evaluation import LN2
from charrnn.inspection import connectivity, correlations, linear_probe, read
from charrnn.layers import Dense, Embedding, SimpleRNN
from charrnn.memorisation import copied
from charrnn.messages import figure
from charrnn.model_file import load_model, save_model
from charrnn.models import Model
from report import baselines
from report import page as page_module
from report import subject as subject_module
from report.alphabet import alphabet
from report.characters import label, visible
from report.coloured import candidates
from report.evolution import selected
from report.gates import MEANINGS, gates
from report.hypotheses import hypotheses
from report.looking_back import as_digits, looking_back
from report.page import LARGEST, PLOTS, report
from report.passages import passage, telling_passage
from report.plots import thinned
from report.samples import remembered, samples
from report.surprise import surprise
from report.units import units
from tests.report_subject import PLAY, shuffled, subject_of, with_model
from tests.stage_project import REPORTED, call, files, printed_by, remove, rewrite

SECTIONS = ["what", "learning", "context", "surprise", "units", "gates", "losses", "back", "alphabet", "samples"]
VOID = {"meta", "br", "link", "img", "input"}
OPTIONAL = {"dt", "dd", "tr", "th", "td"}  # elements whose end may be left out
HOSTILE = [
    "<script>alert(1)</script>", "</script>", "</style>", "&amp;", "--><!--", "{{ 7*7 }}", "{% raw %}", "]]>",
    "' onclick=\"x", "\0\x01\x1b[31m\x7f", "\u202eabc\u202c", "\u2066x\u2069", "\ufffe\uffff", "e\u0301\u0302",
    "👩‍👩‍👧‍👦👍🏽", "\r\n", "\t\t", "\u2028\u2029\x85", "https://evil.example/x", "$x^2$", "\\", " \n",
]  # fmt: skip
HAN = [chr(0x4E00 + i) for i in range(5000)]
TEXTS = {
    "hostile": shuffled(HOSTILE, 6000),
    "right to left": shuffled(["בראשית", "ברא", "می‌روم", "فارسی", " ", " ", ".\n"], 6000),
    "code": "def f(x):\n    return [x, {'a': (1, 2)}]\n\n\nclass A:\n    y = f(\"b\")\n" * 80,
    "one long line": shuffled("abcdefghij ", 6000),
    "5,000 characters": "".join(HAN) + shuffled(HAN, 9000),
    "escapes": shuffled([chr(0xF0000 + i) for i in range(60)] + ["\n", " ", "9", "(", ")", "Ab"], 40_000),
    "endless marks": "a" + "\u0301" * 3000 + "b" * 50,
    "shortest": "abab",
}


class Page(HTMLParser):
    """What a browser makes of a page: elements, texts by section, and whether they are closed in order."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.html, self.open, self.elements, self.texts = html, [], [], {}
        self.section = None
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.append((tag, attrs))
        if tag == "section":
            self.section = attrs["id"]
        if tag not in VOID:
            self.open.append(tag)
        self.handle_data(" " * (tag in OPTIONAL))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self.open[-1] in OPTIONAL and self.open[-1] != tag:
            self.open.pop()
        assert self.open.pop() == tag
        if tag == "section":
            self.section = None

    def handle_data(self, data):
        self.texts[self.section] = self.texts.get(self.section, "") + data

    def all(self, tag, **attributes):
        """The attributes of all elements of this kind with these attributes."""
        return [own for name, own in self.elements if name == tag and attributes.items() <= own.items()]

    def text(self, section):
        """The text of a section, with single blanks."""
        return " ".join(self.texts[section].split())

    def div(self, n, section):
        """The n-th coloured text of a section, as the reader copies it."""
        inside = re.search(f"<section id={section}>.*?</section>", self.html, re.DOTALL)[0]
        found = re.findall(r'<div (?:class="?text|id=trace)[^>]*>(.*?)</div>', inside, re.DOTALL)[n]
        parser = HTMLParser()
        pieces = []
        parser.handle_data = pieces.append
        parser.feed(found)
        parser.close()
        return "".join(pieces)


@pytest.fixture(scope="module", params=TEXTS)
def subject(request):
    """A network and a text of each kind."""
    return subject_of(TEXTS[request.param])


@pytest.fixture(scope="module")
def made(subject):
    """The report on it."""
    return report(subject, seed=1, start_string=subject.text[0])


@pytest.fixture(scope="module")
def page(made):
    return Page(made.page)


def test_the_page_is_well_formed_and_has_all_sections(page):
    assert page.html.startswith("<!DOCTYPE html>")
    assert [own["id"] for own in page.all("section")] == SECTIONS
    for section in SECTIONS:
        assert re.match(r"\d+\. [A-Z]", page.text(section))
    assert [own["href"] for own in page.all("a")] == [f"#{section}" for section in SECTIONS]
    assert len(page.all("script")) == len(page.all("style")) == 1


def test_every_id_is_there_once(page):
    ids = [own["id"] for _, own in page.elements if "id" in own]
    assert len(ids) == len(set(ids))
    referred = re.findall(r"url\(#([^)]*)\)", page.html)
    referred += [own["href"][1:] for tag, own in page.elements if tag in ("a", "use")]
    assert set(referred) <= set(ids)


def test_the_page_loads_nothing(page):
    for tag, own in page.elements:
        assert tag not in ("link", "img", "iframe", "base", "object", "embed")
        for name, value in own.items():
            assert name not in ("src", "srcset", "action") and not name.startswith("on")
            assert not name.endswith("href") or value.startswith("#")
    for code in re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", page.html, re.DOTALL):
        assert not re.search(r"https?:|@import|url\(|fetch|import\(", code)


def test_the_page_is_small(page):
    assert len(page.html.encode()) < LARGEST == 300_000


def test_no_control_character_is_in_the_page(page):
    controls = {*map(chr, [*range(10), *range(11, 32), *range(0x7F, 0xA0)]), *"\u2028\u2029\u202a\u202e\u2066\u2069"}
    assert not set(page.html) & controls


def test_plots_are_svg_files_of_their_own(made):
    assert tuple(made.plots) == PLOTS
    for name, plot in made.plots.items():
        assert ElementTree.fromstring(plot).tag == "{http://www.w3.org/2000/svg}svg"
        assert not re.search(rb"<(script|image)|(src|href)=.(?!#)|url\((?!#)", plot)
        assert (b"<style" in plot) == (name == "surprise")  # a style sheet would change the other plots of the page


def test_a_passage_is_shown_character_by_character(subject, page):
    """Its text, with symbols for what can't be seen, is the same with and without the colours."""
    found = surprise(subject)
    expected = visible(subject.text[found.start : found.start + found.characters])
    assert page.div(0, "surprise") == "".join(span.text for span in found.spans) == expected


def test_samples_are_in_the_alphabet_and_escaped(subject, page):
    for i in range(3):
        assert set(page.div(i, "samples")) <= set(visible(subject.trained.vectorizer.vocabulary + "\n"))


def test_long_samples_of_training_and_start_strings_are_cut():
    subject = replace(subject_of(PLAY * 40), evolution="first" + 400_000 * "x" + "last")
    page = Page(report(subject, 1, "R" * 60_000).page)
    assert len(page.html.encode()) < LARGEST
    assert "first" in page.text("learning") and "388,009 characters" in page.text("learning")
    assert page.text("learning").endswith("last")
    assert page.div(0, "samples").startswith("R" * 200) and "R" * 300 not in page.html


def test_the_first_a_middle_and_the_last_sample_of_training_are_shown_and_the_others_are_there():
    each = [f"after epoch {epoch}:\n{epoch * 'x'}\n" for epoch in range(1, 11)]
    assert selected("\n".join(each[:3])) == ("\n".join(each[:3]), 3)
    subject = replace(subject_of(PLAY * 4), evolution="\n".join(each))
    page = Page(report(subject, 1, "R").page)
    assert page.div(0, "learning") == visible("\n".join([each[0], each[4], each[9]]))
    assert page.div(1, "learning") == visible(subject.evolution) and len(page.all("details")) == 1
    assert "All 10 samples" in page.text("learning")


def test_the_same_run_has_the_same_bytes():
    first, second = (report(subject_of(PLAY * 40), seed=1, start_string="RO") for _ in range(2))
    assert first.page == second.page
    assert first.plots == second.plots


def test_too_large_a_page_leaves_out_passages(monkeypatch):
    subject = subject_of(PLAY * 40)
    whole = report(subject, 1, "R").page
    monkeypatch.setattr(page_module, "LARGEST", len(whole.encode()))
    smaller = report(subject, 1, "R").page
    assert len(smaller.encode()) < len(whole.encode())
    assert smaller.count("<figure>") == whole.count("<figure>") - 2
    assert "would make this page too large" in smaller and "would make this page too large" not in whole


# What the sections say, compared with the modules that compute it.


@pytest.fixture(scope="module")
def play():
    return subject_of(PLAY * 40)


def test_surprise_is_that_of_a_network_that_reads_the_text_from_its_beginning(play):
    found = surprise(play)
    model, ids = play.trained.model, play.test_ids
    p = model.predict(ids)
    bits = [-np.log2(p[t - 1, ids[t]]) for t in range(found.start, found.start + found.characters)]
    assert found.bits == pytest.approx(sum(bits), rel=1e-5)
    assert play.text[found.start - 1] == "\n" and found.start >= len(play.text) // 2
    assert [int(span.style[1:]) for span in found.spans] == [min(8, int(own)) for own in bits]
    t = found.start + 17
    best = np.argsort(-p[t - 1], kind="stable")[:5]
    own, *likely = found.spans[17].title.split("\n")
    assert own == f"{bits[17]:.2f} bits"
    assert likely == candidates(play.trained.vectorizer.vocabulary, best, p[t - 1, best]).split("\n")


@pytest.mark.parametrize("settings", [{}, {"cell": "lstm", "num_layers": 2}, {"cell": "rnn"}])
def test_units_are_chosen_on_one_half_and_measured_on_the_other(settings):
    subject = subject_of(PLAY * 40, **settings)
    states = np.concatenate(list(read(subject.trained.model, subject.test_ids).states.values()), axis=1)
    half, features = len(states) // 2, hypotheses(subject.text)
    found = units(subject)
    assert {unit.feature for unit in found} == set(features)
    assert found == sorted(found, key=lambda unit: -unit.correlation)
    for unit in found:
        feature = features[unit.feature]
        best = np.abs(correlations(states[:half], feature[:half])).argmax()
        assert unit.correlation == pytest.approx(abs(correlations(states[half:], feature[half:])[best]))
        assert unit.probe_correlation == pytest.approx(linear_probe(states, feature).correlation)
        kind, number, *layer = re.fullmatch(r"(unit|cell) (\d+)(?: of layer (\d))?", unit.place).groups()
        place = int(number) - 1 + 6 * (kind == "cell") + (12 * (int(layer[0]) - 1) if layer[0] else 0)
        assert place == best
        shown = ["".join(span.text for span in spans) for spans in (unit.by_unit, unit.by_probe)]
        assert shown[0] == shown[1] and shown[0] in visible(subject.text)


def test_orange_is_where_a_feature_is_high_even_if_the_unit_falls_there():
    text, v, n = "ab" * 100, 1.0, -2.0
    model = Model([Embedding(2, 1), SimpleRNN(1, 1), Dense(1, 2)], np.random.default_rng(0))
    model.parameters[...] = 0
    model.p[0].table[:, 0] = [n, v]  # a is a vowel, where the only unit is negative
    model.p[1].kernel[...] = 1
    (unit,) = units(with_model(subject_of(text), model))
    assert (unit.feature, unit.place) == ("a vowel", "unit 1") and unit.correlation == pytest.approx(1)
    assert [(span.text, span.style) for span in unit.by_unit[:2]] == [("a", "p1"), ("b", "n1")]


def test_passages_begin_with_a_line_in_the_second_half():
    assert passage("ab\ncd\nef\ngh", 100) == slice(6, 11)
    assert passage("abcdefgh", 3) == slice(4, 7)
    assert passage("ab", 100) == slice(1, 2)


def test_a_passage_shows_what_it_is_about():
    feature = np.zeros(100)
    feature[90:95] = 1
    assert telling_passage(feature, slice(50, 100), 10) in [slice(start, start + 10) for start in range(81, 95)]
    assert telling_passage(feature, slice(50, 100), 10).start in (85, 86, 87, 88, 89, 90)
    feature[50:60:2] = 1
    assert telling_passage(feature, slice(50, 100), 10) == slice(50, 60)


def test_gates_are_those_of_all_layers():
    reading = subject_of(PLAY * 4, num_layers=3).reading
    found = gates(reading)
    assert list(found.saturations) == ["reset", "update"]
    np.testing.assert_array_equal(
        found.saturations["update"][0],
        np.concatenate([(reading.gates[f"{i}.update"] < 0.1).mean(0) for i in (1, 2, 3)]),
    )
    assert list(found.memory) == ["all layers"] and len(found.all_memory) == 18
    lstm = gates(subject_of(PLAY * 4, cell="lstm", num_layers=2).reading)
    assert list(lstm.saturations) == ["output", "input", "forget"] and list(lstm.memory) == ["layer 1", "layer 2"]
    plain = subject_of(PLAY * 4, cell="rnn")
    plain.trained.model.parameters[...] *= 20
    assert (plain.reading.states["1.h"] < -0.9).any() and (plain.reading.states["1.h"] > 0.9).any()
    assert gates(plain.reading).saturations == gates(plain.reading).memory == {}
    np.testing.assert_allclose(gates(plain.reading).activity, (np.abs(plain.reading.states["1.h"]) > 0.9).mean(0))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_page_says_what_each_gate_does(cell):
    subject = subject_of(PLAY * 4, cell=cell)
    found = Page(report(subject, 1, "R").page).text("gates")
    for name in gates(subject.reading).saturations:
        assert f"{name} gate {MEANINGS[name]}" in found
    assert ("Open (z near 1), the unit remembers" in found) is (cell == "gru")


def test_looking_back_shows_the_gradient_of_each_prediction(play):
    found = looking_back(play)
    start = passage(play.text, 200).start
    assert len(found.predictions) == 200 and len(found.context) == 39
    norms = connectivity(play.trained.model, play.test_ids, np.array([start + 7]), 40)[0]
    assert found.predictions[7].digits == "".join(str(round(9 * norm / norms.max())) for norm in norms)
    best = play.reading.probabilities[start + 7].argmax()
    assert found.predictions[7].next.startswith(label(play.trained.vectorizer.vocabulary[best]))
    assert "".join(found.context) + found.predictions[0].text == visible(play.text[start - 39 : start + 1])
    assert found.shown[-40:] == list(found.predictions[-1].digits) and set(found.shown[:-40]) == {""}


def test_digits_are_shares_of_the_largest():
    assert as_digits(np.array([[0, 1, 2.0], [9, 4.4, 0.6], [0, 0, 0]])) == ["049", "941", "000"]


def test_the_alphabet_shows_the_most_frequent_characters(play):
    svg = alphabet(play).file().decode()
    shown = {element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {label(character) for character in play.trained.vectorizer.vocabulary} <= shown


def test_of_a_large_alphabet_the_most_frequent_characters_are_drawn():
    rare, frequent = "".join(HAN[:20]), "".join(HAN[20:170])
    svg = alphabet(subject_of((frequent * 3 + rare) * 2)).file().decode()
    assert all(character in svg for character in frequent) and not any(character in svg for character in rare)


def test_samples_mark_what_occurs_in_the_training_text(play):
    for sample in samples(play, 3, "RO"):
        text = "".join(span.text for span in sample.spans)
        assert text.startswith("RO")
    source = play.train_ids
    own = np.concatenate([source[100:125], source[::-1][:30], source[7:20]])
    (mark,) = remembered([own], source)
    expected = np.zeros(len(own), bool)
    for start in np.flatnonzero(copied(own, source, 20)):
        expected[start : start + 20] = True
    np.testing.assert_array_equal(mark, expected)
    assert mark[:25].all() and not mark[26:].any()


def test_passages_of_20_are_remembered_and_only_within_a_sample():
    source = np.arange(60, dtype=np.uint8)
    texts = [np.full(25, 99, np.uint8), source[15:35], source[35:54], source[:15], source[15:25]]
    assert [mark.sum() for mark in remembered(texts, source)] == [0, 20, 0, 0, 0]
    assert [mark.size for mark in remembered([source[:3], source[:2]], source)] == [3, 2]


# A run of all stages, and what it may lack.


@pytest.fixture(scope="module")
def run_page(finished):
    return Page((finished / "metrics/report.html").read_text(encoding="utf-8"))


def test_figures_are_those_of_the_other_stages(finished, run_page):
    evaluation = json.loads((finished / "metrics/evaluation.json").read_bytes())
    evaluation |= json.loads((finished / "metrics/evaluated.json").read_bytes())
    training = json.loads((finished / "metrics/train.json").read_bytes())
    what = run_page.text("what")
    row = f"this network {figure(evaluation['loss'])} {figure(evaluation['bits_per_char'])} "
    assert f"{row}{figure(evaluation['perplexity'], 3)} {evaluation['accuracy']:.2%}" in what
    assert f"validation loss {figure(training['validation_loss'])} nats" in what
    assert f"has {evaluation['longest_copy']} characters" in what
    assert "corpus.txt, 3,000 characters" in what and "429 parameters" in what
    assert "hidden_dim: 8 (default 128)" in what and "batch_size: 8 (default 32)" in what
    assert "learning_rate" not in what
    assert "uniform 2.1972 3.1699 9.000" in what
    with open(finished / "metrics/context.csv", encoding="utf-8", newline="") as file:
        *_, last = csv.DictReader(file)
    assert f"after 10 it needs {float(last['loss']) / LN2:.2f}" in run_page.text("context")


def test_the_stage_says_where_the_page_is(finished, printed):
    size = (finished / "metrics/report.html").stat().st_size
    assert printed["report"] == f"metrics/report.html: {size:,} bytes; open it in a browser\n"


def test_the_stage_leaves_the_same_bytes_again(project):
    before = files(project)
    for name in REPORTED:
        remove(name)(project)
    printed_by(project, "report")
    assert files(project) == before


def report_page(folder):
    printed_by(folder, "report")
    return Page((folder / "metrics/report.html").read_text(encoding="utf-8"))


def test_sections_say_what_a_run_lacks(project):
    for name in ("data.json", "history.csv", "evolution.txt", "evaluation.json", "evaluated.json", "context.csv"):
        remove(f"metrics/{name}")(project)
    page = report_page(project)
    assert "its source is unknown, because data.json is missing" in page.text("what")
    assert "The network has not been evaluated since it was trained" in page.text("what")
    assert "There is no learning curve, because history.csv is missing." in page.text("learning")
    assert "No samples were kept during training" in page.text("learning")
    assert "There is no curve, because the network has not been evaluated since it was trained." in page.text("context")


def test_one_epoch_and_samples_of_it(project):
    rewrite("metrics/history.csv", lambda text: b"".join(text.splitlines(keepends=True)[:2]))(project)
    (project / "metrics/evolution.txt").write_bytes(b"epoch 1:\n<b>\xff\x1b")
    page = report_page(project)
    assert "There was only one epoch" in page.text("learning")
    sentence = "Short samples that it wrote during its training, all with the same random numbers."
    assert f"{sentence} epoch 1:↵ <b>\ufffd␛" in page.text("learning")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("history.csv", b"epoch,loss\n1,x\n"),
        ("history.csv", b"epoch,loss\n1\n"),
        ("data.json", b"{"),
        ("evaluation.json", b"[]"),
        ("evaluation.json", b"{}"),
        ("context.csv", b"position,x\n1,2\n"),
    ],
)
def test_damaged_metrics_are_named(project, name, content):
    rewrite(f"metrics/{name}", lambda text: content)(project)
    ended = call(project, "report")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: metrics/{name} is damaged (")
    assert len(ended.stderr.splitlines()) == 1


def test_a_text_too_short_and_a_network_without_embedding_or_state_are_said():
    shortest = subject_of("abab")
    page = Page(report(shortest, 1, "a").page)
    assert "none of the features that are tried occurs often enough" in page.text("units")
    assert "The text is too short to look back" in page.text("back")
    bigram = Model([Embedding(2, 1), Dense(1, 2)], np.random.default_rng(0))
    page = Page(report(with_model(subject_of("ab" * 50), bigram), 1, "a").page)
    assert "The network has no recurrent layer." in page.text("gates")
    assert "the network has no vectors of characters to draw" in page.text("alphabet")


def test_memory_does_not_grow_with_the_corpus(monkeypatch, tmp_path):
    monkeypatch.setattr(baselines, "COUNTED", 10_000)
    subject, peaks = subject_of(PLAY * 40), []
    for copies in (800, 3200):  # both longer than what is hashed at a time
        np.save(tmp_path / "train.npy", np.tile(subject.train_ids, copies))
        long = replace(subject, train_ids=np.load(tmp_path / "train.npy", mmap_mode="r"))
        tracemalloc.start()
        try:
            baselines.baselines(long.train_ids, long.test_ids, baselines.best_ngram_model(long.train_ids, 40))
            samples(long, 1, "R")
            alphabet(long)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_the_card_says_whether_the_network_beats_counting():
    subject = subject_of(PLAY * 4)
    best = min(baseline.loss for baseline in baselines_of(subject))
    for loss, said in (
        (best - 0.1, "It needs 0.144 bits per character less than the best model that only counts."),
        (best + 0.1, "A model that only counts predicts this text better, by 0.144 bits per character"),
        (best, "It predicts this text as well as the best model that only counts."),
    ):
        evaluation = {"loss": loss, "bits_per_char": loss, "perplexity": 1.0, "accuracy": 0.5, "longest_copy": 1}
        assert said in Page(report(replace(subject, evaluation=evaluation), 1, "R").page).text("what")


def baselines_of(subject):
    best = baselines.best_ngram_model(subject.train_ids, subject.trained.model.output_dim)
    return baselines.baselines(subject.train_ids, subject.test_ids, best)


def test_a_model_that_has_diverged_is_refused():
    subject = subject_of(PLAY * 4)
    subject.trained.model.p[-1].bias[...] = np.inf
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="^some predictions are not finite"):
        report(subject, 1, "R")


def test_a_large_alphabet_or_network_gets_a_shorter_reading(monkeypatch):
    monkeypatch.setattr(subject_module, "NUMBERS_OF_READING", 6000)
    assert len(subject_of(PLAY * 40, hidden_dim=50).text) == 120
    assert len(subject_of("".join(HAN[:300]) * 3).text) == 20
    monkeypatch.setattr(subject_module, "LONGEST_READING", 77)
    assert len(subject_of(PLAY * 40).text) == 77


def test_a_long_history_and_a_large_window_do_not_make_the_page_larger(project):
    names = "epoch,train_loss,validation_loss,validation_accuracy,learning_rate,gradient_norm\n"
    epochs = [f"{n},{2 + 1 / n:.6g},{2.1 + 1 / n:.6g},0.4,0.001,0.3\n" for n in range(1, 2001)]
    (project / "metrics/history.csv").write_text(names + "".join(epochs))
    curve = [f"{n},{2 + 1 / n:.6g},0.4\n" for n in range(1, 5001)]
    (project / "metrics/context.csv").write_text("position,loss,accuracy\n" + "".join(curve))
    report_page(project)
    assert (project / "metrics/report.html").stat().st_size < 300_000
    assert (project / "metrics/plots/learning.svg").stat().st_size < 60_000


def test_rows_that_are_drawn_include_the_first_and_the_last():
    rows = [{"n": n} for n in range(1000)]
    for evenly in (True, False):
        drawn = [row["n"] for row in thinned(rows, evenly=evenly)]
        assert drawn[0] == 0 and drawn[-1] == 999 and 50 < len(drawn) <= 100 and drawn == sorted(set(drawn))
    assert thinned(rows[:7], evenly=False) == rows[:7]


@pytest.mark.parametrize("name", ["evaluation.json", "evaluated.json"])
def test_half_an_evaluation_is_none(project, name):
    remove(f"metrics/{name}")(project)
    assert "The network has not been evaluated" in report_page(project).text("what")


def test_a_model_trained_since_is_not_given_the_evaluation_of_the_one_before(project):
    assert "this network" in report_page(project).text("what")
    printed_by(project, "train", "--weights-path", "models/char_rnn.npz")
    page = report_page(project)
    assert "The network has not been evaluated since it was trained" in page.text("what")
    assert "this network" not in page.text("what") and "has not been evaluated since" in page.text("context")
    assert "the model is from epoch" in page.text("what")  # training has written its own history


def test_another_model_is_not_given_the_figures_of_the_pipelines_own(project):
    other = load_model(project / "models/char_rnn.npz")
    other.model.parameters[0] += 1
    save_model(project / "other.npz", other)
    printed_by(project, "report", "--weights-path", "other.npz")
    page = Page((project / "metrics/report.html").read_text(encoding="utf-8"))
    assert "The network has not been evaluated" in page.text("what")
    assert "There is no learning curve" in page.text("learning")


def test_the_source_of_the_text_is_shown_also_from_an_older_record(project):
    path = project / "metrics/data.json"
    about = json.loads(path.read_bytes())
    del about["files"]
    path.write_text(json.dumps(about), encoding="utf-8")
    assert "corpus.txt, 3,000 characters (" in report_page(project).text("what")


def test_several_files_are_counted_and_another_text_is_noticed(project):
    path = project / "metrics/data.json"
    about = json.loads(path.read_bytes())
    path.write_text(json.dumps(about | {"files": about["files"] * 3}), encoding="utf-8")
    assert "corpus.txt (3 files), 3,000 characters (" in report_page(project).text("what")
    path.write_text(json.dumps(about | {"sha256": "0" * 64}), encoding="utf-8")
    page = report_page(project).text("what")
    assert "its source is unknown; data.json is about another text" in page and "corpus.txt" not in page


def test_a_source_that_no_page_can_hold_is_shown_with_symbols(project):
    rewrite("metrics/data.json", lambda text: text.replace(b"corpus.txt", rb"\udc80\u001b[31m\u202e.txt"))(project)
    assert r"\udc80␛[31m\u202e.txt" in report_page(project).text("what")


@pytest.mark.parametrize("value", [b"null", b'"x"', b"[]", b"NaN"])
def test_figures_must_be_numbers(project, value):
    rewrite("metrics/evaluation.json", lambda text: re.sub(rb'"loss": [^,]+', b'"loss": ' + value, text))(project)
    ended = call(project, "report")
    assert ended.returncode == 1 and ended.stdout == ""
    assert re.match(r"error: metrics/evaluation\.json is damaged \(loss is .*, which is not a number\); ", ended.stderr)


def test_the_start_of_a_sample_is_not_counted_as_remembered():
    text = "".join(random.Random(0).choices("abcd", k=2000))
    start = text[100:180]  # it occurs in the training text
    for sample in samples(subject_of(text), seed=0, start_string=start):
        assert "".join(span.text for span in sample.spans).startswith(start)
        assert not sample.remembered
