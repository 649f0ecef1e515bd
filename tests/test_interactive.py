"""Writing together with the model, in a real pseudo-terminal; and what `sample` prints in one, with colours."""

import os
import re
import subprocess

import numpy as np
import pytest

from charrnn.errors import InputError
from charrnn.model_file import load_model
from charrnn.reading import surprise
from stages.common.colour import tint
from stages.common.interactive import Follower
from tests.stage_project import ENVIRONMENT, MODEL, command, printed_by

pty = pytest.importorskip("pty", reason="pseudo-terminals are a thing of POSIX")

from tests.terminal import Terminal  # noqa: E402 (which needs a pty)

CTRL_C, CTRL_D, CTRL_G, TAB, UP, DOWN, BACKSPACE = "\x03", "\x04", "\x07", "\t", "\x1b[A", "\x1b[B", "\x7f"


@pytest.fixture
def trained(finished):
    return load_model(finished / MODEL)


def most_probable(trained, text, k=5):
    """The k most probable characters after a text, and their probabilities as they are shown."""
    p = trained.model.predict(trained.vectorizer.encode(text))[-1]
    order = np.argsort(-p, kind="stable")[:k]
    return [(trained.vectorizer.vocabulary[i], f"{p[i]:.4%}") for i in order]


def panel(trained, text, marked=0, k=5):
    """What stands below the text."""
    shown = most_probable(trained, text, k)
    rows = [f"{'>' if i == marked else ' '} {p:>9}  {c!r}" for i, (c, p) in enumerate(shown)]
    return "\n".join([*rows, "Tab: take; Up, Down: mark another"])


def without_final_blanks(text):
    return re.sub(r"(?m) +$", "", text).rstrip("\n")


def test_type_pick_and_go_on(finished, trained):
    with Terminal(finished, "sample", "--interactive") as terminal:
        terminal.wait_for("Type a beginning. Ctrl-D: end")
        terminal.type("ba")
        terminal.wait_for(panel(trained, "ba"))
        first = most_probable(trained, "ba")[0][0]
        terminal.type(TAB)
        terminal.wait_for(panel(trained, text := "ba" + first))
        terminal.type(DOWN + DOWN + DOWN + UP)
        terminal.wait_for(panel(trained, text, marked=2))
        terminal.type(TAB)
        terminal.wait_for(panel(trained, text := text + most_probable(trained, text)[2][0]))
        terminal.type("\rd é")
        terminal.wait_for(panel(trained, text := text + "\nd é"))
        terminal.type(UP)
        terminal.wait_for(panel(trained, text, marked=4))
        terminal.type(BACKSPACE)
        terminal.wait_for(panel(trained, text := text[:-1]))
        terminal.type(CTRL_D)
        assert terminal.wait_for_end() == 0
        assert str(terminal.screen) == without_final_blanks(text)


def test_ctrl_g_writes_what_a_sample_with_this_seed_has(finished, trained):
    flags = ["bad", "--seed", 7, "--temperature", 0.7, "--top-k", 3, "--num-to-generate", 40]
    whole = printed_by(finished, "sample", *flags).removesuffix("\n")
    flags += ["--stop", whole[10:14]]
    written = printed_by(finished, "sample", *flags).removesuffix("\n")
    assert "bad" < written < whole
    with Terminal(finished, "sample", "--interactive", *flags, "--show", 2) as terminal:
        terminal.wait_for(panel(trained, "bad", k=2))
        terminal.type(CTRL_G)
        terminal.wait_for(panel(trained, written, k=2))
        terminal.type(CTRL_D)
        assert terminal.wait_for_end() == 0
        assert str(terminal.screen) == without_final_blanks(written)


def test_a_key_stops_the_model_and_ctrl_d_the_program(finished):
    with Terminal(finished, "sample", "--interactive", "b", "--num-to-generate", 10**12) as terminal:
        terminal.wait_for("Tab: take")
        terminal.type(CTRL_G)
        terminal.wait_until(lambda screen: len(terminal.output) > 20_000)
        terminal.type(DOWN)
        terminal.wait_until(
            lambda screen: re.search(r"(?m)^-+\n  .*\n> ", screen)
        )  # a new text would take the mark back
        terminal.type("¤")
        terminal.wait_for("the vocabulary lacks '¤' at position")
        terminal.type(BACKSPACE + CTRL_G)
        terminal.wait_until(lambda screen: "¤" not in screen)
        terminal.type(CTRL_D)
        assert terminal.wait_for_end() == 0


def test_an_unknown_character_is_named_until_it_is_deleted(finished, trained):
    with Terminal(finished, "sample", "--interactive") as terminal:
        terminal.wait_for("Type a beginning")
        terminal.type("ba¤")
        unknown = "the vocabulary lacks '¤' at position 2\nCtrl-D: end"
        terminal.wait_for(unknown)
        terminal.type(TAB + CTRL_G + DOWN + "d")
        terminal.wait_for(f"ba¤d\n{120 * '-'}\n{unknown}")
        terminal.type(BACKSPACE + BACKSPACE)
        terminal.wait_for(panel(trained, "ba"))


