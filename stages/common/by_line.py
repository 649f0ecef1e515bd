"""Print how much each line of a text surprises the trained model, in the text's order or the most surprising first."""

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from charrnn.data.corpus import read_text
from charrnn.errors import InputError
from charrnn.messages import LONGEST_QUOTE, counted, figure, shown
from charrnn.model_file import ModelFile
from charrnn.reading import LN2, surprise
from stages.common import flags
from stages.common.metrics_files import DIGITS, require_finite, warn_if_worse_than_guessing
from stages.common.scoring import left_out

LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(slots=True)
class Line:
    """A line: how many of its characters were predicted, its line break among them, and their bits together."""

    number: int
    start: str = ""  # as much of it as is shown
    characters: int = 0
    bits: float = 0.0

    @property
    def bits_per_char(self) -> float | None:
        """The mean surprise of its characters; None if none of them was predicted."""
        return self.bits / self.characters if self.characters else None

    @property
    def text(self) -> str:
        """The line for a terminal, without its line break."""
        return shown(self.start.removesuffix("\r"))

    def add(self, piece: str, bits: np.ndarray) -> None:
        """Add a piece of the line, and the bits of those of its characters that were predicted."""
        self.start += piece[: LONGEST_QUOTE + 1 - len(self.start)].removesuffix("\n")
        self.characters += len(bits)
        self.bits += float(bits.sum(dtype=np.float64))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags for scoring a text line by line."""
    parser.add_argument(
        "--by-line",
        action="store_true",
        help="with --text: print each line with its number, how many of its characters were predicted, and their mean "
        "surprise in bits; a line break belongs to the line that it ends, the state is carried from line to line, and "
        "what the model does not know is left out",
    )
    parser.add_argument("--sort", action="store_true", help="with --by-line: print the most surprising lines first")
    parser.add_argument(
        "--csv",
        action="store_true",
        help="with --by-line: print CSV, and the figures of the whole text on standard error; as in the table, no "
        f"more than {LONGEST_QUOTE} characters of a line are shown, and control characters are escaped",
    )


def require_consistent(args: argparse.Namespace) -> None:
    """Raise InputError if one of these flags is given without the one it needs."""
    for flag, needed, missing in (
        ("--by-line", "--text", args.by_line and args.text is None),
        ("--sort", "--by-line", args.sort and not args.by_line),
        ("--csv", "--by-line", args.csv and not args.by_line),
    ):
        if missing:
            raise InputError(f"{flag} is given without {needed}, which it needs")
    if args.by_line:
        flags.refuse_both(args, "by_line", ["dynamic"])


def scored_lines(trained: ModelFile, chunks: Iterable[str], unknown: Counter[str]) -> Iterator[Line]:
    """Yield the lines of a text that comes in chunks, and count in `unknown` the characters that the model lacks.

    They are left out. The state is carried from line to line; the first character of the text is not predicted.
    """
    line, context = Line(1), None
    for chunk in chunks:
        ids, others = trained.vectorizer.encode_known(chunk)
        unknown.update(others)
        start, first_predicted = 0, 1 if context is None else 0
        bits, context = surprise(trained.model, ids, context)
        for piece in LINE.findall(chunk):
            end = start + len(piece) - sum(character in others for character in piece if others)
            line.add(piece, bits[max(start, first_predicted) : end])
            start = end
            if piece.endswith("\n"):
                yield line
                line = Line(line.number + 1)
    if line.start:
        yield line


def print_lines(trained: ModelFile, path: str, *, sort: bool, as_csv: bool) -> None:
    """Print the lines of a text file, or of standard input if the path is -, and then the figures of the whole text.

    Raises
    ------
    InputError
        If no character can be predicted, because the model knows fewer than two of the text.
    DivergenceError
        If a figure is not finite.
    """
    unknown: Counter[str] = Counter()
    whole = Line(0)
    lines: Iterable[Line] = _added_up(scored_lines(trained, read_text(*flags.source(path)), unknown), whole)
    if sort:
        lines = sorted(lines, key=_bits_or_least, reverse=True)
    (_print_csv if as_csv else _print_table)(lines)
    about = sys.stderr if as_csv else sys.stdout
    if unknown:
        print(left_out(unknown), file=about)
    if whole.bits_per_char is None:
        raise InputError("the model knows fewer than 2 characters of the text to evaluate; it must know at least 2")
    loss = whole.bits_per_char * LN2
    words = f"loss {figure(loss)} nats per character ({figure(whole.bits_per_char)} bits)"
    print(f"{words}, over {counted(whole.characters, 'character')}", file=about)
    warn_if_worse_than_guessing(loss, trained.vectorizer.vocabulary_size)


def _added_up(lines: Iterable[Line], whole: Line) -> Iterator[Line]:
    """Yield these lines, and add each to the whole."""
    for line in lines:
        require_finite({"bits_per_char": line.bits_per_char})
        whole.characters += line.characters
        whole.bits += line.bits
        yield line


def _bits_or_least(line: Line) -> float:
    return -inf if line.bits_per_char is None else line.bits_per_char


def _print_table(lines: Iterable[Line]) -> None:
    print(f"{'line':>7}  {'chars':>6}  {'bits':>6}  text")
    for line in lines:
        bits = "-" if line.bits_per_char is None else figure(line.bits_per_char, decimals=2)
        print(f"{line.number:>7}  {line.characters:>6}  {bits:>6}  {line.text}".rstrip())


def _print_csv(lines: Iterable[Line]) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("line", "characters", "bits_per_char", "text"))
    for line in lines:
        bits = "" if line.bits_per_char is None else f"{line.bits_per_char:.{DIGITS}g}"
        table.writerow((line.number, line.characters, bits, line.text))
