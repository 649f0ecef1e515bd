"""All hyperparameters, and reading and writing params.yaml.

`charrnn.config` declares the library's hyperparameters, this file the pipeline's. `python -m stages.params` prints a
params.yaml in which every hyperparameter has its default.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import TypeVar

import yaml

from charrnn.config import (
    Config,
    ModelConfig,
    SamplingConfig,
    Setting,
    TrainingConfig,
    Value,
    setting,
    settings,
)
from charrnn.errors import InputError
from charrnn.messages import quoted
from stages.common.yaml_file import read_yaml

PARAMS_FILE = Path("params.yaml")
TINY_SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
BUNDLED_PLAY = "data/bundled/tide_clock.txt"
RANDOM_WEIGHTS = "models/none"  # DVC needs a file to depend on
HEADING = "# The hyperparameters. `dvc exp run -S hidden_dim=256` changes one for a run."
PLAIN_TEXT = re.compile(r"(https?:/)?[\w./-]*/[\w./-]*")  # a URL or path that needs no quotes
JOIN = "join"
SHA256 = re.compile("[0-9a-fA-F]{64}")
SURROGATE = re.compile("[\ud800-\udfff]")

Source = str | dict[str, list[str]]
AnyConfig = TypeVar("AnyConfig", bound=Config)


@dataclass(frozen=True)
class DownloadConfig(Config):
    """The corpus that the stage `download` fetches."""

    data_url: list[Source] = setting(
        [TINY_SHAKESPEARE, BUNDLED_PLAY],
        "URL, file, folder or glob of the corpus; of a list, the first that works; {join: [...]} joins several",
        key=JOIN,
    )
    separator: str = setting("\n", "text between two files of the corpus", may_be_empty=True)
    data_sha256: str = setting("", "SHA-256 that the corpus must have; empty accepts any", may_be_empty=True)
    max_corpus_mb: float = setting(10_000.0, "largest corpus to accept, in millions of bytes", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data_sha256 and not SHA256.fullmatch(self.data_sha256):
            raise InputError(f"data_sha256 is {quoted(self.data_sha256)}; it must be empty or 64 hexadecimal digits")
        if SURROGATE.search(self.separator):
            raise InputError(
                f"separator is {quoted(self.separator)}; it must have only characters that UTF-8 can encode"
            )

    @property
    def sources(self) -> list[str | list[str]]:
        """The sources in the order in which they are tried; a list is one source, whose texts are joined."""
        items = self.data_url if isinstance(self.data_url, list) else [self.data_url]
        return [item[JOIN] if isinstance(item, dict) else item for item in items]


@dataclass(frozen=True)
class SplitConfig(Config):
    """How the stage `prepare` splits the text."""

    train_size: float = setting(
        0.8, "fraction of the text for training and validation; the rest is the test text", above=0, below=1
    )
    validation_size: float = setting(
        0.2, "fraction of the training and validation text that is for validation", above=0, below=1
    )


@dataclass(frozen=True)
class InitConfig(Config):
    """Where training starts."""

    init_from: str = setting(
        RANDOM_WEIGHTS,
        f"model file that training starts from; {RANDOM_WEIGHTS} stands for random weights",
        may_be_empty=True,
    )
    embedding_limit: float = setting(
        0.05,
        "initial embeddings are uniform between minus this and this; ignored with a model in init_from",
        above=0,
        at_most=1000,
    )
    output_bias: str = setting(
        "zeros",
        "initial bias of the output layer: zeros, or the log frequencies of the training text's characters; ignored "
        "with a model in init_from",
        choices=("zeros", "log_frequencies"),
    )


@dataclass(frozen=True)
class RunConfig(Config):
    """Other settings of the stage `train`."""

    calibrate: bool = setting(False, "after training, scale the logits by the factor with the lowest validation loss")
    seed: int = setting(42, "seed of all randomness: initial weights, shuffling, dropout, sampling", at_least=0)
    log_interval: int = setting(10, "mini-batches between two updates of the progress bar", at_least=1)


@dataclass(frozen=True)
class EvaluationConfig(Config):
    """Other settings of the stage `evaluate`."""

    dynamic: bool = setting(False, "also evaluate the model while it learns from the test text")


@dataclass(frozen=True)
class PromptConfig(Config):
    """The start and the length of the text that the stage `sample` writes."""

    start_string: str = setting("ROMEO:", "text that a sample begins with")
    num_to_generate: int = setting(64, "characters to generate after start_string", at_least=1, at_most=10**18)


def params_of(*configs: type[Config]) -> tuple[str, ...]:
    """The names of the hyperparameters that these config classes declare."""
    return tuple(name for config in configs for name in settings(config))


CONFIGS = (
    DownloadConfig,
    SplitConfig,
    InitConfig,
    ModelConfig,
    TrainingConfig,
    RunConfig,
    EvaluationConfig,
    PromptConfig,
    SamplingConfig,
)
PARAMS: dict[str, Setting] = {name: declared for config in CONFIGS for name, declared in settings(config).items()}


def config_from(params: Mapping[str, Value], config: type[AnyConfig]) -> AnyConfig:
    """A config object of this class, with the values of these hyperparameters."""
    return config(**{name: params[name] for name in settings(config)})


def load_params(path: Path = PARAMS_FILE) -> dict[str, Value]:
    """All hyperparameters of a params.yaml.

    Raises
    ------
    InputError
        If it can't be read, a key is missing, unknown or duplicate, or a value is not allowed.
    """
    values = read_yaml(path)
    unknown = [key for key in values if key not in PARAMS]
    if unknown:
        raise InputError(f"{path}: {unknown_param(unknown[0])}")
    missing = [name for name in PARAMS if name not in values]
    if missing:
        raise InputError(f"{path}: {missing[0]} is missing; the default is {PARAMS[missing[0]].default!r}")
    try:
        return {name: param.parse(values[name]) for name, param in PARAMS.items()}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def unknown_param(name: object) -> str:
    """The error message for an unknown hyperparameter, with the name that was probably meant."""
    similar = get_close_matches(str(name), PARAMS, n=1)
    hint = f"did you mean {similar[0]}?" if similar else f"it must be one of {', '.join(PARAMS)}"
    return f"{quoted(name)} is not a hyperparameter; {hint}"


def default_file() -> str:
    """The text of a params.yaml in which every hyperparameter has its default."""
    return params_file({name: param.default for name, param in PARAMS.items()})


def params_file(values: Mapping[str, Value], heading: str = HEADING) -> str:
    """The text of a params.yaml with these values. `heading` is its first line, a comment."""
    lines = [heading]
    for name, param in PARAMS.items():
        value = values[name]
        lines.append(f"\n# {param.help}" + (f": {param.allowed}" if param.choices else ""))
        if isinstance(value, list):
            lines += [f"{name}:", *(f"  - {_source(item)}" for item in value)]
        elif isinstance(value, dict):
            lines.append(f"{name}: {_source(value)}")
        elif isinstance(value, str) and not param.choices:
            lines.append(f"{name}: {_quoted(value)}")
        else:
            lines.append(f"{name}: {as_yaml(value)}")
    return "\n".join(lines) + "\n"


def _source(source: Source) -> str:
    if isinstance(source, dict):
        return f"{{{JOIN}: [{', '.join(map(_quoted, source[JOIN]))}]}}"
    return source if PLAIN_TEXT.fullmatch(source) else _quoted(source)


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=inf).strip()


def as_yaml(value: Value) -> str:
    """A value as YAML and DVC's -S write it; a text has quotes only if it is blank or not on one line."""
    if isinstance(value, str) and not (value.strip() and value.isprintable()):
        return _quoted(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
