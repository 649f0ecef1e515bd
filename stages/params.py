"""The hyperparameters: the one place that knows their names, types, ranges, defaults and meaning.

params.yaml holds their values, and `python -m stages.params` prints that file with every default. A value may come
from there or from the command line, as whatever YAML or the shell makes of it; it leaves here checked and of the
right type.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from charrnn.errors import InputError

PARAMS_FILE = Path("params.yaml")
LARGEST_FILE = 1 << 16  # bytes; the time to read YAML grows with them
LONGEST_QUOTE = 200  # characters of what is wrong, in an error
Value = Any  # int, float, bool, str or list[str]: that of the param's default
Levels = tuple[tuple[type[Node], ...], ...]  # kinds of nodes of YAML, from the outermost level to the innermost


@dataclass(frozen=True)
class Param:
    """One hyperparameter. The type of its default is its type; the bounds hold for numbers."""

    name: str
    default: Value
    help: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What the value may be, as the end of a sentence."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        kind = {int: "an integer", float: "a number", bool: "true or false", str: "a text that is not empty"}
        text = kind.get(type(self.default), "a text or a list of texts, none of them empty")
        limits = {"of at least": self.at_least, "above": self.above, "at most": self.at_most, "below": self.below}
        limited = " and ".join(f"{word} {limit:,}" for word, limit in limits.items() if limit is not None)
        return f"{text} {limited}".strip()

    def parse(self, value: object) -> Value:
        """The value in its own type; text is read as the command line and YAML's 1e-3 need it.

        Raises
        ------
        InputError
            If it is of another type or out of range.
        """
        parsed = self._convert(value)
        if parsed is None or not self._in_range(parsed):
            raise InputError(f"{self.name} is {_quoted(value)}; it must be {self.allowed}")
        return parsed

    def _convert(self, value: object) -> Value | None:
        kind = type(self.default)
        if kind is bool:
            return {"true": True, "false": False}.get(str(value).lower())
        if kind is list:
            texts = value if isinstance(value, list) else [value]
            return value if texts and all(isinstance(text, str) and text for text in texts) else None
        if kind is str:
            return value if isinstance(value, str) and value else None
        number_types = (int, str) if kind is int else (int, float, str)
        if isinstance(value, bool) or not isinstance(value, number_types):
            return None
        try:
            number = kind(value)
            return number if isfinite(number) else None
        except (ValueError, OverflowError):
            return None

    def _in_range(self, value: Value) -> bool:
        return (
            (not self.choices or value in self.choices)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )


def _quoted(value: object) -> str:
    try:
        return _cut(repr(value))
    except ValueError:  # Python writes no integer of more than some thousand digits
        return "a number of too many digits"


def _cut(text: str) -> str:
    """The first line of a text, or as much of it as an error should have."""
    line = next(iter(text.splitlines()), "")
    return line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}..."


TINY_SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
BUNDLED_PLAY = "data/bundled/tide_clock.txt"
WIDEST = 10**6  # of a layer or a batch; NumPy can't count the elements of much larger arrays

PARAMS = {
    param.name: param
    for param in (
        Param("data_url", [TINY_SHAKESPEARE, BUNDLED_PLAY], "the corpus: the first of these URLs or paths that works"),
        Param("max_corpus_mb", 10_000.0, "the largest corpus that is read, in millions of bytes", above=0),
        Param(
            "train_size",
            0.8,
            "share of the text for training and validation together; the rest is the test",
            above=0,
            below=1,
        ),
        Param("validation_size", 0.2, "share of those that is validation", above=0, below=1),
        Param("cell", "gru", "the recurrent layers", choices=("gru", "lstm", "rnn")),
        Param("num_layers", 1, "recurrent layers on top of each other", at_least=1, at_most=1000),
        Param("embedding_dim", 16, "width of a character's embedding", at_least=1, at_most=WIDEST),
        Param("hidden_dim", 128, "width of the recurrent state", at_least=1, at_most=WIDEST),
        Param("dropout", 0.0, "share of each recurrent layer's outputs left out in training", at_least=0, below=1),
        Param("tie_weights", False, "predict with the table of the embedding, instead of weights of its own"),
        Param("window_size", 100, "characters that gradients flow back through", at_least=1),
        Param("stride", 30, "characters between the beginnings of two windows, unless carry_state", at_least=1),
        Param(
            "targets", "every", "which positions of a window predict their next character", choices=("every", "last")
        ),
        Param("carry_state", False, "read the text in order and carry the state on, instead of shuffling windows"),
        Param("batch_size", 32, "windows in a mini-batch", at_least=1, at_most=WIDEST),
        Param("num_epochs", 10, "passes over the training text", at_least=1),
        Param(
            "optimizer",
            "nadam",
            "how gradients become steps",
            choices=("nadam", "adam", "rmsprop", "adagrad", "sgd", "momentum", "nesterov"),
        ),
        Param("learning_rate", 0.001, "size of the optimizer's steps", above=0),
        Param(
            "schedule",
            "constant",
            "how the learning rate goes on; step divides it by 10 half of the way on, and at three quarters",
            choices=("constant", "step", "cosine"),
        ),
        Param(
            "final_learning_rate",
            0.0,
            "the learning rate that cosine ends with, and that step comes a hundredth of the way near to",
            at_least=0,
        ),
        Param("warmup_batches", 0, "mini-batches in which the learning rate grows from 0", at_least=0),
        Param(
            "beta_2",
            0.999,
            "how slowly Adam and Nadam forget squared gradients; the others ignore it",
            at_least=0,
            below=1,
        ),
        Param(
            "weight_decay",
            0.0,
            "each step shrinks all but biases by this times the learning rate; adam with it is AdamW",
            at_least=0,
        ),
        Param("clip_norm", 1.0, "largest norm of a gradient; 0 for no limit", at_least=0),
        Param("patience", 0, "epochs without a better validation loss before training stops; 0 never", at_least=0),
        Param("calibrate", False, "scale the logits in the end so that the validation text is predicted best"),
        Param("seed", 42, "where all randomness begins: first weights, shuffling, dropout, sampling", at_least=0),
        Param("log_interval", 10, "mini-batches between two updates of the progress bar", at_least=1),
        Param("workers", 1, "processes that train together; more than one need MPI", at_least=1),
        Param("start_string", "ROMEO:", "what a sample begins with"),
        Param("num_to_generate", 64, "characters to write after start_string", at_least=1, at_most=10**18),
        Param("temperature", 1.0, "1 samples what the model believes, less is more cautious, 0 greedy", at_least=0),
        Param("top_k", 0, "draw only from so many of the most probable characters; 0 is all", at_least=0),
        Param(
            "top_p",
            1.0,
            "draw only from the fewest characters whose probabilities add up to this; 1 is all",
            above=0,
            at_most=1,
        ),
    )
}


def load_params(path: Path = PARAMS_FILE) -> dict[str, Value]:
    """All hyperparameters of a params.yaml.

    Raises
    ------
    InputError
        If it can't be read, a key is missing, unknown or there twice, or a value is not allowed.
    """
    values = read_yaml(path)
    unknown = [key for key in values if key not in PARAMS]
    if unknown:
        raise InputError(f"{path}: {_quoted(unknown[0])} is not a hyperparameter; known are {', '.join(PARAMS)}")
    missing = [name for name in PARAMS if name not in values]
    if missing:
        default = PARAMS[missing[0]].default
        raise InputError(f"{path}: {missing[0]} is missing; the default is {default!r}")
    try:
        return {name: param.parse(values[name]) for name, param in PARAMS.items()}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_yaml(
    path: Path, levels: Levels = ((SequenceNode,),), expected: str = "a number, a text, true, false, or a list of texts"
) -> Mapping[str, Any]:
    """What a file says of hyperparameters, not checked yet.

    Parameters
    ----------
    levels
        What may stand nested in the mapping of the file, and what in that.
    expected
        This in words.

    Raises
    ------
    InputError
        If it can't be read, has no keys, or is nested in another way.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; run this from the folder that holds it") from None
    if len(content) > LARGEST_FILE:
        raise InputError(f"{path} has more than {LARGEST_FILE:,} bytes, the most that may be in it")
    # ruamel.yaml follows YAML 1.2 and refuses duplicate keys, as DVC does when it reads the same file.
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = partial(_FlatConstructor, levels, expected)
    yaml.composer.warn_double_anchors = False  # the second is as good YAML as the first
    try:
        values = yaml.load(content)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{path}, line {line}: {_cut(error.problem or 'not YAML')}") from None
    except Exception as error:  # ruamel.yaml lets errors of every kind out, a KeyError for YAML 9.9
        raise InputError(f"{path} is not YAML: {_cut(str(error))}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no hyperparameters; `python -m stages.params` prints the default ones")
    return values


