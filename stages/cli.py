"""What every stage does alike: read flags and params.yaml, know where files lie, and end with one clear line."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import CharRNNError, InputError
from stages.params import PARAMS, Param, Value, load_params


@dataclass(frozen=True)
class Locations:
    """Where the files of the pipeline lie."""

    data_dir: Path = Path("data")
    data_filename: str = "input.txt"
    model_dir: Path = Path("models")
    model_filename: str = "char_rnn.npz"
    weights_path: Path | None = None
    metrics_dir: Path = Path("metrics")

    @property
    def raw(self) -> Path:
        """The corpus."""
        return self.data_dir / "raw" / self.data_filename

    @property
    def processed(self) -> Path:
        """The folder of what `prepare` makes of it."""
        return self.data_dir / "processed"

    @property
    def vocabulary(self) -> Path:
        """The characters that have an id, and which text they come from."""
        return self.processed / "vocabulary.json"

    @property
    def model(self) -> Path:
        """The model file that `train` writes."""
        return self.model_dir / self.model_filename

    @property
    def checkpoint(self) -> Path:
        """How far `train` has come, if it was stopped."""
        return self.model.with_name(self.model.name + ".checkpoint")

    @property
    def trained(self) -> Path:
        """The model file that `evaluate` and `sample` read."""
        return self.weights_path or self.model


LOCATION_HELP = {
    "data_dir": "folder of raw/ and processed/",
    "data_filename": "name of the corpus in raw/",
    "model_dir": "folder of the model file",
    "model_filename": "name of the model file",
    "weights_path": "model file to use instead of the one in the model folder",
    "metrics_dir": "folder that metrics are written to",
}


def parser(description: str, params: Sequence[str], **reworded: str) -> argparse.ArgumentParser:
    """A parser with a flag for each of the stage's params and for every location; keywords reword the help of some.

    All stages take all locations, so that one set of flags can be passed to each of them.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m stages.{Path(sys.argv[0]).stem}",
        description=description,
        epilog="Hyperparameters not given here are those of params.yaml, which ships with the defaults above.",
    )
    group = parser.add_argument_group("hyperparameters")
    for name in params:
        _add_flag(group, PARAMS[name], reworded.get(name, PARAMS[name].help))
    group = parser.add_argument_group("files, the same for every stage")
    for name in LOCATION_HELP:
        default = getattr(Locations, name)
        text = reworded.get(name, LOCATION_HELP[name]) + (f" (default: {default})" if default else "")
        group.add_argument(
            _flag(name), type=type(default) if default else Path, default=default, metavar="PATH", help=text
        )
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _add_flag(group: argparse._ArgumentGroup, param: Param, help: str) -> None:
    default = " ".join(param.default) if isinstance(param.default, list) else param.default
    text = f"{help} (default: {default})".replace("%", "%%")
    if isinstance(param.default, bool):
        group.add_argument(_flag(param.name), action=argparse.BooleanOptionalAction, help=text)
    elif isinstance(param.default, list):
        group.add_argument(_flag(param.name), nargs="+", metavar="SOURCE", help=text)
    else:
        metavar = "|".join(param.choices) or type(param.default).__name__.upper()
        group.add_argument(_flag(param.name), metavar=metavar, help=text)


def values(args: argparse.Namespace, params: Sequence[str]) -> dict[str, Value]:
    """The stage's params: from the flags where they are given, from params.yaml where not.

    Raises
    ------
    InputError
        If a value is not allowed.
    """
    given = {name: getattr(args, name) for name in params}
    of_file = load_params()
    return {name: of_file[name] if value is None else PARAMS[name].parse(value) for name, value in given.items()}


def locations(args: argparse.Namespace) -> Locations:
    """The locations among the flags."""
    return Locations(**{name: getattr(args, name) for name in LOCATION_HELP})


def source(path: str) -> tuple[int | str, str]:
    """What to open for a path from the command line, where - is standard input, and what to call it in errors.

    Raises
    ------
    InputError
        If there is no such file, or standard input is closed.
    """
    if path != "-":
        if not os.path.exists(path):  # Path("") would be this folder
            raise InputError(f"{path!r} is not a file")
        return path, path
    if sys.stdin is None:
        raise InputError("standard input is closed; it must be open to be read")
    return sys.stdin.fileno(), "standard input"


def run(main: Callable[[], None]) -> None:
    """Run a stage; what a user can mend, and Ctrl-C, end it with one line and an exit code that tells DVC it failed."""
    # The terminal or file may lack characters of the text. (To mypy, standard output could be anything with `write`.)
    # What overflows is found by the figures it leads to. np.errstate would slow every NumPy call down; this does not.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="charrnn")
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        main()
        sys.stdout.flush()
    except CharRNNError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # `python -m stages.sample | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; run the stages before this one first, or `dvc repro`")
    except OSError as error:
        sys.exit(f"error: {error.filename or ''}: {error.strerror or error}")
    except MemoryError as error:
        sys.exit(f"error: out of memory: {error}")
    except KeyboardInterrupt as interrupt:
        print("; ".join(["\ninterrupted", *interrupt.args]), file=sys.stderr)
        sys.exit(130)
