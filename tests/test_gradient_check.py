"""The gradient check passes for every built-in layer, and names the array whose gradient is wrong."""

from dataclasses import dataclass

import numpy as np
import pytest

from charrnn import Layer, gradient_check
from charrnn.arrays import Arrays
from charrnn.errors import CharRNNError
from charrnn.gradient_checking import GradientError, LayerProbe, central_differences, views
from charrnn.layers import GRU, LSTM, Dense, Dropout, DropoutMasks, Embedding, LastStep, SimpleRNN, TiedDense
from tests.networks import LeakyAverage, layer_id


@pytest.mark.parametrize(
    ("layer", "ids"),
    [
        (Embedding(5, 3), True),
        (Embedding(5, 3, tied=True), True),
        (Dense(3, 4), False),
        (Dense(3, 4, "sigmoid"), False),
        (TiedDense(3, 5), False),
        (Dropout(5, 0.3, DropoutMasks(seed=3)), False),
        (LastStep(3), False),
        (SimpleRNN(3, 4), False),
        (GRU(3, 4), False),
        (GRU(3, 4, reset_after=True), False),
        (GRU(3, 4, mogrifier=True), False),
        (LSTM(3, 4), False),
        (LeakyAverage(3), False),
    ],
    ids=lambda value: layer_id(value) if isinstance(value, Layer) else "",
)
def test_right_gradients_pass(layer, ids, rng):
    assert gradient_check(layer, rng, ids=ids) is None


@dataclass(frozen=True)
class Affine(Layer):
    """y = x W + b, with errors on demand."""

    input_dim: int = 3
    output_dim: int = 2

    def shapes(self):
        return {"W": (self.input_dim, self.output_dim), "b": (self.output_dim,)}

    def allocate(self, T, B, dtype):
        return Arrays()

    def forward(self, p, x, buffers):
        return x @ p.W + p.b

    def backward(self, p, grad, x, dy, buffers):
        grad.W[...] = np.tensordot(x, dy, axes=([0, 1], [0, 1]))
        grad.b[...] = dy.sum(axis=(0, 1))
        return dy @ p.W.T


class FlippedSign(Affine):
    def backward(self, p, grad, x, dy, buffers):
        dx = super().backward(p, grad, x, dy, buffers)
        grad.b *= -1
        return dx


class DroppedStep(Affine):
    def backward(self, p, grad, x, dy, buffers):
        super().backward(p, grad, x[1:], dy[1:], buffers)
        grad.b[...] = dy.sum(axis=(0, 1))
        return dy @ p.W.T


class DroppedFactor(Affine):
    def backward(self, p, grad, x, dy, buffers):
        return 0.999 * super().backward(p, grad, x, dy, buffers)


class NotANumber(Affine):
    def backward(self, p, grad, x, dy, buffers):
        dx = super().backward(p, grad, x, dy, buffers)
        grad.W[1, 1] = np.nan
        return dx


class Untouched(Affine):
    """It leaves a gradient as it was."""

    def backward(self, p, grad, x, dy, buffers):
        grad.W[...] = np.tensordot(x, dy, axes=([0, 1], [0, 1]))
        return dy @ p.W.T


class Adding(Affine):
    """It adds to the gradients instead of overwriting them."""

    def backward(self, p, grad, x, dy, buffers):
        grad.W += np.tensordot(x, dy, axes=([0, 1], [0, 1]))
        grad.b[...] = dy.sum(axis=(0, 1))
        return dy @ p.W.T


class NoInputGradient(Affine):
    def backward(self, p, grad, x, dy, buffers):
        super().backward(p, grad, x, dy, buffers)


class OneSequence(Affine):
    """It returns the input gradient of one sequence for all of them."""

    def backward(self, p, grad, x, dy, buffers):
        return super().backward(p, grad, x, dy, buffers)[:, :1]


