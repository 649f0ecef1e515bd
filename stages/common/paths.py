"""The paths of the pipeline's files."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import InputError


@dataclass(frozen=True)
class Paths:
    """The folders and names that every stage takes as flags, and the paths that follow from them."""

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
        """The folder in which `prepare` writes the ids of the training, validation and test text."""
        return self.data_dir / "processed"

    def part(self, name: str) -> Path:
        """The file with the ids of the part "train", "validation" or "test"."""
        return self.processed / f"{name}.npy"

    @property
    def vocabulary(self) -> Path:
        """The file with the vocabulary, and the hash and split of the corpus."""
        return self.processed / "vocabulary.json"

    @property
    def checked(self) -> Path:
        """The file that the stage `check` writes if params.yaml fits the text."""
        return self.processed / "checked.txt"

    @property
    def plots(self) -> Path:
        """The folder in which `report` draws its plots."""
        return self.metrics_dir / "plots"

    @property
    def model(self) -> Path:
        """The model file that `train` writes."""
        return self.model_dir / self.model_filename

    @property
    def checkpoint(self) -> Path:
        """Where `train` saves an unfinished run."""
        return self.model.with_name(self.model.name + ".checkpoint")

    @property
    def trained(self) -> Path:
        """The model file that `evaluate`, `sample` and `report` read."""
        return self.weights_path or self.model

    @property
    def dynamics(self) -> Path:
        """The file next to that model file with what the model needs in order to learn while it reads."""
        return self.trained.with_name(self.trained.name + ".dynamic")


@contextlib.contextmanager
def made_by_earlier_stages() -> Iterator[None]:
    """If a file that the block reads is missing, add to the error how to make it."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{error.filename} is missing; run the earlier stages first, or `dvc repro`") from None
