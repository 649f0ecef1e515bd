"""`evaluate --by-line`: each line with the surprise of its characters, which add up to the loss of the text."""

import csv
import io
import re
import subprocess
import tracemalloc
from collections import Counter

import numpy as np
import pytest

from charrnn.model_file import load_model, save_model
from stages.common.by_line import scored_lines
from tests.stage_project import ENVIRONMENT, MODEL, TEXT, call, command, files, printed_by


def by_line(folder, text, *flags):
    """The rows of the table (line, chars, bits, text), and the lines below it."""
    (folder / "text.txt").write_bytes(text.encode())
    ended = call(folder, "evaluate", "--text", "text.txt", "--by-line", *flags)
    assert ended.returncode == 0 and (not ended.stderr or ended.stderr.startswith("warning: the model predicts worse"))
    shown = ended.stdout.splitlines()
    end = next(i for i, line in enumerate(shown) if line.startswith(("left out", "loss")))
    assert shown[0].split() == ["line", "chars", "bits", "text"]
    return [re.fullmatch(r" *(\d+) +(\d+) +([\d.]+|-)(?:  (.*))?", row).groups("") for row in shown[1:end]], shown[end:]


def expected_bits(folder, text):
    """The surprise of each character; NaN for the first."""
    trained = load_model(folder / MODEL)
    ids = trained.vectorizer.encode(text)
    p = trained.model.predict(ids)
    return np.append(np.nan, -np.log2(p[np.arange(len(ids) - 1), ids[1:]]))


def test_each_line_has_the_mean_surprise_of_its_characters_and_its_line_break(project):
    text = "bad\n\ncab é"
    bits = expected_bits(project, text)
    rows, _ = by_line(project, text)
    assert rows == [
        ("1", "3", f"{bits[1:4].mean():.2f}", "bad"),
        ("2", "1", f"{bits[4]:.2f}", ""),
        ("3", "5", f"{bits[5:].mean():.2f}", "cab é"),
    ]


def test_the_bits_of_all_lines_add_up_to_what_is_printed_without_by_line(project):
    (project / "text.txt").write_bytes(TEXT.encode())
    whole = printed_by(project, "evaluate", "--text", "text.txt")
    table = csv.DictReader(io.StringIO(call(project, "evaluate", "--text=text.txt", "--by-line", "--csv").stdout))
    rows = [(int(row["characters"]), float(row["bits_per_char"])) for row in table]
    assert sum(n for n, _ in rows) == len(TEXT) - 1
    bits = sum(n * mean for n, mean in rows) / (len(TEXT) - 1)
    assert re.search(r"\(([\d.]+) bits\)", whole)[1] == f"{bits:.4f}"
    _, (below,) = by_line(project, TEXT)
    assert whole.startswith(below.split(", over")[0]) and whole.endswith(below.split(", ")[1] + "\n")


def test_what_the_model_does_not_know_is_left_out_and_counted(project):
    bits = expected_bits(project, "bd\n\ncab")
    rows, below = by_line(project, "bxd\n¤\nycxab")
    assert rows == [
        ("1", "2", f"{bits[1:3].mean():.2f}", "bxd"),
        ("2", "1", f"{bits[3]:.2f}", "¤"),
        ("3", "3", f"{bits[4:].mean():.2f}", "ycxab"),
    ]
    (project / "text.txt").write_text("bxd\n¤\nycxab", encoding="utf-8")
    assert below[0] == printed_by(project, "evaluate", "--text", "text.txt").splitlines()[0]
    assert below[0].startswith("left out 4 characters that the model does not know")


def test_the_first_known_character_is_not_predicted_wherever_it_is(project):
    bits = expected_bits(project, "\nbad\n")
    rows, _ = by_line(project, "x\nbad\nx")
    assert rows == [("1", "0", "-", "x"), ("2", "4", f"{bits[1:].mean():.2f}", "bad"), ("3", "0", "-", "x")]


@pytest.mark.parametrize("text", ["", "b", "x\u0665"])
def test_a_text_without_any_prediction_is_refused(project, text):
    (project / "text.txt").write_text(text, encoding="utf-8")
    ended = call(project, "evaluate", "--text", "text.txt", "--by-line")
    assert (ended.returncode, ended.stderr) == (
        1,
        "error: the model knows fewer than 2 characters of the text to evaluate; it must know at least 2\n",
    )


def test_sort_prints_the_most_surprising_lines_first(project):
    text = TEXT[:400] + "\n\n"
    rows, below = by_line(project, "x" + text)
    by_surprise, same = by_line(project, "x" + text, "--sort")
    figures = [float(row[2]) for row in by_surprise if row[2] != "-"]
    assert figures == sorted(figures, reverse=True) and len(set(figures)) > 3
    assert sorted(by_surprise) == sorted(rows) and by_surprise != rows
    assert below == same


