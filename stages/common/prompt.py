"""The start string of a sample: from an argument, a flag, a file, or params.yaml."""

import argparse
import os

from charrnn.data.corpus import read_text
from charrnn.errors import InputError
from stages.common import flags


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the ways to give a start string besides --start-string."""
    parser.add_argument("start", nargs="?", metavar="TEXT", help="the start string; replaces --start-string")
    parser.add_argument(
        "--prompt-file",
        metavar="PATH",
        help="read the start string from a file, without its last line break; - is standard input",
    )


def as_utf8(argument: str | None) -> str | None:
    """An argument of the command line, read as UTF-8 even if the locale has another encoding, such as ASCII."""
    try:
        return argument and os.fsencode(argument).decode()
    except UnicodeError:
        return argument


def start_string(args: argparse.Namespace) -> str | None:
    """The start string that was given, or None.

    Raises
    ------
    InputError
        If it was given more than once, or a file can't be read.
    """
    if sum(given is not None for given in (args.start, args.prompt_file, args.start_string)) > 1:
        raise InputError("the start string is given twice; use only one of TEXT, --prompt-file and --start-string")
    if args.prompt_file is None:
        return as_utf8(args.start if args.start is not None else args.start_string)
    return "".join(read_text(*flags.source(args.prompt_file))).removesuffix("\n").removesuffix("\r")
