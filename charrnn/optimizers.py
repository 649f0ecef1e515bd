"""The usual variants of gradient descent, each a few lines on a flat parameter vector θ and its gradient g.

An optimizer is a description. `state(θ)` creates the state that it keeps between steps, and `update(θ, g, state)`
changes θ and the state in place, but not g. Steps t count from 1. Update rules and defaults match PyTorch's, except for
learning rates, and are tested against it.
"""

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, fields
from functools import partial
from math import isfinite
from types import SimpleNamespace
from typing import Any, ClassVar, Protocol

import numpy as np

from charrnn.config import TrainingConfig
from charrnn.errors import InputError
from charrnn.messages import quoted

Vector = np.ndarray
BLOCK = 1 << 15  # numbers; with smaller blocks, the calls cost more than the arithmetic


class Optimizer(Protocol):
    """The interface of an optimizer. It must be a dataclass, so that its learning rate can follow a schedule."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def learning_rate(self) -> float:
        """η"""

    def state(self, parameters: Vector) -> SimpleNamespace:
        """The state before the first step."""

    def update(self, parameters: Vector, gradient: Vector, state: SimpleNamespace) -> None:
        """Take one step."""


def clip_by_global_norm(gradient: Vector, max_norm: float) -> float:
    """Scale the gradient in place to a Euclidean norm of at most `max_norm`, and return its norm before scaling.

    Pascanu, Mikolov and Bengio (2013), algorithm 1.
    """
    norm = float(np.sqrt(np.dot(gradient, gradient)))
    if norm > max_norm:
        gradient *= max_norm / norm
    return norm


def decay_weights(parameters: Vector, decayed: Vector, share: float) -> None:
    """Shrink the parameters where `decayed` (bool) is True by this share, in place."""
    np.multiply(parameters, 1 - share, out=parameters, where=decayed)


def require_valid(optimizer: Optimizer) -> None:
    """Raise InputError for a hyperparameter outside its range."""
    for field in fields(optimizer):
        value = getattr(optimizer, field.name)
        if field.name in ("learning_rate", "epsilon"):
            valid, allowed = isfinite(value) and value > 0, "a finite number above 0"
        elif field.name in ("momentum", "beta_1", "beta_2", "decay"):
            valid, allowed = 0 <= value < 1, "at least 0 and below 1"
        else:
            valid, allowed = isfinite(value) and value >= 0, "a finite number of at least 0"
        if not valid:
            raise InputError(f"{type(optimizer).__name__}: {field.name} is {quoted(value)}; it must be {allowed}")


def in_blocks(*vectors: Vector) -> Iterator[tuple[Vector, ...]]:
    """Cut vectors of equal length into blocks that stay in the cache during all operations on them."""
    for start in range(0, len(vectors[0]), BLOCK):
        yield tuple(vector[start : start + BLOCK] for vector in vectors)


def block_like(parameters: Vector) -> Vector:
    """An uninitialized vector for intermediate results on a block."""
    return np.empty_like(parameters[:BLOCK])


def average(mean: Vector, value: Vector, decay: float, scratch: Vector) -> None:
    """mean ← decay · mean + (1 - decay) · value, in place; `scratch` may be `value` itself."""
    np.multiply(value, 1 - decay, out=scratch)
    mean *= decay
    mean += scratch


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent, with classical or Nesterov momentum if `momentum` is above 0.

    u ← μ u + g,  θ ← θ - η u   or, with Nesterov (Sutskever et al. 2013),   θ ← θ - η (g + μ u)
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        require_valid(self)

    def state(self, parameters: Vector) -> SimpleNamespace:
        return SimpleNamespace(velocity=np.zeros_like(parameters))

    def update(self, parameters: Vector, gradient: Vector, state: SimpleNamespace) -> None:
        scratch = block_like(parameters)
        for θ, g, u in in_blocks(parameters, gradient, state.velocity):
            step = scratch[: len(θ)]
            u *= self.momentum
            u += g
            if self.nesterov:
                np.multiply(u, self.momentum, out=step)
                step += g
                step *= self.learning_rate
            else:
                np.multiply(u, self.learning_rate, out=step)
            θ -= step


@dataclass(frozen=True)
class Adagrad:
    """s ← s + g²,  θ ← θ - η g / (√s + ε)   (Duchi, Hazan and Singer 2011)"""

    learning_rate: float = 0.01
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        require_valid(self)

    def state(self, parameters: Vector) -> SimpleNamespace:
        return SimpleNamespace(sum=np.zeros_like(parameters))

    def update(self, parameters: Vector, gradient: Vector, state: SimpleNamespace) -> None:
        scratch = block_like(parameters)
        for θ, g, s in in_blocks(parameters, gradient, state.sum):
            step = scratch[: len(θ)]
            np.multiply(g, g, out=step)
            s += step
            np.sqrt(s, out=step)
            step += self.epsilon
            np.divide(g, step, out=step)
            step *= self.learning_rate
            θ -= step


@dataclass(frozen=True)
class RMSprop:
    """v ← ρ v + (1 - ρ) g²,  θ ← θ - η g / (√v + ε)   (Tieleman and Hinton 2012)"""

    learning_rate: float = 0.001
    decay: float = 0.99
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        require_valid(self)

    def state(self, parameters: Vector) -> SimpleNamespace:
        return SimpleNamespace(v=np.zeros_like(parameters))

    def update(self, parameters: Vector, gradient: Vector, state: SimpleNamespace) -> None:
        scratch = block_like(parameters)
        for θ, g, v in in_blocks(parameters, gradient, state.v):
            step = scratch[: len(θ)]
            np.multiply(g, g, out=step)
            average(v, step, self.decay, scratch=step)
            np.sqrt(v, out=step)
            step += self.epsilon
            np.divide(g, step, out=step)
            step *= self.learning_rate
            θ -= step


@dataclass(frozen=True)
class Adam:
    """Adaptive moments (Kingma and Ba 2015, algorithm 1).

    m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²,  θ ← θ - η m̂ / (√v̂ + ε)
    with  m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        require_valid(self)

    def state(self, parameters: Vector) -> SimpleNamespace:
        return SimpleNamespace(step=0, m=np.zeros_like(parameters), v=np.zeros_like(parameters))

    def update(self, parameters: Vector, gradient: Vector, state: SimpleNamespace) -> None:
        state.step += 1
        rate = self.learning_rate / (1 - self.beta_1**state.step)
        scratch = block_like(parameters)
        for θ, g, m, v in in_blocks(parameters, gradient, state.m, state.v):
            step = scratch[: len(θ)]
            self._update_moments(g, m, v, step)
            np.divide(m, self._denominator(v, state.step, step), out=step)
            step *= rate
            θ -= step

    def _update_moments(self, g: Vector, m: Vector, v: Vector, scratch: Vector) -> None:
        average(m, g, self.beta_1, scratch)
        np.multiply(g, g, out=scratch)
        average(v, scratch, self.beta_2, scratch)

    def _denominator(self, v: Vector, t: int, out: Vector) -> Vector:
        """√v̂ + ε"""
        np.divide(v, 1 - self.beta_2**t, out=out)
        np.sqrt(out, out=out)
        out += self.epsilon
        return out


