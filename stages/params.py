"""Print a params.yaml in which every hyperparameter has its default: `python -m stages.params > params.yaml`.

Files that are named are brought up to date instead: `python -m stages.params recipes/*.yaml`. Each keeps its first line
and its values, and gets whatever hyperparameter it lacks, with the default.
"""

import argparse
from pathlib import Path

from charrnn.errors import InputError
from charrnn.storage.files import atomic_write
from stages.common.params import PARAMS, default_file, params_file
from stages.common.program import run
from stages.common.yaml_file import read_yaml


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m stages.params", description=__doc__, formatter_class=formatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="params file to bring up to date")
    args = parser.parse_args()
    for path in args.files:
        bring_up_to_date(path)
    if not args.files:
        print(default_file(), end="")


def bring_up_to_date(path: Path) -> None:
    """Write a params file again, with all hyperparameters in order and with their comments.

    Raises
    ------
    InputError
        If the file can't be read, has a name that is no hyperparameter's, or a value that is not allowed.
    OSError
        If it can't be written.
    """
    given = read_yaml(path)
    for name in given:
        if name not in PARAMS:
            raise InputError(f"{path}: {name!r} is not a hyperparameter")
    values = {name: param.parse(given.get(name, param.default)) for name, param in PARAMS.items()}
    heading = path.read_text(encoding="utf-8").partition("\n")[0]
    with atomic_write(path) as temporary:
        temporary.write_text(params_file(values, heading), encoding="utf-8")


if __name__ == "__main__":
    run(main)
