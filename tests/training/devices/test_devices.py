"""The same training on several devices, in processes that have devices of their own."""

import keras
import numpy as np
import pytest

from streams.runs.run_folder import Run
from tests.makers.training import losses, start_apart

pytestmark = pytest.mark.slow

# More than 50 steps, without what is random on each device.
PLAIN = {"epochs": 13, "steps": 52, "optimizer": "sgd", "network": {"dropout": 0.0}}


class StepLosses(keras.callbacks.Callback):
    """Writes down the mean loss of the epoch so far after each step."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_batch_end(self, batch, logs=None):
        with self.path.open("a") as file:
            print(batch, float(self.model.get_metrics_result()["loss"]), file=file)


def finished(folder, **options):
    process = start_apart(folder, watch=StepLosses(folder.with_suffix(".steps")), **options)
    process.join(250)
    assert process.exitcode == 0
    return Run(folder)


def step_losses(run):
    """Returns the loss of each step, from the means so far."""
    number, mean = np.loadtxt(run.folder.with_suffix(".steps")).T
    sums = (number + 1) * mean
    return np.where(number == 0, mean, sums - np.roll(sums, 1))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"clip_norm": 0.5},
        {"accumulate": 2},
        {"network": {"dropout": 0.0, "batch_norm": True}, "sync_batch_norm": True},
    ],
    ids=["plain", "clipped", "in-parts", "batch-norm-of-both"],
)
def test_two_devices_give_the_losses_of_one_in_each_step(tmp_path, options):
    one = finished(tmp_path / "one", **PLAIN | options)
    two = finished(tmp_path / "two", devices=2, **PLAIN | options)

    assert len(step_losses(one)) == 52
    np.testing.assert_allclose(step_losses(two), step_losses(one), rtol=0, atol=1e-5)
    np.testing.assert_allclose(losses(two), losses(one), rtol=0, atol=1e-5)


def test_two_devices_train_in_half_precision(tmp_path):
    parts = finished(tmp_path / "parts", devices=2, accumulate=2, precision="mixed_float16", **PLAIN)

    assert len(losses(parts)) == 13


def test_what_devices_cannot_do_is_refused_before_it_starts(tmp_path):
    uneven = start_apart(tmp_path / "uneven", devices=3)
    compiled = start_apart(tmp_path / "jit", devices=2, jit=True, deterministic=False)
    chosen = start_apart(tmp_path / "chosen", devices=2, hosts="127.0.0.1:2,127.0.0.1:3")
    uneven.join(60), compiled.join(60), chosen.join(60)

    assert "--batch-size is 8; it must be a multiple of 3" in (tmp_path / "uneven" / "error0.txt").read_text()
    assert "--jit fails on several devices" in (tmp_path / "jit" / "error0.txt").read_text()
    assert "--devices is for one machine" in (tmp_path / "chosen" / "error0.txt").read_text()
