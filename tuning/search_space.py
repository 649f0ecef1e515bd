"""Read search.yaml, which gives some hyperparameters a range or choices, and check it before the first trial."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from yaml import MappingNode, SequenceNode

from charrnn.config import ModelConfig, Setting, Value, settings
from charrnn.errors import InputError
from charrnn.messages import quoted
from stages.common import training
from stages.common.params import PARAMS, RANDOM_WEIGHTS, InitConfig
from stages.common.yaml_file import read_yaml
from tuning.dimensions import COMPARISONS, Choices, Condition, Range, SearchSpace

IRRELEVANT = ("calibrate", "log_interval")  # for a trial's loss
# A lucky seed or another rounding of sums makes no better model.
TUNABLE = tuple(name for name in training.PARAMS if name not in ("init_from", "seed", "workers", *IRRELEVANT))
NUMBERS = (int, float)

LARGEST = 1e12  # Optuna computes in floats, in which other numbers could overflow, or round to outside of their range
NARROWEST = 1e-6  # as a share of the upper end
MOST_STEPS = 1e8

RANGE_KEYS = ("from", "to", "step", "log", "when")
CHOICE_KEYS = ("choices", "when")
LEVELS = ((SequenceNode, MappingNode), (SequenceNode,))  # a list, or a mapping that may contain one


def load_search_space(path: Path) -> SearchSpace:
    """The search space in a file.

    Raises
    ------
    InputError
        If the file can't be read, a name is not one of `TUNABLE`, a condition refers to a later name, or a value is
        not allowed.
    """
    space: SearchSpace = {}
    entries = read_yaml(path, LEVELS, "choices, or a range in braces")
    for name, entry in entries.items():
        try:
            if name not in TUNABLE:
                raise InputError(f"{quoted(name)} can't be searched; only these can: {', '.join(TUNABLE)}")
            dimension = _dimension(PARAMS[name], entry)
            if dimension.when and dimension.when.name in entries and dimension.when.name not in space:
                raise InputError(f"{name} depends on {dimension.when.name}, which must come before it")
            space[name] = dimension
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    return space


def require_init_not_varied(space: SearchSpace, path: Path) -> None:
    """Raise InputError if the search would vary what training takes from the model in `init_from`."""
    varied = [name for name in space if name in (*settings(ModelConfig), *settings(InitConfig))]
    if varied:
        raise InputError(
            f"{path} varies {', '.join(varied)}, but training starts from the model in init_from; remove this from "
            f"{path}, or set init_from to {RANDOM_WEIGHTS}"
        )


def _dimension(param: Setting, entry: Any) -> Range | Choices:
    if isinstance(entry, list):
        entry = {"choices": entry}
    if not isinstance(entry, dict) or not ("choices" in entry or {"from", "to"} <= entry.keys()):
        raise InputError(f"{param.name} must be a list of choices, or have either choices or both from and to")
    known = CHOICE_KEYS if "choices" in entry else RANGE_KEYS
    unknown = [key for key in entry if key not in known]
    if unknown:
        raise InputError(f"{param.name} has an unknown key {quoted(unknown[0])}; it must be one of {', '.join(known)}")
    when = _condition(param.name, entry["when"]) if "when" in entry else None
    if "choices" in entry:
        return Choices(_choices(param, entry["choices"]), when)
    return _range(param, entry, when)


def _choices(param: Setting, values: Any) -> tuple[Value, ...]:
    if not isinstance(values, list):
        raise InputError(f"the choices of {param.name} are {quoted(values)}; they must be a list")
    parsed = tuple(param.parse(value) for value in values)
    if len(set(parsed)) != len(parsed) or len(parsed) < 2:
        raise InputError(f"the choices of {param.name} are {quoted(values)}; there must be at least two, all different")
    return parsed


def _range(param: Setting, entry: Mapping[str, Any], when: Condition | None) -> Range:
    if type(param.default) not in NUMBERS:
        raise InputError(f"{param.name} is not a number, so it can't have a range; list its choices")
    low, high = (param.parse(entry[key]) for key in ("from", "to"))
    if low >= high:
        raise InputError(f"{param.name} goes from {low} to {high}; the range must end above its start")
    if any(end and not 1 / LARGEST <= end <= LARGEST for end in (low, high)) or high - low < NARROWEST * high:
        raise InputError(
            f"{param.name} goes from {low} to {high}; the ends of a range must be 0 or between {1 / LARGEST:g} and "
            f"{LARGEST:g}, and differ by a millionth or more"
        )
    log, step = entry.get("log", False), entry.get("step")
    if not isinstance(log, bool):
        raise InputError(f"log of {param.name} is {quoted(log)}; it must be true or false")
    if log and (low <= 0 or step is not None):
        raise InputError(f"the range of {param.name} is logarithmic; it must start above 0 and have no step")
    return Range(low, high, None if step is None else _step(param.name, step, low, high), log, when)


def _step(name: str, step: Any, low: int | float, high: int | float) -> int | float:
    length = high - low if isinstance(low, int) else float(f"{high - low:.15g}")  # 0.3 - 0.2 is a bit less than 0.1
    least = max(length / MOST_STEPS, 1 if isinstance(low, int) else 0)
    parsed = Setting(type(low)(1), "", f"the step of {name}", at_least=least, at_most=length).parse(step)
    # Optuna would lower the end to the last step, and only log a warning.
    if (_exact(high) - _exact(low)) % _exact(parsed):
        raise InputError(f"{name} goes from {low} to {high}, which is not a whole number of steps of {parsed}")
    return parsed


def _exact(number: int | float) -> Fraction:
    return Fraction(str(number))  # 0.1 is a tenth, as the user wrote it


def _condition(name: str, text: Any) -> Condition:
    words = text.split() if isinstance(text, str) else []
    if len(words) != 3 or words[0] not in TUNABLE or words[0] == name or words[1] not in COMPARISONS:
        raise InputError(
            f"the condition of {name} is {quoted(text)}; it must be another hyperparameter that can be searched, "
            f"one of {' '.join(COMPARISONS)}, and a value, with spaces between them"
        )
    other, comparison, value = words
    if comparison != "==" and type(PARAMS[other].default) not in NUMBERS:
        raise InputError(
            f"the condition of {name} is {quoted(text)}; {other} is not a number and can only be compared by =="
        )
    return Condition(other, comparison, PARAMS[other].parse(value))
