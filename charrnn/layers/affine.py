"""y = x W + b for all time steps at once, and its gradients."""

import numpy as np

from charrnn.activations import ACTIVATIONS
from charrnn.arrays import Array, Stepper, aligned_copy, aligned_empty


def affine(x: Array, W: Array, b: Array, y: Array) -> Array:
    """y = x W + b, all time steps in one product."""
    np.matmul(x.reshape(-1, len(W)), W, out=y.reshape(-1, len(b)))
    y += b
    return y


def affine_backward(dy: Array, W: Array, dx: Array) -> Array:
    """dx = dy Wᵀ."""
    np.matmul(dy.reshape(-1, W.shape[1]), W.T, out=dx.reshape(-1, len(W)))
    return dx


def affine_gradients(x: Array, dy: Array, dW: Array, db: Array) -> None:
    """dW = Σ xᵀ dy, db = Σ dy."""
    dy_rows = dy.reshape(-1, len(db))
    np.matmul(x.reshape(-1, len(dW)).T, dy_rows, out=dW)
    np.sum(dy_rows, axis=0, out=db)


def affine_stepper(x: Array, W: Array, b: Array, activation: str = "linear") -> Stepper:
    """The `Layer.stepper` of y = f(x W + b): [1, y] = [1, x] [[1, b], [0, W]], and then f applied to y."""
    matrix = aligned_copy(np.zeros((1 + len(W), 1 + len(b)), x.dtype))
    matrix[0, 0], matrix[0, 1:], matrix[1:, 1:] = 1, b, W
    # The logits of a sequence are contiguous in memory, which speeds up the search for the largest one.
    x_rows, y_rows = x.T, aligned_empty((x.shape[1], 1 + len(b)), x.dtype)
    y, activate = y_rows[:, 1:], None if activation == "linear" else ACTIVATIONS[activation].forward

    def step() -> None:
        x_rows.dot(matrix, y_rows)
        if activate:
            activate(y, out=y)

    return x, y_rows.T, step
