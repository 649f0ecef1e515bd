"""Learning-rate schedules: the shape of each, the warm-up, both ends."""

import numpy as np
import pytest

from charrnn.config import TrainingConfig
from charrnn.schedules import SCHEDULES, learning_rate


def rates(schedule, num_batches=100, warmup_batches=0, highest=1.0, final=0.0):
    config = TrainingConfig(
        schedule=schedule, learning_rate=highest, final_learning_rate=final, warmup_batches=warmup_batches
    )
    return np.array([learning_rate(batch, config, num_batches) for batch in range(1, num_batches + 1)])


def test_constant():
    np.testing.assert_array_equal(rates("constant", highest=0.3), np.full(100, 0.3))


def test_step():
    np.testing.assert_allclose(rates("step"), np.repeat([1, 0.1, 0.01], [50, 25, 25]))


def test_cosine_falls_from_the_highest_rate_to_the_final_one():
    cosine = rates("cosine", highest=3.0, final=1.0)
    assert cosine[0] == 3.0 and (np.diff(cosine) < 0).all()
    np.testing.assert_allclose(cosine[50], 2.0)
    np.testing.assert_allclose(cosine[-1], 1.0, atol=1e-3)
    assert cosine[-1] > 1.0


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_warm_up_is_linear_and_the_schedule_begins_after_it(schedule):
    warm = rates(schedule, 120, warmup_batches=20)
    np.testing.assert_allclose(warm[:20], np.arange(1, 21) / 20)
    np.testing.assert_allclose(warm[20:], rates(schedule, 100))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup_batches", [9, 10, 11, 50])
def test_a_warm_up_may_last_as_long_as_training_or_longer(schedule, warmup_batches):
    ended = np.arange(1, 11) > warmup_batches
    np.testing.assert_allclose(
        rates(schedule, 10, warmup_batches), np.where(ended, 1, np.arange(1, 11) / warmup_batches)
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_no_rate_is_zero_even_if_all_batches_warm_up(schedule):
    assert (rates(schedule, 10, warmup_batches=50) > 0).all() and (rates(schedule, 1) > 0).all()