def test_in_a_low_terminal_the_marked_candidate_is_in_sight(finished, trained):
    rows = panel(trained, "ba", marked=6, k=9).splitlines()
    with Terminal(finished, "sample", "--interactive", "ba", "--show", 9, rows=6) as terminal:
        terminal.wait_for(panel(trained, "ba", k=9).splitlines()[3])
        terminal.type(6 * DOWN)
        terminal.wait_for("\n".join(rows[3:7]))
        assert rows[7] not in str(terminal.screen)
        terminal.type("\x1b[D\x1b[D" + DOWN)  # to the left, twice
        terminal.wait_for("Type a beginning")


def test_when_the_cursor_moves_the_first_candidate_is_marked(finished, trained):
    with Terminal(finished, "sample", "--interactive", "ba") as terminal:
        terminal.wait_for("Tab: take")
        terminal.type(DOWN + DOWN + "\x1b[D")
        terminal.wait_for(panel(trained, "b"))
        terminal.type(TAB)
        text = "b" + most_probable(trained, "b")[0][0]
        terminal.wait_for(panel(trained, text))
        assert str(terminal.screen).startswith(text + "a\n")


def test_ctrl_c_ends_it_like_any_stage(finished):
    with Terminal(finished, "sample", "--interactive") as terminal:
        terminal.wait_for("Type a beginning")
        terminal.type("bad" + CTRL_C)
        assert terminal.wait_for_end() == 130
        assert str(terminal.screen).split() == ["bad", "interrupted"]


def test_keys_without_a_text_do_nothing(finished):
    with Terminal(finished, "sample", "--interactive") as terminal:
        terminal.wait_for("Type a beginning")
        terminal.type(TAB + CTRL_G + UP + DOWN + "b" + TAB)
        terminal.wait_for("Tab: take")
        terminal.type(CTRL_D)
        assert terminal.wait_for_end() == 0


@pytest.mark.parametrize(("environment", "flags"), [({}, []), ({"NO_COLOR": "1"}, ["--color"])], ids=str)
def test_the_text_is_shaded_by_surprise(finished, trained, environment, flags):
    with Terminal(finished, "sample", "--interactive", "bad", *flags, **environment) as terminal:
        terminal.wait_for("Tab: take")
        bits, _ = surprise(trained.model, trained.vectorizer.encode("bad"))
        assert [tint(*pair) for pair in zip("bad", bits)] == [None, ("fg", 2), ("fg", 2)]
        assert re.search(r"\x1b\[[\d;]*38;5;166m", terminal.output)


@pytest.mark.parametrize(("environment", "flags"), [({"NO_COLOR": "1"}, []), ({}, ["--no-color"])], ids=str)
def test_without_colour_no_colour_is_used(finished, environment, flags):
    with Terminal(finished, "sample", "--interactive", "bad", *flags, **environment) as terminal:
        terminal.wait_for("Tab: take")
        terminal.type("\x1b[200~\t\x1b[201~")  # pasted
        terminal.wait_for(r"'\t' at position 3")
        assert not re.search(r"\x1b\[[\d;]*[34]8;5", terminal.output)


@pytest.mark.parametrize("stream", ["input", "output"])
def test_it_needs_a_terminal(finished, stream):
    master, slave = pty.openpty()
    streams = {"stdin": slave, "stdout": slave} | {"stdin" if stream == "input" else "stdout": subprocess.PIPE}
    ended = subprocess.run(
        command("sample", "--interactive"), cwd=finished, env=ENVIRONMENT, stderr=subprocess.PIPE, **streams
    )
    os.close(master)
    os.close(slave)
    assert ended.returncode == 1
    assert ended.stderr.decode() == f"error: --interactive needs a terminal, but standard {stream} is not one\n"


def test_it_needs_a_terminal_that_can_move_its_cursor(finished):
    with Terminal(finished, "sample", "--interactive", TERM="dumb") as terminal:
        assert terminal.wait_for_end() == 1
        line = "error: --interactive needs a terminal that can move its cursor, but TERM is dumb\r\n"
        assert terminal.output == line


def test_a_follower_knows_what_one_that_reads_the_whole_text_knows(trained):
    follower = Follower(trained)
    for text in ("", "b", "bad", "bad\ncab", "bad\nca", "bad", "cad", "cad é", ""):
        follower.follow(text)
        bits, context = surprise(trained.model, trained.vectorizer.encode(text))
        np.testing.assert_allclose(follower.bits, bits, rtol=1e-5)
        assert (follower.context is None) == (context is None)
        if context:
            np.testing.assert_allclose(follower.context.logits, context.logits, rtol=1e-5)


def test_a_follower_is_unchanged_by_a_text_that_it_can_not_read(trained):
    follower = Follower(trained)
    follower.follow("bad")
    before = dict(vars(follower))
    with pytest.raises(InputError, match="'¤' at position 3"):
        follower.follow("bad¤")
    assert vars(follower) == before


def test_a_sample_is_shaded_in_a_terminal_and_only_there(finished):
    plain = printed_by(finished, "sample", "bad")
    with Terminal(finished, "sample", "bad") as terminal:
        assert terminal.wait_for_end() == 0
        assert "\x1b[38;5;166m" in terminal.output
        assert re.sub(r"\x1b\[[\d;]*m", "", terminal.output).replace("\r\n", "\n") == plain
    for environment, flags in (({"NO_COLOR": "1"}, []), ({"TERM": "dumb"}, []), ({}, ["--no-color"])):
        with Terminal(finished, "sample", "bad", *flags, **environment) as terminal:
            assert terminal.wait_for_end() == 0
            assert terminal.output.replace("\r\n", "\n") == plain
