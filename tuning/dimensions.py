"""The dimensions of a search space: a range or choices for each hyperparameter that the search varies."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass

from optuna.trial import BaseTrial

from charrnn.config import Value
from stages.common.params import as_yaml

COMPARISONS = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


@dataclass(frozen=True)
class Condition:
    """A condition on another hyperparameter, such as `hidden_dim >= 128`."""

    name: str
    comparison: str
    value: Value

    def __str__(self) -> str:
        return f"{self.name} {self.comparison} {as_yaml(self.value)}"

    def holds(self, params: Mapping[str, Value]) -> bool:
        """Whether these hyperparameters meet the condition."""
        return COMPARISONS[self.comparison](params[self.name], self.value)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: in steps, or evenly, on a linear or a logarithmic scale."""

    low: int | float
    high: int | float
    step: int | float | None
    log: bool
    when: Condition | None

    def __str__(self) -> str:
        details = [f"in steps of {self.step}"] * (self.step is not None) + ["logarithmic"] * self.log
        return ", ".join([f"{self.low} to {self.high}", *details]) + (f" when {self.when}" if self.when else "")

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        """Suggest a value for a trial."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high), step=int(self.step or 1), log=self.log)
        value = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        return float(value if self.step is None else f"{value:.15g}")  # 0.3, not 0.30000000000000004


@dataclass(frozen=True)
class Choices:
    """Values without an order."""

    values: tuple[Value, ...]
    when: Condition | None

    def __str__(self) -> str:
        return "one of " + ", ".join(map(as_yaml, self.values)) + (f" when {self.when}" if self.when else "")

    def suggest(self, trial: BaseTrial, name: str) -> Value:
        """Suggest a value for a trial."""
        return trial.suggest_categorical(name, self.values)


SearchSpace = dict[str, Range | Choices]


def suggest(space: SearchSpace, trial: BaseTrial, fixed: Mapping[str, Value]) -> dict[str, Value]:
    """All hyperparameters of a trial: suggested if the space has them and their condition holds, else fixed."""
    params = dict(fixed)
    for name, dimension in space.items():
        if dimension.when is None or dimension.when.holds(params):
            params[name] = dimension.suggest(trial, name)
    return params
