"""The cross-entropy: values by hand, gradient by central differences, and no overflow."""

import numpy as np
import pytest

from charrnn.gradient_checking import central_differences
from charrnn.losses import SparseCategoricalCrossentropy

LOSS = SparseCategoricalCrossentropy()


def test_value_by_hand():
    logits = np.log(np.array([[[0.5, 0.25, 0.25]], [[0.1, 0.1, 0.8]]]))
    buffers = LOSS.allocate(2, 1, 3, np.float64)
    losses = LOSS.forward(logits, np.array([[0], [1]]), buffers)
    np.testing.assert_allclose(losses, [[-np.log(0.5)], [-np.log(0.1)]])


@pytest.mark.parametrize("share", [1, 0.25])
def test_gradient(share, rng):
    logits, targets = rng.normal(size=(3, 2, 5)), rng.integers(5, size=(3, 2), dtype=np.uint8)
    buffers = LOSS.allocate(3, 2, 5, np.float64)
    numeric = central_differences(lambda: LOSS.forward(logits, targets, buffers).mean(), logits)
    LOSS.forward(logits, targets, buffers)
    np.testing.assert_allclose(LOSS.backward(buffers, share), share * numeric, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("largest", [0, 1, 2])
def test_extreme_logits_stay_finite(largest):
    logits = np.roll(np.array([[[1e4, -1e4, 0]]], np.float32), largest)
    buffers = LOSS.allocate(1, 1, 3, np.float32)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert LOSS.forward(logits, np.array([[(1 + largest) % 3]]), buffers) == 2e4
        np.testing.assert_array_equal(LOSS.backward(buffers), np.roll([[[1, -1, 0]]], largest))


def test_logits_do_not_change(rng):
    logits = rng.normal(size=(2, 2, 4))
    kept, buffers = logits.copy(), LOSS.allocate(2, 2, 4, np.float64)
    LOSS.forward(logits, np.zeros((2, 2), int), buffers)
    LOSS.backward(buffers)
    np.testing.assert_array_equal(logits, kept)
