"""Print a params.yaml in which every hyperparameter has its default: `python -m stages.params > params.yaml`.

To update existing params files instead, name them: `python -m stages.params recipes/*.yaml`. Each keeps its first
comment line and its values, and gets the default of every hyperparameter that it lacks.

`python -m stages.params --table > docs/params.md` writes the page that lists all hyperparameters.
"""

import argparse
from pathlib import Path

from charrnn.errors import InputError
from charrnn.storage.files import atomic_write
from stages.common.params import HEADING, PARAMS, as_yaml, default_file, params_file, unknown_param
from stages.common.program import run
from stages.common.yaml_file import read_yaml

PAGE = """# Hyperparameters

[`params.yaml`](../params.yaml) has their values. `dvc exp run -S hidden_dim=256` changes one for a run. Outside the
pipeline, each stage takes its own hyperparameters as flags: `python -m stages.train --hidden-dim 256`. A value that is
not allowed ends the stage with a line that names it. `python -m stages.params --table > docs/params.md` writes this
page.

| name | default | meaning | allowed |
|---|---|---|---|
"""


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m stages.params", description=__doc__, formatter_class=formatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="params file to update")
    parser.add_argument("--table", action="store_true", help="print docs/params.md instead")
    args = parser.parse_args()
    for path in args.files:
        bring_up_to_date(path)
    if args.table:
        print(page(), end="")
    elif not args.files:
        print(default_file(), end="")


def bring_up_to_date(path: Path) -> None:
    """Rewrite a params file with all hyperparameters, in order and with their current comments.

    Raises
    ------
    InputError
        If the file can't be read, or has an unknown name or a value that is not allowed.
    OSError
        If it can't be written.
    """
    given = read_yaml(path)
    for name in given:
        if name not in PARAMS:
            raise InputError(f"{path}: {unknown_param(name)}")
    try:
        values = {name: param.parse(given.get(name, param.default)) for name, param in PARAMS.items()}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    first_line = path.read_text(encoding="utf-8").partition("\n")[0]
    heading = first_line if first_line.startswith("#") else HEADING
    with atomic_write(path) as file:
        file.write(params_file(values, heading).encode())


def page() -> str:
    """The text of docs/params.md."""
    rows = []
    for name, param in PARAMS.items():
        defaults = param.default if isinstance(param.default, list) else [as_yaml(param.default)]
        shown = ", ".join(f"`{default}`" for default in defaults)
        rows.append(f"| `{name}` | {shown} | {param.help} | {param.allowed} |\n")
    return PAGE + "".join(rows)


if __name__ == "__main__":
    run(main)