class _FlatConstructor(SafeConstructor):
    """Makes plain values of YAML, and refuses what is nested in another way than it is told.

    A few aliases of aliases would stand for more than any memory holds, as soon as an error quotes them.
    """

    def __init__(self, levels: Levels, expected: str, **options: Any) -> None:
        super().__init__(**options)
        self.levels, self.expected = levels, expected

    def construct_document(self, node: Node) -> Any:
        if not isinstance(node, MappingNode):
            return None
        self._require_levels(node, self.levels)
        return super().construct_document(node)

    def _require_levels(self, node: Node, levels: Levels) -> None:
        pairs = node.value if isinstance(node, MappingNode) else [(None, item) for item in node.value]
        for key, value in pairs:
            for part in (key, value):
                if part is None or isinstance(part, ScalarNode):
                    continue
                if part is key or not levels or not isinstance(part, levels[0]):
                    problem = f"nested too deep; a name may have {self.expected}"
                    raise ConstructorError(None, None, problem, part.start_mark)
                self._require_levels(part, levels[1:])

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, ArithmeticError):  # what is raised for, say, the date 2001-02-30
            kind = str(node.tag).rpartition(":")[2]
            raise ConstructorError(
                None, None, f"no {kind} can be made of {_quoted(node.value)}", node.start_mark
            ) from None


def default_file() -> str:
    """The text of a params.yaml in which everything has its default."""
    lines = ["# The hyperparameters; stages/params.py checks them. `dvc exp run -S hidden_dim=256` changes one."]
    for param in PARAMS.values():
        limits = param.allowed if param.choices else ""
        lines.append(f"\n# {param.help}" + (f": {limits}" if limits else ""))
        if isinstance(param.default, list):
            lines += [f"{param.name}:", *(f"  - {item}" for item in param.default)]
        elif isinstance(param.default, bool):
            lines.append(f"{param.name}: {str(param.default).lower()}")
        elif isinstance(param.default, str) and not param.choices:
            lines.append(f'{param.name}: "{param.default}"')
        else:
            lines.append(f"{param.name}: {param.default}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(default_file(), end="")
