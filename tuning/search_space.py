"""What may be tried: search.yaml gives some of the hyperparameters a range or choices, within what the table allows."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml.nodes import MappingNode, SequenceNode

from charrnn.errors import InputError
from stages.params import PARAMS, Param, Value, read_yaml

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

SPACE_FILE = Path("search.yaml")
COMPARISONS = {">=": operator.ge, "<=": operator.le, "==": operator.eq}
RANGE_KEYS = ("from", "to", "step", "log", "when")
LEVELS = ((SequenceNode, MappingNode), (SequenceNode,))
CHOICE_KEYS = ("choices", "when")


@dataclass(frozen=True)
class Condition:
    """Another param must compare so with a value."""

    name: str
    comparison: str
    value: Value

    def __str__(self) -> str:
        return f"{self.name} {self.comparison} {as_yaml(self.value)}"

    def holds(self, params: Mapping[str, Value]) -> bool:
        """Whether it does in a trial with these params."""
        return COMPARISONS[self.comparison](params[self.name], self.value)


@dataclass(frozen=True)
class Range:
    """Numbers from one to another, both included; by steps, or evenly on a logarithmic scale."""

    low: int | float
    high: int | float
    step: int | float | None
    log: bool
    when: Condition | None

    def __str__(self) -> str:
        details = [f"in steps of {self.step}"] * (self.step is not None) + ["logarithmic"] * self.log
        return ", ".join([f"{self.low} to {self.high}", *details]) + (f" when {self.when}" if self.when else "")

    def suggest(self, trial: "BaseTrial", name: str) -> Value:
        """The value that an Optuna trial takes."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high), step=int(self.step or 1), log=self.log)
        value = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return value if self.step is None else float(f"{value:.12g}")  # 0.3, not 0.30000000000000004


@dataclass(frozen=True)
class Choices:
    """Some values, none of them nearer to one than to another."""

    values: tuple[Value, ...]
    when: Condition | None

    def __str__(self) -> str:
        return "one of " + ", ".join(map(as_yaml, self.values)) + (f" when {self.when}" if self.when else "")

    def suggest(self, trial: "BaseTrial", name: str) -> Value:
        """The value that an Optuna trial takes."""
        return trial.suggest_categorical(name, self.values)


SearchSpace = dict[str, Range | Choices]


def suggest(space: SearchSpace, trial: "BaseTrial", fixed: Mapping[str, Value]) -> dict[str, Value]:
    """All params of a trial: what the space holds as the trial takes it, the rest, and what has no place, as fixed."""
    params = dict(fixed)
    for name, dimension in space.items():
        if dimension.when is None or dimension.when.holds(params):
            params[name] = dimension.suggest(trial, name)
    return params


def load_search_space(path: Path, tunable: Sequence[str]) -> SearchSpace:
    """The search space of a file; only `tunable` params may be in it.

    Raises
    ------
    InputError
        If it can't be read, a param is unknown, not tunable or has no place, or a value is not allowed.
    """
    space: SearchSpace = {}
    entries = read_yaml(path, LEVELS, "choices, or a range in braces")
    for name, entry in entries.items():
        try:
            if name not in tunable:
                raise InputError(
                    f"{name!r} is not a hyperparameter that can be searched; those are {', '.join(tunable)}"
                )
            space[name] = _dimension(PARAMS[name], entry, tunable)
            condition = space[name].when
            if condition and condition.name in entries and condition.name not in list(space)[:-1]:
                raise InputError(f"{name} depends on {condition.name}, which must stand above it")
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return space


def _dimension(param: Param, entry: Any, tunable: Sequence[str]) -> Range | Choices:
    if isinstance(entry, list):
        entry = {"choices": entry}
    if not isinstance(entry, dict) or not ("choices" in entry or {"from", "to"} <= entry.keys()):
        raise InputError(f"{param.name} must be a list of choices, or have either choices or both from and to")
    known = CHOICE_KEYS if "choices" in entry else RANGE_KEYS
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise InputError(f"{param.name} has {unknown[0]!r}; beside each other may stand {', '.join(known)}")
    when = _condition(param.name, entry["when"], tunable) if "when" in entry else None
    if "choices" in entry:
        return Choices(_choices(param, entry["choices"]), when)
    return _range(param, entry, when)


def _choices(param: Param, values: Any) -> tuple[Value, ...]:
    if not isinstance(values, list):
        raise InputError(f"the choices of {param.name} are {values!r}; they must be a list")
    parsed = tuple(param.parse(value) for value in values)
    if len(set(parsed)) != len(parsed) or len(parsed) < 2:
        raise InputError(f"the choices of {param.name} are {values!r}; they must be at least two, all different")
    return parsed


def _range(param: Param, entry: Mapping[str, Any], when: Condition | None) -> Range:
    if type(param.default) not in (int, float):
        raise InputError(f"{param.name} has a range, but is no number; it must have choices")
    low, high = (param.parse(entry[key]) for key in ("from", "to"))
    log, step = entry.get("log", False), entry.get("step")
    if low >= high:
        raise InputError(f"{param.name} goes from {low} to {high}; it must go from less to more")
    if not isinstance(log, bool):
        raise InputError(f"log of {param.name} is {log!r}; it must be true or false")
    if log and (low <= 0 or step is not None):
        raise InputError(f"{param.name} is logarithmic; it must begin above 0 and have no step")
    if step is not None:
        kind = type(low)
        allowed = (int,) if kind is int else (int, float)
        if isinstance(step, bool) or not isinstance(step, allowed) or not (isfinite(step) and 0 < step <= high - low):
            raise InputError(
                f"the step of {param.name} is {step!r}; it must be {'an integer' if kind is int else 'a number'} "
                f"above 0 and at most {high - low:g}"
            )
        step = kind(step)
        # Optuna would lower the end to the last step without a word to the user.
        if abs(round((high - low) / step) * step - (high - low)) > 1e-9 * (high - low):
            raise InputError(f"{param.name} goes from {low} to {high}, which is not a whole number of steps of {step}")
    return Range(low, high, step, log, when)


def _condition(name: str, text: Any, tunable: Sequence[str]) -> Condition:
    words = text.split() if isinstance(text, str) else []
    if len(words) != 3 or words[0] not in tunable or words[0] == name or words[1] not in COMPARISONS:
        raise InputError(
            f"the condition of {name} is {text!r}; it must be another hyperparameter of training, "
            f"one of {' '.join(COMPARISONS)}, and a value, with spaces between them"
        )
    other, comparison, value = words
    if comparison != "==" and type(PARAMS[other].default) not in (int, float):
        raise InputError(f"the condition of {name} is {text!r}; {other} is no number, and can only be compared by ==")
    return Condition(other, comparison, PARAMS[other].parse(value))


def as_yaml(value: Value) -> str:
    """A value as YAML and DVC's -S have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
