"""Initializers: the distribution each promises, matrix by matrix, from the generator that is passed."""

import numpy as np
import pytest

from charrnn.activations import softmax
from charrnn.initializers import glorot_normal, glorot_uniform, log_frequencies, orthogonal, random_uniform, zeros

ALL = [zeros, random_uniform, glorot_uniform, glorot_normal, orthogonal]


@pytest.mark.parametrize("initializer", ALL)
def test_shape_and_repeatability(initializer):
    first = initializer((3, 4, 5), np.random.default_rng(1))
    assert first.shape == (3, 4, 5)
    np.testing.assert_array_equal(first, initializer((3, 4, 5), np.random.default_rng(1)))


def test_zeros(rng):
    assert not zeros((3, 4), rng).any()


def test_random_uniform_fills_its_limits(rng):
    x = random_uniform((300, 300), rng)
    assert -0.05 <= x.min() < -0.0499 and 0.0499 < x.max() < 0.05
    assert abs(x.mean()) < 0.0005


def test_glorot_uniform_counts_the_fans_of_each_matrix(rng):
    limit = np.sqrt(6 / (200 + 100))
    x = glorot_uniform((3, 200, 100), rng)
    assert 0.999 * limit < np.abs(x).max() <= limit
    np.testing.assert_allclose(x.var(axis=(1, 2)), 2 / 300, rtol=0.03)


def test_glorot_normal_counts_the_fans_of_each_matrix(rng):
    x = glorot_normal((3, 400, 200), rng)
    np.testing.assert_allclose(x.var(axis=(1, 2)), 2 / 600, rtol=0.02)
    kurtosis = (x**4).mean() / (x**2).mean() ** 2
    assert abs(kurtosis - 3) < 0.15  # a normal distribution's; a uniform one has 1.8


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (8, 5), (5, 8)])
def test_orthogonal_matrix_by_matrix(rows, columns, rng):
    for matrix in orthogonal((3, rows, columns), rng):
        gram = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
        np.testing.assert_allclose(gram, np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_is_uniform_over_the_group(rng):
    diagonals = np.array([np.diagonal(q) for q in orthogonal((2000, 3, 3), rng)])
    assert np.abs(diagonals.mean(axis=0)).max() < 0.05  # without the correction of signs it is about 0.4


def test_log_frequencies_predict_each_character_as_often_as_it_occurs(rng):
    bias = log_frequencies((4,), rng, counts=np.array([1, 0, 7, 8]))
    np.testing.assert_allclose(bias, np.log([2 / 20, 1 / 20, 8 / 20, 9 / 20]), rtol=1e-15)
    np.testing.assert_allclose(softmax(bias), [0.1, 0.05, 0.4, 0.45], rtol=1e-15)
