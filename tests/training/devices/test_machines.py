"""The same training on several machines, each a process: alike, stopped together, and told when one has died."""

import json
import os
import re
import shutil
import signal
import time
from functools import partial

import keras
import numpy as np
import pytest

from streams.runs.run_folder import Run
from streams.training.machines import this_part
from tests.makers.training import (
    STEPS_PER_EPOCH,
    CtrlC,
    assert_same,
    exit_codes,
    losses,
    start_apart,
    start_both,
    weights_of,
)

pytestmark = pytest.mark.slow

# More than 50 steps, without what is random on each device.
PLAIN = {"epochs": 13, "steps": 52, "optimizer": "sgd", "network": {"dropout": 0.0}}
# What a machine says when another one has died.
LOST = r"Another machine of this training stopped answering \(.+\)\. "


class Late(keras.callbacks.Callback):
    """Lets a machine come to its end when the others are long done."""

    def on_train_end(self, logs=None):
        time.sleep(5)


class Begun(keras.callbacks.Callback):
    """Writes down from which step a machine went on."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_begin(self, logs=None):
        if not self.path.exists():
            self.path.write_text(str(int(self.model.optimizer.iterations.numpy())))


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    assert exit_codes([start_apart(folder, **PLAIN)]) == [0]
    return Run(folder)


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
    while not list((tmp_path / "checkpoints").glob("step*5_*")):
        assert first.is_alive()
        second.join(0.01)
    second.kill()

    assert exit_codes([first]) == [1]
    said = (tmp_path / "error0.txt").read_text()
    assert re.fullmatch(LOST + r"The same command on every machine goes on from the last checkpoint\.", said)

    assert exit_codes(start_both([tmp_path] * 2, **options)) == [0, 0]
    np.testing.assert_allclose(losses(Run(tmp_path)), losses(one_device), rtol=0, atol=1e-5)
    assert all(np.isfinite(weights).all() for weights in weights_of(Run(tmp_path)))


def dies_on(machine):
    """Kills one of the machines."""
    if this_part()[0] == machine:
        os.kill(os.getpid(), signal.SIGKILL)


# The first machine is the one that watches over the others, so that it is missed in another way.
@pytest.mark.parametrize("dying", [0, 1])
def test_a_machine_that_dies_while_networks_are_built_ends_the_other_with_words_too(tmp_path, dying):
    network = {"first": partial(dies_on, dying)}

    codes = exit_codes(start_both([tmp_path] * 2, **PLAIN | {"network": network}))

    assert codes[dying] == -signal.SIGKILL
    assert codes[1 - dying] == 1
    said = (tmp_path / f"error{1 - dying}.txt").read_text()
    assert re.fullmatch(LOST + r"Start the same command again on all of them\.", said)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training of two machines, on the second of which somebody pressed Ctrl-C."""
    folder = tmp_path_factory.mktemp("stopped")
    assert exit_codes(start_both([folder] * 2, (None, CtrlC(9)), **PLAIN)) == [130, 130]
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

    assert exit_codes(start_both(folders, **PLAIN)) == [1, 1]

    for index, (folder, step) in enumerate(zip(folders, (10, 0), strict=True)):
        said = (folder / f"error{index}.txt").read_text()
        assert said.startswith(f"This machine would go on from step {step}, all together from 5 on average")


# Seven batches of validation an epoch, of which the first and the sixth come after a question.
IN_PARTS = {"epochs": 3, "batch_size": 2}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of three epochs on two machines that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert exit_codes(start_both([folder] * 2, **IN_PARTS)) == [0, 0]
    return Run(folder)


# Within the second epoch's validation, and within the last epoch's.
@pytest.mark.parametrize(
    ("asked", "pressed", "step"),
    [
        (1, CtrlC(validation=9), 2 * STEPS_PER_EPOCH),
        (0, CtrlC(validation=16, number=signal.SIGTERM), 3 * STEPS_PER_EPOCH),
    ],
    ids=["ctrl-c-on-the-second", "scheduler-on-the-first"],
)
def test_machines_leave_validation_together_and_go_on_bit_for_bit(whole, tmp_path, asked, pressed, step):
    watches = [pressed if index == asked else None for index in range(2)]

    assert exit_codes(start_both([tmp_path] * 2, watches, **IN_PARTS)) == [130, 130]
    for index in range(2):
        # Had validation gone on to its end, a later step would have been the last one.
        said = "Stopped and saved" if index == asked else "Stopped, as another machine was asked to, and saved"
        assert f"{said} after step {step}." in (tmp_path / f"error{index}.txt").read_text()

    assert exit_codes(start_both([tmp_path] * 2, **IN_PARTS)) == [0, 0]
    assert_same(whole, Run(tmp_path))
