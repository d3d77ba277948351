"""The same training on several devices and on several machines, in processes that have devices of their own."""

import csv
import json
import os
import shutil
import signal
import time

import keras
import numpy as np
import pytest

from streams.runs import Run
from tests.made_training import free_ports, start_apart, weights_of

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


def losses(run):
    with run.history.open() as file:
        return np.array([[float(row["loss"]), float(row["val_loss"])] for row in csv.DictReader(file)])


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("devices") / "one", **PLAIN)


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
    assert "--devices chooses on one machine" in (tmp_path / "chosen" / "error0.txt").read_text()


class Late(keras.callbacks.Callback):
    """Lets a machine come to its end when the others are long done."""

    def on_train_end(self, logs=None):
        time.sleep(5)


class CtrlC(keras.callbacks.Callback):
    """Presses Ctrl-C on its machine, in its ninth step."""

    steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.steps += 1
        if self.steps == 9:
            os.kill(os.getpid(), signal.SIGINT)


class Begun(keras.callbacks.Callback):
    """Writes down from which step a machine went on."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_begin(self, logs=None):
        if not self.path.exists():
            self.path.write_text(str(int(self.model.optimizer.iterations.numpy())))


def start_both(folders, watches=(None, None), **options):
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [
        start_apart(folder, hosts=hosts, host_index=index, watch=watch, **options)
        for index, (folder, watch) in enumerate(zip(folders, watches, strict=True))
    ]


def exit_codes(processes):
    for process in processes:
        process.join(250)
    return [process.exitcode for process in processes]


@pytest.mark.parametrize("late", [0, 1])
def test_two_machines_give_the_losses_of_one_and_only_the_first_writes(one_device, tmp_path, late):
    watches = [Late() if index == late else None for index in range(2)]
    processes = start_both([tmp_path] * 2, watches, **PLAIN)

    assert exit_codes(processes) == [0, 0]
    # What the first machine saved is there for the second one, which may go on with it.
    assert (tmp_path / "seen1.txt").read_text() == "True"
    np.testing.assert_allclose(losses(Run(tmp_path)), losses(one_device), rtol=0, atol=1e-5)
    assert json.loads(Run(tmp_path).config.read_text())["result"]["epochs"] == 13


def test_a_machine_that_dies_ends_the_other_with_words_and_all_go_on_together(one_device, tmp_path):
    options = {**PLAIN, "checkpoint_minutes": 0.0}
    first, second = start_both([tmp_path] * 2, **options)
    while not list((tmp_path / "checkpoints").glob("step*")):
        assert first.is_alive()
        second.join(0.01)
    second.kill()
    first.join(100)

    assert first.exitcode not in (0, None)
    assert "Start the same command again" in (tmp_path / "error0.txt").read_text()

    assert exit_codes(start_both([tmp_path] * 2, **options)) == [0, 0]
    np.testing.assert_allclose(losses(Run(tmp_path)), losses(one_device), rtol=0, atol=1e-5)
    assert all(np.isfinite(weights).all() for weights in weights_of(Run(tmp_path)))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training of two machines, on the second of which somebody pressed Ctrl-C."""
    folder = tmp_path_factory.mktemp("stopped")
    assert 0 not in exit_codes(start_both([folder] * 2, (None, CtrlC()), **PLAIN))
    return folder


def test_ctrl_c_on_one_machine_stops_all_at_the_same_step_and_all_go_on_from_there(one_device, stopped, tmp_path):
    folder = shutil.copytree(stopped, tmp_path / "run")
    begun = [tmp_path / f"begun{index}" for index in range(2)]

    codes = exit_codes(start_both([folder] * 2, [Begun(path) for path in begun], **PLAIN))

    for index, asked in enumerate((", as another machine was asked to,", "")):
        said = f"Stopped{asked} and saved after step 10. The same command on every machine goes on from there."
        assert (folder / f"error{index}.txt").read_text() == said
    assert codes == [0, 0]
    assert [path.read_text() for path in begun] == ["10", "10"]
    np.testing.assert_allclose(losses(Run(folder)), losses(one_device), rtol=0, atol=1e-5)


def test_machines_that_see_different_run_folders_are_told_to_share_one(stopped, tmp_path):
    folders = shutil.copytree(stopped, tmp_path / "run"), tmp_path / "empty"

    assert 0 not in exit_codes(start_both(folders, **PLAIN))

    for index, (folder, step) in enumerate(zip(folders, (10, 0), strict=True)):
        said = (folder / f"error{index}.txt").read_text()
        assert said.startswith(f"This machine would go on from step {step}, all together from 5 on average")
