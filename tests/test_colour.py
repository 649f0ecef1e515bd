"""Shades of surprise: which characters get which, when, and that nothing else of a sample changes."""

import re

import numpy as np
import pytest

from charrnn.model_file import load_model
from stages.common.colour import COLOURS, NUMBERS, shaded, tint, wanted
from stages.common.samples import samples, write
from tests.stage_project import MODEL, printed_by

ESCAPE = re.compile(r"\x1b\[(?:([34]8);5;(\d+)|0)m")


def contrast(colour, other):
    """The contrast ratio of two colours, from 1 to 21 (WCAG 2.2)."""
    channels = [np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for c in (colour, other)]
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in channels]
    darker, lighter = sorted(c @ [0.2126, 0.7152, 0.0722] + 0.05 for c in linear)
    return lighter / darker


@pytest.mark.parametrize("colour", COLOURS.values())
def test_every_level_can_be_read_on_dark_and_on_light(colour):
    assert min(contrast(colour, background) for background in ("#000000", "#1e1e1e", "#ffffff")) > 3


def test_the_hexadecimal_colours_are_those_of_the_numbers():
    """The 256 colours are 16 of the theme, a cube of 6 · 6 · 6, and 24 grays."""
    steps = (0, 95, 135, 175, 215, 255)
    for number, colour in COLOURS.items():
        place = number - 16
        cube = [steps[place // 36 % 6], steps[place // 6 % 6], steps[place % 6]]
        channels = cube if number < 232 else 3 * [8 + 10 * (number - 232)]
        assert colour == "#{:02x}{:02x}{:02x}".format(*channels)


@pytest.mark.parametrize(("bits", "level"), [(0, 0), (0.99, 0), (1, 1), (2.99, 1), (3, 2), (5.99, 2), (6, 3), (1e9, 3)])
def test_levels(bits, level):
    assert tint("a", bits) == ("fg", level)
    assert tint(" ", bits) == (("bg", level) if level >= 2 else None)
    assert tint("\n", bits) is tint("\r", bits) is None


def test_what_was_not_predicted_has_no_shade():
    assert tint("a", float("nan")) is None


def test_neighbours_of_one_level_share_an_escape_sequence():
    one, three = NUMBERS[1], NUMBERS[3]
    assert shaded("ab c\nd", [2, 2, 9, 9, 9, float("inf")]) == (
        f"\x1b[38;5;{one}mab\x1b[0m\x1b[48;5;{three}m \x1b[0m\x1b[38;5;{three}mc\x1b[0m\n\x1b[38;5;{three}md\x1b[0m"
    )


@pytest.mark.parametrize("several", [(), ("--num-samples", 2), ("--temperatures", 0.5, 1), ("--stop", "ab")], ids=str)
def test_colour_adds_nothing_but_escape_sequences_and_none_to_a_file(project, several):
    flags = ["bad cab", "--num-to-generate", 400, *several]
    plain = printed_by(project, "sample", *flags)
    coloured = printed_by(project, "sample", *flags, "--color", "--output", "sample.txt")
    assert ESCAPE.sub("", coloured) == plain != coloured
    assert (project / "sample.txt").read_bytes() == plain.encode()
    assert printed_by(project, "sample", *flags, "--no-color") == plain


def test_each_generated_character_has_the_surprise_of_the_prediction_at_temperature_1(finished):
    trained = load_model(finished / MODEL)
    params = dict(start_string="bad", num_to_generate=300, temperature=0.3, top_k=3, top_p=1.0, seed=0)
    pieces = list(samples(trained, [params], with_headings=False, num_samples=1, stop="", shade=True))
    assert pieces[0] == ("bad", None) and pieces[-1] == ("\n", None)
    written = "".join(text for text, _ in pieces[:-1])
    bits = np.concatenate([bits for _, bits in pieces[1:-1]])
    ids = trained.vectorizer.encode(written)
    p = trained.model.predict(ids)[np.arange(2, len(ids) - 1), ids[3:]]
    assert len(bits) == 300
    np.testing.assert_allclose(bits, -np.log2(p), rtol=1e-4)


@pytest.mark.parametrize(
    ("flag", "terminal", "environment", "expected"),
    [
        (None, True, {}, True),
        (None, True, {"NO_COLOR": ""}, True),
        (None, True, {"NO_COLOR": "1"}, False),
        (None, True, {"TERM": "dumb"}, False),
        (None, False, {}, False),
        (True, False, {"NO_COLOR": "1", "TERM": "dumb"}, True),
        (False, True, {}, False),
    ],
)
def test_when_colour_is_wanted(monkeypatch, flag, terminal, environment, expected):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"WT_SESSION": "1"} | environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    assert wanted(flag) == expected


def test_a_piece_is_printed_shaded_and_written_plain(tmp_path, capsys):
    write([("a", None), ("bc", np.array([9.0, 0.0]))], tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == b"abc"
    assert capsys.readouterr().out == "a\x1b[38;5;202mb\x1b[0m\x1b[38;5;244mc\x1b[0m"
