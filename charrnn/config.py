"""Every setting of the library, declared once: its type, default, range and meaning.

Command-line flags, their help, params.yaml and all checks are derived from these declarations. A new hyperparameter is
one line here and the code that uses it.
"""

from dataclasses import dataclass, field, fields, replace
from math import isfinite
from numbers import Integral, Real
from typing import Any, ClassVar

from charrnn.errors import InputError
from charrnn.messages import quoted, shown

WIDEST = 10**6  # largest width of a layer or batch; the element count of much larger arrays would overflow
NUMBER_KINDS = {int: (Integral, str), float: (Real, str)}

Value = Any  # int, float, bool, str or list: the type of the setting's default


@dataclass(frozen=True)
class Setting:
    """One setting. Its type is the type of its default; the bounds apply to numbers, `may_be_empty` to a text.

    An item of a list is a text or, if the setting has a `key`, a mapping with only this key, to a list of texts.
    """

    default: Value
    help: str
    name: str = ""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    may_be_empty: bool = False
    key: str = ""

    @property
    def allowed(self) -> str:
        """The allowed values, in words that follow "it must be"."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        text = "a text" if self.may_be_empty else "a non-empty text"
        mapping = f"{{{self.key}: [texts]}}"
        texts = f"{text}, {mapping}, or a list of these" if self.key else f"{text} or a list of such texts"
        kinds = {int: "an integer", float: "a number", bool: "true or false", str: text, list: texts}
        kind = kinds[type(self.default)]
        limits = {"of at least": self.at_least, "above": self.above, "at most": self.at_most, "below": self.below}
        limited = " and ".join(f"{word} {limit:,}" for word, limit in limits.items() if limit is not None)
        return f"{kind} {limited}".strip()

    def parse(self, value: object) -> Value:
        """Convert a value to the setting's type. Text is parsed, because flags arrive as text.

        Raises
        ------
        InputError
            If the value has another type or is out of range.
        """
        parsed = self._convert(value)
        if parsed is None or not self._in_range(parsed):
            raise InputError(f"{self.name} is {self._shown(value)}; it must be {self.allowed}")
        return parsed

    def _shown(self, value: object) -> str:
        """A wrong value for an error: of lists, only the wrong items, as others may be URLs with a password."""
        if not isinstance(self.default, list):
            return quoted(value)
        if isinstance(value, dict):
            pairs = ((key, "a text" if _is_text(inner) else self._shown(inner)) for key, inner in value.items())
            return "{" + ", ".join(f"{quoted(key)}: {inner}" for key, inner in pairs) + "}"
        if isinstance(value, list):
            wrong = [item for item in value if not self._is_item(item)]
            return shown(f"[{', '.join('[...]' if isinstance(item, list) else self._shown(item) for item in wrong)}]")
        return quoted(value)

    def _is_item(self, item: object) -> bool:
        if isinstance(item, dict):
            texts = item.get(self.key)
            return len(item) == 1 and isinstance(texts, list) and bool(texts) and all(map(_is_text, texts))
        return _is_text(item)

    def _convert(self, value: object) -> Value | None:
        kind = type(self.default)
        if kind is bool:
            if isinstance(value, Real) and not isinstance(value, bool):  # Python refuses to print very large integers
                return None
            return {"true": True, "false": False}.get(str(value).lower())
        if kind is list:
            items = value if isinstance(value, list) else [value]
            return value if items and all(map(self._is_item, items)) else None
        if kind is str:
            return value if _is_text(value) or (self.may_be_empty and value == "") else None
        if isinstance(value, bool) or not isinstance(value, NUMBER_KINDS[kind]):
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


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def setting(default: Value, help: str, **limits: Any) -> Any:
    """A field of a config class that declares a setting; `limits` are the bounds or choices of `Setting`."""
    metadata = {"setting": Setting(default, help, **limits)}
    if isinstance(default, list):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


class Config:
    """The base class of the configs, which check their own values."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        for name, declared in settings(type(self)).items():
            object.__setattr__(self, name, declared.parse(getattr(self, name)))


def settings(config: type[Config]) -> dict[str, Setting]:
    """The settings that a config class declares, by name and in order."""
    return {field.name: replace(field.metadata["setting"], name=field.name) for field in fields(config)}


