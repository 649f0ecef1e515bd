"""Check that a training state, for example from a checkpoint, can be a later state of the run that is to resume."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import isfinite
from types import SimpleNamespace
from typing import Any

import numpy as np

from charrnn.errors import InputError
from charrnn.messages import quoted, shown
from charrnn.training.state import FIGURES, TrainingState

NUMBERS = ("epoch", "batch", "num_batches", "positions", "total_loss", "total_norm", "seconds")


def require_resumable(state: TrainingState, fresh: TrainingState, rng: np.random.Generator) -> None:
    """Raise InputError unless training with this generator can resume from `state`; the message names the fault.

    Arrays must have the shapes and dtypes that they have in `fresh`, the state in which the run begins, and numbers
    must be possible. Values that are possible but wrong go unnoticed.
    """
    for name in (*NUMBERS, "parameters", "best_parameters", "optimizer_state"):
        _require_alike(name, getattr(state, name), getattr(fresh, name))
    for name in ("parameters", "best_parameters"):
        if not np.isfinite(getattr(state, name)).all():
            raise InputError(f"{name} has numbers that are not finite")
    _require_place(state, fresh)
    _require_alike("hidden_state", state.hidden_state, fresh.hidden_state if state.batch else None)
    _require_history(state)
    _require_alike("samples", state.samples, [[0, ""]] * len(state.samples) if isinstance(state.samples, list) else [])
    try:
        deepcopy(rng.bit_generator).state = state.rng_state
    except (ValueError, TypeError, KeyError, OverflowError):
        raise InputError(f"rng_state is {quoted(state.rng_state)}, which the generator does not accept") from None


def _require_place(state: TrainingState, fresh: TrainingState) -> None:
    if state.num_batches != fresh.num_batches:
        raise InputError(f"num_batches is {state.num_batches}; it must be {fresh.num_batches}")
    if state.epoch < 1 or state.batch > state.num_batches or bool(state.positions) != bool(state.batch):
        raise InputError(
            f"epoch is {state.epoch}, batch {state.batch} of {state.num_batches}, positions {state.positions}; "
            "there is no such place in training"
        )


def _require_history(state: TrainingState) -> None:
    _require_length("history", state.history, state.epoch - 1)
    for epoch, row in enumerate(state.history, start=1):
        figures = {name: row[name] for name in FIGURES if name in row} if isinstance(row, dict) else row
        _require_alike(f"history.{epoch}", figures, dict.fromkeys(FIGURES, 0.0))
        if row["epoch"] != epoch:
            raise InputError(f"history.{epoch}.epoch is {row['epoch']}; it must be {epoch}")


def _require_alike(name: str, found: Any, fresh: Any) -> None:
    """Raise InputError unless a value, and all values in it, have the type and shape of their fresh counterparts."""
    if isinstance(fresh, SimpleNamespace):
        _require_alike(name, getattr(found, "__dict__", found), vars(fresh))
    elif isinstance(fresh, np.ndarray):
        _require_array(name, found, fresh)
    elif isinstance(fresh, Mapping):
        if not isinstance(found, Mapping) or found.keys() != fresh.keys():
            names = quoted(list(found) if isinstance(found, Mapping) else found)
            raise InputError(f"{name} has {names}; it must have {quoted(list(fresh))}")
        for key in fresh:
            _require_alike(f"{name}.{key}", found[key], fresh[key])
    elif isinstance(fresh, list):
        _require_length(name, found, len(fresh))
        for i, value in enumerate(fresh):
            _require_alike(f"{name}.{i}", found[i], value)
    elif isinstance(fresh, int | float) and not isinstance(fresh, bool):
        _require_number(name, found, fresh)
    elif type(found) is not type(fresh):
        raise InputError(f"{name} is {quoted(found)}; it must have the type of {quoted(fresh)}")


def _require_array(name: str, found: Any, fresh: np.ndarray) -> None:
    if not isinstance(found, np.ndarray) or (found.shape, found.dtype) != (fresh.shape, fresh.dtype):
        kind = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else quoted(found)
        raise InputError(f"{name} is {shown(kind)}; it must be {fresh.dtype} {fresh.shape}")
    if np.isnan(found).any():
        raise InputError(f"{name} has numbers that are NaN")


def _require_number(name: str, found: Any, fresh: float) -> None:
    """An integer that begins at 0 or above counts something, so it can't be negative."""
    if isinstance(fresh, float):
        possible, allowed = _is_number(found), "a finite number"
    else:
        possible = _is_number(found) and isinstance(found, int) and (found >= 0 or fresh < 0)
        allowed = "an integer" if fresh < 0 else "an integer of at least 0"
    if not possible:
        raise InputError(f"{name} is {quoted(found)}; it must be {allowed}")


def _is_number(value: Any) -> bool:
    """Whether training can compute with a value: it must be a finite float, or an integer of at most 64 bits."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, float) and isfinite(value)


def _require_length(name: str, found: Any, length: int) -> None:
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) != length:
        raise InputError(f"{name} is {quoted(found)}; it must be a list of length {length}")
