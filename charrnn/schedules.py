"""Learning-rate schedules: a warm-up, then constant, in steps, or along half a cosine."""

from math import cos, pi

from charrnn.config import TrainingConfig


def constant(progress: float) -> float:
    """1"""
    return 1.0


def step(progress: float) -> float:
    """1, then 0.1 from half of training on, then 0.01 from three quarters on (He et al. 2015, section 4.2)."""
    return 1.0 if progress < 0.5 else 0.1 if progress < 0.75 else 0.01


def cosine(progress: float) -> float:
    """(1 + cos(π · progress)) / 2 (Loshchilov and Hutter 2017, equation 5, without restarts)."""
    return (1 + cos(pi * progress)) / 2


SCHEDULES = {"constant": constant, "step": step, "cosine": cosine}


def learning_rate(batch: int, config: TrainingConfig, num_batches: int) -> float:
    """The learning rate of batch 1 … num_batches, counted over all epochs.

    η = (final + (highest - final) · schedule(progress)) · min(1, batch / warmup), where progress is the fraction of the
    batches after the warm-up that are done.
    """
    warmup, final = config.warmup_batches, config.final_learning_rate
    progress = max(0, batch - 1 - warmup) / max(1, num_batches - warmup)
    rate = final + (config.learning_rate - final) * SCHEDULES[config.schedule](progress)
    return rate * min(1.0, batch / warmup) if warmup else rate