@dataclass(frozen=True)
class ModelConfig(Config):
    """The network that `charrnn.create_char_rnn_model` builds.

    Raises
    ------
    InputError
        If a value is not allowed, or two values contradict each other.

    >>> ModelConfig(hidden_dim=256).hidden_dim
    256
    >>> ModelConfig().cell
    'gru'
    """

    cell: str = setting("gru", "type of the recurrent layers", choices=("gru", "lstm", "rnn"))
    num_layers: int = setting(1, "number of recurrent layers, stacked on each other", at_least=1, at_most=1000)
    embedding_dim: int = setting(16, "width of a character's embedding", at_least=1, at_most=WIDEST)
    hidden_dim: int = setting(128, "width of the hidden state", at_least=1, at_most=WIDEST)
    tie_weights: bool = setting(False, "use the embedding table as output weights too")
    reset_after: bool = setting(
        False, "apply the GRU's reset gate after the recurrent product, as cuDNN and PyTorch do; for gru only"
    )
    mogrifier: bool = setting(
        False, "let the input scale the state before the GRU's gates see it, as in a Mogrifier; for gru only"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("reset_after", "mogrifier"):
            if getattr(self, name) and self.cell != "gru":
                raise InputError(f"{name} is True; with cell {self.cell!r} it must be False: only a GRU has it")


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How a network is trained, by `charrnn.Model.fit` and `charrnn.training.train`.

    Raises
    ------
    InputError
        If a value is not allowed, or two values contradict each other.

    >>> TrainingConfig(num_epochs=3, schedule="cosine").num_epochs
    3
    >>> TrainingConfig().optimizer
    'nadam'
    """

    dropout: float = setting(
        0.0, "fraction of each recurrent layer's outputs dropped during training", at_least=0, below=1
    )
    window_size: int = setting(100, "length of backpropagation through time, in characters", at_least=1)
    stride: int = setting(30, "characters between the starts of two windows; ignored with carry_state", at_least=1)
    targets: str = setting("every", "positions of a window that predict the next character", choices=("every", "last"))
    carry_state: bool = setting(
        False, "read the text in order and carry the hidden state over, instead of shuffling windows"
    )
    batch_size: int = setting(32, "windows in a mini-batch", at_least=1, at_most=WIDEST)
    num_epochs: int = setting(10, "passes over the training text", at_least=1)
    optimizer: str = setting(
        "nadam", "update rule", choices=("nadam", "adam", "rmsprop", "adagrad", "sgd", "momentum", "nesterov")
    )
    learning_rate: float = setting(0.001, "step size of the optimizer", above=0)
    schedule: str = setting(
        "constant",
        "learning-rate schedule; step divides the rate by 10 after half and again after three quarters of training",
        choices=("constant", "step", "cosine"),
    )
    final_learning_rate: float = setting(0.0, "learning rate that the schedule decays towards", at_least=0)
    warmup_batches: int = setting(0, "mini-batches over which the learning rate rises from 0", at_least=0)
    beta_2: float = setting(
        0.999, "decay of Adam's and Nadam's mean of squared gradients; other optimizers ignore it", at_least=0, below=1
    )
    weight_decay: float = setting(
        0.0, "each step shrinks all parameters except biases by this times the learning rate (AdamW)", at_least=0
    )
    clip_norm: float = setting(1.0, "clip the gradient to this norm; 0 turns clipping off", at_least=0)
    patience: int = setting(
        0, "stop after this many epochs without a lower validation loss; 0 never stops early", at_least=0
    )
    workers: int = setting(
        2, "processes that train together, each on its shard of every batch", at_least=1, at_most=1024
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.final_learning_rate > self.learning_rate:
            raise InputError(
                f"final_learning_rate is {self.final_learning_rate!r}; it must be at least 0 and at most the "
                f"learning_rate, {self.learning_rate!r}"
            )
        if self.weight_decay * self.learning_rate >= 1:
            raise InputError(
                f"weight_decay is {self.weight_decay!r}; times the learning_rate, {self.learning_rate!r}, "
                "it must be below 1"
            )
        if self.stride > self.window_size and not self.carry_state:
            raise InputError(
                f"stride is {self.stride}; it must be at most window_size, {self.window_size}, or text would be skipped"
            )


@dataclass(frozen=True)
class SamplingConfig(Config):
    """How text is generated, by `charrnn.generate` and `charrnn.generate_streams`.

    Raises
    ------
    InputError
        If a value is not allowed.

    >>> SamplingConfig(temperature=0.8).temperature
    0.8
    >>> SamplingConfig().top_k
    0
    """

    temperature: float = setting(
        1.0, "1 samples from the model's distribution, lower is more cautious, 0 is greedy", at_least=0
    )
    top_k: int = setting(0, "draw only from this many most probable characters; 0 draws from all", at_least=0)
    top_p: float = setting(
        1.0,
        "draw only from the fewest characters whose probabilities add up to this; 1 draws from all",
        above=0,
        at_most=1,
    )


@dataclass(frozen=True)
class DynamicConfig(Config):
    """How a network learns from a text while it reads it, see `charrnn.dynamic`.

    Raises
    ------
    InputError
        If a value is not allowed.

    >>> DynamicConfig(learning_rate=0.001).learning_rate
    0.001
    >>> DynamicConfig().window_size
    40
    """

    window_size: int = setting(40, "characters predicted between two steps", at_least=1, at_most=WIDEST)
    learning_rate: float = setting(
        0.0006, "change of a parameter whose gradient is as large as it usually was on the training text", at_least=0
    )
    decay: float = setting(
        0.002, "fraction of the way back to its trained value that an average parameter moves in each step", at_least=0
    )
