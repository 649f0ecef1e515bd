"""The plots of the report: what they draw, and SVG that is small, repeatable and takes the colours of the page."""

import re

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from charrnn.evaluation import LN2
from report import plots
from report.losses import Group
from report.svg import INK

HISTORY = [
    {"epoch": 1.0, "train_loss": 2.0, "validation_loss": 2.5, "learning_rate": 0.1, "gradient_norm": 0.7},
    {"epoch": 2.0, "train_loss": 1.5, "validation_loss": 2.25, "learning_rate": 0.05, "gradient_norm": 0.6},
]


def drawn(plot):
    """Matplotlib's axes for each panel of a plot."""
    found = []
    for panel in plot.panels:
        found.append(Figure().subplots())
        panel(found[-1])
    return found


def lines(axes):
    return [line.get_xydata().tolist() for line in axes.lines]


def test_learning_by_epoch():
    loss, rate, norm = drawn(plots.learning(HISTORY, clip_norm=1.0))
    assert lines(loss) == [[[1, 2], [2, 1.5]], [[1, 2.5], [2, 2.25]]]
    assert lines(rate) == [[[1, 0.1], [2, 0.05]]]
    assert lines(norm) == [[[1, 0.7], [2, 0.6]], [[0, 1], [1, 1]]]
    assert len(drawn(plots.learning(HISTORY, clip_norm=0))[2].lines) == 1


def test_a_history_without_learning_rates():
    short = [{name: row[name] for name in ("epoch", "train_loss", "validation_loss")} for row in HISTORY]
    assert lines(drawn(plots.learning(short, clip_norm=0))[1]) == [[]]


def test_context_in_bits():
    (axes,) = drawn(plots.context([{"position": 1.0, "loss": 2 * LN2}, {"position": 2.0, "loss": LN2}]))
    assert lines(axes) == [[[1, 2], [2, 1]]]


def test_gates_have_a_dot_for_all_units_in_a_place():
    low, high = np.array([0.0, 0.5, 0.5]), np.array([1.0, 0.25, 0.25])
    gate, memory = drawn(plots.gates({"update": (low, high)}, {"layer 1": np.array([0.01, 3, 1e9])}, np.empty(0)))
    dots = {tuple(place) for place in gate.lines[0].get_xydata().tolist() if place[0] == place[0]}
    assert dots == {(1, 0), (0.25, 0.5)}
    assert memory.get_xscale() == "log"
    steps = memory.patches[0].get_xy()
    assert steps[:, 1].max() == 1 and steps[1, 1] == steps[-2, 1] == 1  # what lies outside is in the outer bins
    (activity,) = drawn(plots.gates({}, {}, np.array([0.0, 0.02, 0.97])))
    assert [bar.get_height() for bar in activity.patches][:1] == [2] and activity.patches[-1].get_height() == 1


def test_losses_of_both_models():
    groups = [Group("1st letter", 5, 4.0, 3.0, 0.5), Group("2nd letter", 5, 2.0, 1.0, 0.5)]
    word, line = drawn(plots.losses(groups, [], "5-gram"))
    assert [bar.get_width() for bar in word.patches] == [4, 2, 3, 1]
    assert [text.get_text() for text in line.texts] == ["no line begins in the text"]


def test_the_alphabet_is_where_its_coordinates_are():
    (axes,) = drawn(plots.alphabet("a B", np.array([[0, 1.0], [2, 3], [4, 5]]), np.array([0.5, 0.25])))
    assert {text.get_text(): text.get_position() for text in axes.texts} == {"a": (0, 1), "␣": (2, 3), "B": (4, 5)}


def test_labels_that_would_cover_each_other_are_moved_apart_and_the_others_stay(rng):
    crowd, alone = rng.normal(0, 0.3, (10, 2)), [[9.0, 0], [0, -9]]
    moves = plots.moves_apart(np.array([*crowd, [0, 0], [0, 0], *alone]))
    assert not moves[-2:].any() and np.linalg.norm(moves, axis=1).max() < 3
    places = np.array([*crowd, [0, 0], [0, 0]]) + moves[:-2]
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    assert distances[np.triu_indices(12, k=1)].min() > 0.85


@pytest.mark.parametrize("plot", [plots.learning([], 1), plots.context([]), plots.alphabet("", None, None, "why")])
def test_what_is_missing_is_said(plot):
    (axes,) = drawn(plot)
    assert len(axes.texts) == 1 and not axes.axison


def test_settings_of_the_user_change_nothing():
    plot = plots.learning(HISTORY, 1)
    before = plot.file()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9}):
        assert plot.file() == before
        assert matplotlib.rcParams["font.size"] == 30


def test_the_page_gives_text_and_axes_their_colour_and_ids_of_their_own():
    plot = plots.learning(HISTORY, 1)
    assert INK in plot.file().decode()
    ids = []
    for svg in plot.inline():
        assert INK not in svg and "currentColor" in svg and "xlink" not in svg and "xmlns" not in svg
        ids += re.findall(r' id="(\w+)"', svg)
    assert len(ids) == len(set(ids)) > 0


def test_numbers_are_short_but_labels_are_not_rounded():
    svg = plots.learning(
        [{**HISTORY[0], "learning_rate": 0.0004}, {**HISTORY[1], "learning_rate": 0.0001}], 1
    ).inline()[1]
    assert not re.search(r'd="[^"]*\.\d{3}', svg)
    assert re.search(r">0\.0004", svg)
