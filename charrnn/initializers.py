"""Initial values of parameters: functions of a shape and a random generator.

A shape with more than two axes is a stack of matrices, for example one for each gate. Each matrix (fan_in, fan_out) on
the last two axes is drawn separately, whereas Keras takes the fans of all gates together. `functools.partial` makes
variants: `partial(random_uniform, limit=0.1)`.
"""

from collections.abc import Callable

import numpy as np

from charrnn.blas import one_blas_thread

Shape = tuple[int, ...]
Initializer = Callable[[Shape, np.random.Generator], np.ndarray]


def zeros(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """All zeros, float64."""
    return np.zeros(shape)


def random_uniform(shape: Shape, rng: np.random.Generator, limit: float = 0.05) -> np.ndarray:
    """Uniform in [-limit, limit), float64."""
    return rng.uniform(-limit, limit, shape)


def log_frequencies(shape: Shape, rng: np.random.Generator, *, counts: np.ndarray) -> np.ndarray:
    """log((n_v + 1) / Σ_u (n_u + 1)), float64, for counts n (V,): the bias (V,) of an output layer.

    With `counts` from `charrnn.preprocessing.count_ids`, a network whose other logits are small begins by predicting
    each character as often as it occurs, and does not spend its first steps on learning that. The 1 keeps characters
    possible that do not occur.
    """
    return np.log((counts + 1) / (counts + 1).sum())


def glorot_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Uniform with variance 2 / (fan_in + fan_out), float64 (Glorot and Bengio 2010, equation 16)."""
    fan_in, fan_out = shape[-2:]
    return random_uniform(shape, rng, limit=np.sqrt(6 / (fan_in + fan_out)))


def glorot_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / (fan_in + fan_out), float64 (Glorot and Bengio 2010, equation 12)."""
    fan_in, fan_out = shape[-2:]
    return rng.normal(0, np.sqrt(2 / (fan_in + fan_out)), shape)


@one_blas_thread()
def orthogonal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Matrices with orthonormal rows or columns (whichever are fewer), float64 (Saxe, McClelland and Ganguli 2013).

    They come from the QR decomposition of Gaussian matrices. Multiplying each column by the sign of R's diagonal
    makes the draw uniform over the orthogonal group (Mezzadri 2007).
    """
    rows, columns = shape[-2:]
    gaussian = rng.standard_normal((*shape[:-2], max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(gaussian)
    q *= np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return q if rows >= columns else q.swapaxes(-2, -1)
