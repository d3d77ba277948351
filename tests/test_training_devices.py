"""The same training on several devices and on several machines, in processes that have devices of their own."""

import csv
import json
import time

import keras
import numpy as np
import pytest

from streams.runs import Run
from tests.made_training import free_ports, start_apart, weights_of

pytestmark = pytest.mark.slow

# More than 50 steps, without what is random on each device.
PLAIN = {"epochs": 13, "steps": 52, "optimizer": "sgd", "network": {"dropout": 0.0}}


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("one"), **PLAIN)


def finished(folder, **options):
    process = start_apart(folder, **options)
    process.join(120)
    assert process.exitcode == 0
    return Run(folder)


def losses(run):
    with run.history.open() as file:
        return np.array([[float(row["loss"]), float(row["val_loss"])] for row in csv.DictReader(file)])


def test_two_devices_give_the_losses_of_one(one_device, tmp_path):
    two = finished(tmp_path, devices=2, **PLAIN)

    np.testing.assert_allclose(losses(two), losses(one_device), rtol=0, atol=1e-5)


def test_two_devices_clip_accumulate_and_synchronise_batch_norm_as_one_does(tmp_path):
    options = {"epochs": 3, "clip_norm": 0.5, "sync_batch_norm": True, "network": {"dropout": 0.0, "batch_norm": True}}

    one = finished(tmp_path / "one", **options)
    two = finished(tmp_path / "two", devices=2, **options)
    parts = finished(tmp_path / "parts", devices=2, accumulate=2, precision="mixed_float16", **PLAIN)

    np.testing.assert_allclose(losses(two), losses(one), rtol=0, atol=1e-4)
    assert len(losses(parts)) == 13


def test_what_devices_cannot_do_is_refused_before_it_starts(tmp_path):
    uneven = start_apart(tmp_path / "uneven", devices=3)
    compiled = start_apart(tmp_path / "jit", devices=2, jit=True, deterministic=False)
    uneven.join(60), compiled.join(60)

    assert "--batch-size is 8; it must be a multiple of 3" in (tmp_path / "uneven" / "error0.txt").read_text()
    assert "--jit fails on several devices" in (tmp_path / "jit" / "error0.txt").read_text()


class Late(keras.callbacks.Callback):
    """Lets a machine come to its end when the others are long done."""

    def on_train_end(self, logs=None):
        time.sleep(5)


def start_both(folder, late=None, **options):
    hosts = ",".join(f"127.0.0.1:{port}" for port in free_ports(2))
    return [
        start_apart(folder, hosts=hosts, host_index=index, watch=Late() if index == late else None, **options)
        for index in range(2)
    ]


def test_two_machines_give_the_losses_of_one_and_only_the_first_writes(one_device, tmp_path):
    processes = start_both(tmp_path, late=1, **PLAIN)
    for process in processes:
        process.join(150)

    assert [process.exitcode for process in processes] == [0, 0]
    np.testing.assert_allclose(losses(Run(tmp_path)), losses(one_device), rtol=0, atol=1e-5)
    assert json.loads(Run(tmp_path).config.read_text())["result"]["epochs"] == 13


def test_a_machine_that_dies_ends_the_other_with_words_and_all_go_on_together(one_device, tmp_path):
    options = {**PLAIN, "checkpoint_minutes": 0.0}
    first, second = start_both(tmp_path, **options)
    while not list((tmp_path / "checkpoints").glob("step*")):
        assert first.is_alive()
        second.join(0.01)
    second.kill()
    first.join(100)

    assert first.exitcode not in (0, None)
    assert "Start the same command again" in (tmp_path / "error0.txt").read_text()

    processes = start_both(tmp_path, **options)
    for process in processes:
        process.join(150)

    np.testing.assert_allclose(losses(Run(tmp_path)), losses(one_device), rtol=0, atol=1e-5)
    assert all(np.isfinite(weights).all() for weights in weights_of(Run(tmp_path)))