@pytest.mark.parametrize(
    ("layer", "array", "wrong"),
    [
        (FlippedSign(), "b", "2 of 2"),
        (DroppedStep(), "W", "6 of 6"),
        (DroppedFactor(), "x", "45 of 45"),
        (NotANumber(), "W", "1 of 6"),
        (Untouched(), "b", "2 of 2"),
        (Adding(), "W", "6 of 6"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Layer) else "",
)
def test_a_wrong_gradient_is_named(layer, array, wrong, rng):
    message = (
        rf"^{type(layer).__name__}: the gradient of {array} at \([\d, ]+\) is (nan|-?[\d.e-]+), "
        rf"but central differences give -?[\d.e-]+; {wrong} entries differ$"
    )
    with pytest.raises(GradientError, match=message):
        gradient_check(layer, rng)


def test_the_entry_and_both_values_are_given(rng):
    with pytest.raises(GradientError, match=r"W at \(1, 1\) is nan, but"):
        gradient_check(NotANumber(), rng)
    probe_rng = np.random.default_rng(5)
    expected = LayerProbe(Affine(), 5, 3, probe_rng).R.sum(axis=(0, 1))
    with pytest.raises(GradientError) as error:
        gradient_check(FlippedSign(), np.random.default_rng(5))
    given = str(error.value).split("; ")[0]
    assert f"b at (0,) is {-expected[0]:.9g}, " in given
    np.testing.assert_allclose(float(given.split()[-1]), expected[0], rtol=1e-6)


@pytest.mark.parametrize("layer", [NoInputGradient(), OneSequence()], ids=layer_id)
def test_an_input_gradient_that_is_missing_or_of_another_shape_is_an_error(layer, rng):
    with pytest.raises(GradientError, match=rf"^{type(layer).__name__}: .*\bx\b"):
        gradient_check(layer, rng)


class ForgetsTheCarry(SimpleRNN):
    """Backwards in time, it drops the gradient that a step gets from the step after it."""

    def backward(self, p, grad, x, dy, buffers):
        kept, p.recurrent_kernel = p.recurrent_kernel, np.zeros_like(p.recurrent_kernel)
        try:
            return super().backward(p, grad, x, dy, buffers)
        finally:
            p.recurrent_kernel = kept


class WrongStateGradient(SimpleRNN):
    def backward(self, p, grad, x, dy, buffers):
        dx = super().backward(p, grad, x, dy, buffers)
        buffers.dh *= -1
        return dx


class WrongRecurrentGradient(SimpleRNN):
    """It pairs every gradient with the state after its step instead of the one before."""

    def backward(self, p, grad, x, dy, buffers):
        dx = super().backward(p, grad, x, dy, buffers)
        H = self.hidden_dim
        np.matmul(buffers.h[1:].reshape(-1, H).T, buffers.a.reshape(-1, H), out=grad.recurrent_kernel)
        return dx


@pytest.mark.parametrize(
    ("mutant", "array"),
    [
        (ForgetsTheCarry, "kernel"),
        (WrongStateGradient, "incoming h"),
        (WrongRecurrentGradient, "recurrent_kernel"),
    ],
)
def test_wrong_backpropagation_through_time_is_noticed(mutant, array, rng):
    with pytest.raises(GradientError, match=f"^{mutant.__name__}: the gradient of {array} at"):
        gradient_check(mutant(3, 4), rng)


def test_two_steps_of_one_sequence_are_enough_to_notice_a_lost_carry(rng):
    with pytest.raises(GradientError):
        gradient_check(ForgetsTheCarry(3, 4), rng, T=2, B=1)


def test_the_error_is_one_of_ours_and_an_assertion():
    assert issubclass(GradientError, CharRNNError) and issubclass(GradientError, AssertionError)


def test_the_check_leaves_the_probe_s_arrays_as_they_were(rng):
    array = rng.normal(size=(2, 3))
    kept = array.copy()
    slopes = central_differences(lambda: float((array**3).sum()), array)
    np.testing.assert_array_equal(array, kept)
    np.testing.assert_allclose(slopes, 3 * kept**2, rtol=1e-6, atol=1e-9)


def test_views_lie_one_after_the_other_in_the_vector():
    flat = np.arange(8.0)
    named = views({"a": (2, 3), "b": (2,), "c": (0,)}, flat)
    assert {name: view.tolist() for name, view in vars(named).items()} == {
        "a": [[0, 1, 2], [3, 4, 5]],
        "b": [6, 7],
        "c": [],
    }
    named.b[0] = -1
    assert flat[6] == -1
