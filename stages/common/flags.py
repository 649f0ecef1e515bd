"""The command-line flags of a stage: its hyperparameters, and the paths of files."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from charrnn.config import Setting, Value
from charrnn.errors import InputError
from charrnn.messages import quoted
from stages.common.params import PARAMS, as_yaml, load_params
from stages.common.paths import Paths

PATH_HELP = {
    "data_dir": "folder of raw/ and processed/",
    "data_filename": "name of the corpus in raw/",
    "model_dir": "folder of the model file",
    "model_filename": "name of the model file",
    "weights_path": "model file to use instead of the one in the model folder",
    "metrics_dir": "folder that metrics are written to",
}
DEFAULTS = "Hyperparameters not given as flags are read from params.yaml, which ships with the defaults above."


def parser(
    description: str | None, params: Sequence[str], paths: Sequence[str], **reworded: str
) -> argparse.ArgumentParser:
    """A parser with a flag for each of the stage's params and of the paths that it uses; keywords replace their help.

    Every stage accepts all paths, so that the same flags can be passed to all stages, but its help lists only its own.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{Path(sys.argv[0]).stem}",
        description=description,
        epilog=DEFAULTS if params else None,
    )
    group = parser.add_argument_group("hyperparameters")
    for name in params:
        _add_flag(group, PARAMS[name], reworded.get(name, PARAMS[name].help))
    group = parser.add_argument_group("files; every stage accepts the flags of all stages")
    for name in PATH_HELP:
        default = getattr(Paths, name)
        text = reworded.get(name, PATH_HELP[name]) + (f" (default: {default})" if default else "")
        group.add_argument(
            _flag(name),
            type=type(default) if default else Path,
            default=default,
            metavar="PATH",
            help=text if name in paths else argparse.SUPPRESS,
        )
    return parser


def values(args: argparse.Namespace, params: Sequence[str]) -> dict[str, Value]:
    """The stage's params: from the flags if they are given, otherwise from params.yaml.

    Raises
    ------
    InputError
        If a value is not allowed.
    """
    given = {name: getattr(args, name) for name in params}
    in_file = load_params()
    return {name: in_file[name] if value is None else PARAMS[name].parse(value) for name, value in given.items()}


def parsed(setting: Setting, value: str | None) -> Value:
    """The value of a flag that is no hyperparameter: the setting's default if the flag is not given.

    Raises
    ------
    InputError
        If the value is not allowed.
    """
    return setting.default if value is None else setting.parse(value)


def refuse_both(args: argparse.Namespace, name: str, others: Sequence[str]) -> None:
    """Raise InputError if one of these other flags is given, which have no effect on what the first one asks for."""
    for other in others:
        if getattr(args, other) is not None:
            raise InputError(f"{_flag(other)} and {_flag(name)} are given; use only one of them")


def paths(args: argparse.Namespace) -> Paths:
    """The paths among the flags."""
    return Paths(**{name: getattr(args, name) for name in PATH_HELP})


def source(path: str) -> tuple[int | str, str]:
    """The file to open for a path from the command line, where - is standard input, and its name in error messages.

    Raises
    ------
    InputError
        If there is no such file, or standard input is closed.
    """
    if path != "-":
        if not os.path.exists(path):  # Path("") would be this folder
            raise InputError(f"{quoted(path)} is not a file")
        return path, path
    if sys.stdin is None:
        raise InputError("standard input is closed; it must be open to be read")
    return sys.stdin.fileno(), "standard input"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _add_flag(group: argparse._ArgumentGroup, param: Setting, help: str) -> None:
    default = " ".join(param.default) if isinstance(param.default, list) else param.default
    default = as_yaml(default) if isinstance(default, str) else default
    text = f"{help} (default: {default})".replace("%", "%%")
    if isinstance(param.default, bool):
        group.add_argument(_flag(param.name), action=argparse.BooleanOptionalAction, help=text)
    elif isinstance(param.default, list):
        group.add_argument(_flag(param.name), nargs="+", metavar="SOURCE", help=text)
    else:
        metavar = "|".join(param.choices) or type(param.default).__name__.upper()
        group.add_argument(_flag(param.name), metavar=metavar, help=text)