@dataclass(frozen=True)
class Nadam(Adam):
    """Adam with Nesterov momentum whose decay μ_t grows with time (Dozat 2016, algorithm 2 and its section on μ_t).

    θ ← θ - η [ (1 - μ_t) / (1 - Π_{i≤t} μ_i) g + μ_{t+1} / (1 - Π_{i≤t+1} μ_i) m ] / (√v̂ + ε)
    with  μ_t = β₁ (1 - ½ · 0.96^(t ψ)),  ψ = momentum_decay
    """

    momentum_decay: float = 0.004

    def state(self, parameters: Vector) -> SimpleNamespace:
        state = super().state(parameters)
        state.momentum_product = 1.0
        return state

    def update(self, parameters: Vector, gradient: Vector, state: SimpleNamespace) -> None:
        state.step += 1
        momentum, next_momentum = self._momentum(state.step), self._momentum(state.step + 1)
        state.momentum_product *= momentum
        gradient_weight = (1 - momentum) / (1 - state.momentum_product)
        moment_weight = next_momentum / (1 - state.momentum_product * next_momentum)
        intermediate = block_like(parameters), block_like(parameters)
        for θ, g, m, v in in_blocks(parameters, gradient, state.m, state.v):
            scratch, step = (vector[: len(θ)] for vector in intermediate)
            self._update_moments(g, m, v, scratch)
            np.multiply(g, gradient_weight, out=step)
            step += np.multiply(m, moment_weight, out=scratch)
            step /= self._denominator(v, state.step, scratch)
            step *= self.learning_rate
            θ -= step

    def _momentum(self, t: int) -> float:
        """μ_t"""
        return self.beta_1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay))


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "nadam": Nadam,
    "adam": Adam,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
}


def create_optimizer(config: TrainingConfig) -> Optimizer:
    """The optimizer that the config describes; `beta_2` applies to Adam and Nadam."""
    betas = {"beta_2": config.beta_2} if config.optimizer in ("adam", "nadam") else {}
    return OPTIMIZERS[config.optimizer](learning_rate=config.learning_rate, **betas)
