"""The learning rate follows its schedule, number by number."""

import numpy as np
import pytest

from streams.training.schedules import Rate, plateau_factor
from tests.makers.training import made_config

PEAK, STEPS_PER_EPOCH = 0.01, 4


def rates(number, **options):
    """Returns the rate of each of the first steps, of a training of five epochs unless the options say else."""
    config = made_config(**{"epochs": 5, "learning_rate": PEAK, "schedule": "constant", **options})
    rate = Rate(config, STEPS_PER_EPOCH, config.steps or config.epochs * STEPS_PER_EPOCH)
    return np.array([float(rate(step)) for step in range(number)])


@pytest.mark.parametrize("length", [{}, {"steps": 20}])
def test_a_warm_up_of_an_epoch_rises_step_by_step_however_the_length_is_given(length):
    np.testing.assert_allclose(rates(6, warmup=1, **length) / PEAK, [0.2, 0.4, 0.6, 0.8, 1, 1], rtol=1e-5)


def test_a_cosine_falls_from_the_end_of_the_warm_up_to_zero():
    shares = rates(21, schedule="cosine", warmup=1) / PEAK

    assert shares[4] == pytest.approx(1)
    assert shares[12] == pytest.approx(0.5)
    assert shares[8] == pytest.approx(0.5 + 0.5**1.5)
    assert shares[20] == pytest.approx(0, abs=1e-6)


def test_milestones_count_epochs_or_steps_and_leave_a_tenth_each():
    in_epochs = rates(20, schedule="step", milestones=(2, 4)) / PEAK
    in_steps = rates(20, schedule="step", milestones=(8, 16), steps=20) / PEAK

    np.testing.assert_allclose(in_epochs, np.repeat([1, 0.1, 0.01], [8, 8, 4]), rtol=1e-5)
    np.testing.assert_array_equal(in_steps, in_epochs)


def test_each_plateau_leaves_a_tenth_and_starts_counting_anew():
    losses = [3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0]

    factors = [plateau_factor([{"val_loss": loss} for loss in losses[:epoch]], 2) for epoch in range(10)]

    assert factors == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])


def test_a_rate_that_was_made_for_another_batch_is_scaled_in_proportion():
    np.testing.assert_allclose(rates(1, batch_size=8, rate_batch=32), [PEAK / 4], rtol=1e-5)
