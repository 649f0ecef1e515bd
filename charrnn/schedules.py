"""Learning rates that change while training goes on: a warm-up, then constant, in steps, or along half a cosine."""

from math import cos, pi


def constant(progress: float) -> float:
    """1"""
    return 1.0


def step(progress: float) -> float:
    """1, a tenth from half of the way on, a hundredth from three quarters on (He et al. 2015, section 4.2)."""
    return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01


def cosine(progress: float) -> float:
    """(1 + cos(π · progress)) / 2 (Loshchilov and Hutter 2017, equation 5, without restarts)."""
    return (1 + cos(pi * progress)) / 2


SCHEDULES = {"constant": constant, "step": step, "cosine": cosine}


def learning_rate(
    batch: int, num_batches: int, *, schedule: str, highest: float, final: float, warmup_batches: int
) -> float:
    """The learning rate of batch 1 … num_batches.

    η = (final + (highest - final) · schedule(progress)) · min(1, batch / warmup_batches), where progress is the share
    of the batches after the warm-up that are done.
    """
    progress = max(0, batch - 1 - warmup_batches) / max(1, num_batches - warmup_batches)
    rate = final + (highest - final) * SCHEDULES[schedule](progress)
    return rate * min(1.0, batch / warmup_batches) if warmup_batches else rate
