"""Print a params.yaml in which every hyperparameter has its default: `python -m stages.params > params.yaml`."""

from stages.common.params import default_file
from stages.common.program import run


def main() -> None:
    print(default_file(), end="")


if __name__ == "__main__":
    run(main)