def test_of_equally_surprising_lines_the_first_comes_first_and_those_without_a_figure_last(project):
    trained = load_model(project / MODEL)
    trained.model.parameters[...] = 0
    save_model(project / MODEL, trained)
    rows, _ = by_line(project, "x\nbad\ncab\nx\n\n", "--sort")
    assert [row[0] for row in rows] == ["2", "3", "4", "5", "1"]
    assert {row[2] for row in rows[:-1]} == {f"{np.log2(trained.vectorizer.vocabulary_size):.2f}"}


@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_lines_do_not_depend_on_how_the_text_is_cut(finished, size):
    trained = load_model(finished / MODEL)
    text = "xbad\ncab\n\n¤ é€x\nfed"
    unknown, unknown_of_whole = Counter(), Counter()
    chunks = ["", *(text[i : i + size] for i in range(0, len(text), size)), ""]
    lines = list(scored_lines(trained, chunks, unknown))
    assert [(line.number, line.text, line.characters) for line in lines] == [
        (1, "xbad", 3),
        (2, "cab", 4),
        (3, "", 1),
        (4, "¤ é€x", 4),
        (5, "fed", 2),
    ]
    whole = [line.bits for line in scored_lines(trained, [text], unknown_of_whole)]
    np.testing.assert_allclose([line.bits for line in lines], whole, rtol=1e-5)
    assert unknown == unknown_of_whole == {"x": 2, "¤": 1, "e": 1}


def test_a_line_is_shown_escaped_and_cut(project):
    rows, _ = by_line(project, "b\x1b[31md\tb\r\n" + 300 * "b" + "\n" + 200 * "d" + "\r\n")
    assert [row[3] for row in rows] == [r"b\x1b[31md\tb", 200 * "b" + "...", 200 * "d"]


def test_csv_has_the_same_lines_and_nothing_else(project):
    text = 'b"a,d\ncab\n\nx'
    rows, below = by_line(project, text)
    ended = call(project, "evaluate", "--text", "text.txt", "--by-line", "--csv")
    assert (ended.returncode, ended.stderr.splitlines()) == (0, below)
    table = list(csv.DictReader(io.StringIO(ended.stdout)))
    assert list(table[0]) == ["line", "characters", "bits_per_char", "text"]
    in_table = [
        (row["line"], row["characters"], f"{float(row['bits_per_char'] or 'nan'):.2f}", row["text"]) for row in table
    ]
    assert in_table == [(*row[:2], row[2].replace("-", "nan"), row[3]) for row in rows]
    assert all(re.fullmatch(r"[\d.]{1,7}|", row["bits_per_char"]) for row in table)
    one = call(project, "evaluate", "--text=text.txt", "--by-line", "--csv", "--sort").stdout.splitlines()
    assert sorted(one) == sorted(ended.stdout.splitlines()) and one[0] == "line,characters,bits_per_char,text"


def test_lines_come_from_standard_input_too_and_no_file_is_written(finished):
    before = files(finished)
    text = "bad\ncab"
    piped = subprocess.run(
        command("evaluate", "--text", "-", "--by-line"),
        cwd=finished,
        env=ENVIRONMENT,
        input=text,
        capture_output=True,
        encoding="utf-8",
    )
    assert (piped.returncode, piped.stderr) == (0, "") and "\n      2       3  " in piped.stdout
    assert files(finished) == before


def test_a_model_worse_than_guessing_is_warned_of_and_one_without_figures_refused(project):
    trained = load_model(project / MODEL)
    V = trained.vectorizer.vocabulary_size
    trained.model.parameters[-V:] = [800, *[0] * (V - 1)]
    save_model(project / MODEL, trained)
    (project / "text.txt").write_text("bad", encoding="utf-8")
    assert "worse than guessing" in call(project, "evaluate", "--text", "text.txt", "--by-line").stderr
    trained.model.parameters[-V:] = [3e38, *[-3e38] * (V - 1)]
    save_model(project / MODEL, trained)
    ended = call(project, "evaluate", "--text", "text.txt", "--by-line")
    assert ended.returncode == 1 and re.fullmatch(r"error: bits_per_char is \w+; .* has diverged\n", ended.stderr)


def test_memory_does_not_grow_with_the_text(finished):
    trained = load_model(finished / MODEL)

    def peak(num_chunks):
        tracemalloc.start()
        for _ in scored_lines(trained, (20 * "bad cab" + "\nfad" for _ in range(num_chunks)), Counter()):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(300)
    assert peak(300) < peak(10) + 20_000  # a text of 42,000 characters more


def test_a_line_without_end_keeps_only_its_beginning(finished):
    trained = load_model(finished / MODEL)
    (line,) = scored_lines(trained, (100 * "bad" for _ in range(50)), Counter())
    assert (line.characters, len(line.start)) == (50 * 300 - 1, 201)
