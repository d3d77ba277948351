"""A training that is stopped, killed or damaged goes on bit for bit as if nothing had happened."""

import os
import random
import signal
import time

import keras
import pytest

from streams.interruption import StoppedError
from streams.resume import Checkpoints, Progress
from streams.runs import is_finished
from tests.made_training import (
    STEPS_PER_EPOCH,
    made_config,
    made_network,
    same_weights,
    start_apart,
    train_made,
)


class CtrlC(keras.callbacks.Callback):
    """Presses Ctrl-C in a step."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_begin(self, batch, logs=None):
        self.step -= 1
        if self.step == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training of three epochs that was never interrupted."""
    return train_made(tmp_path_factory.mktemp("whole"), epochs=3)


def stop_in_step(folder, step, **options):
    with pytest.raises(StoppedError, match="same command goes on"):
        train_made(folder, watch=CtrlC(step), epochs=3, **options)


def assert_same(one, other):
    assert one.history.read_bytes() == other.history.read_bytes()
    assert same_weights(one, other)


@pytest.mark.parametrize("step", [STEPS_PER_EPOCH + 2, 2 * STEPS_PER_EPOCH], ids=["mid-epoch", "end-of-epoch"])
def test_a_stopped_training_goes_on_bit_for_bit(whole, tmp_path, step, capsys):
    stop_in_step(tmp_path, step)
    resumed = train_made(tmp_path, epochs=3)

    assert "Stopping after this step" in capsys.readouterr().out
    assert_same(whole, resumed)


def test_a_second_ctrl_c_stops_now(tmp_path):
    class Twice(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)  # Where tests run in the background, it is to ignore Ctrl-C.

    with pytest.raises(KeyboardInterrupt) as stopped:
        train_made(tmp_path, watch=Twice())

    assert not isinstance(stopped.value, StoppedError)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_damaged_checkpoint_falls_back_to_the_one_before_it(whole, tmp_path, capsys):
    stop_in_step(tmp_path, 2 * STEPS_PER_EPOCH + 2)
    newest = sorted((tmp_path / "checkpoints").glob("step*"))[-1]
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    newest.write_bytes(damaged)

    resumed = train_made(tmp_path, epochs=3)

    assert f"{newest} is damaged" in capsys.readouterr().out
    assert_same(whole, resumed)


def test_the_state_of_every_optimizer_schedule_and_precision_is_kept(tmp_path):
    options = {"precision": "mixed_float16", "optimizer": "sgd", "schedule": "plateau", "plateau": 1, "warmup": 1.0}
    whole = train_made(tmp_path / "whole", epochs=3, **options)

    stop_in_step(tmp_path / "stopped", STEPS_PER_EPOCH + 3, **options)
    resumed = train_made(tmp_path / "stopped", epochs=3, **options)

    assert_same(whole, resumed)


def test_an_unfinished_training_is_neither_lost_nor_mixed_with_another(tmp_path):
    from streams.runs import Run

    stop_in_step(tmp_path, STEPS_PER_EPOCH + 2)

    with pytest.raises(ValueError, match=r"unfinished training.*--again"):
        is_finished(made_config(epochs=3, resume=False), Run(tmp_path), "made")
    with pytest.raises(ValueError, match="batch_size = 8, not 4"):
        is_finished(made_config(epochs=3, batch_size=4), Run(tmp_path), "made")
    with pytest.raises(ValueError, match="data_hash"):
        is_finished(made_config(epochs=3), Run(tmp_path), "other videos")
    assert not is_finished(made_config(epochs=3), Run(tmp_path), "made")


def test_training_again_forgets_what_lay_there(whole, tmp_path):
    stop_in_step(tmp_path, STEPS_PER_EPOCH + 2)

    assert_same(whole, train_made(tmp_path, epochs=3, again=True))


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    def compiled(network):
        network.compile(optimizer="adam")
        network.optimizer.build(network.trainable_variables)
        return network

    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(compiled(made_network()), Progress(step=3))

    with pytest.raises(ValueError, match="of another network"):
        checkpoints.restore(compiled(made_network(batch_norm=True)))


def test_two_checkpoints_are_kept_and_the_best_weights_they_know_of(tmp_path):
    network = made_network()
    network.compile(optimizer="adam")
    network.optimizer.build(network.trainable_variables)
    checkpoints = Checkpoints(tmp_path)
    history = []
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 2.0]):
        history.append({"val_loss": loss})
        progress = Progress(step=epoch + 1, history=history)
        if loss == min(row["val_loss"] for row in history):
            checkpoints.save_best(network, progress)
        checkpoints.save(network, progress)

    names = sorted(path.name for path in tmp_path.iterdir())

    assert names == ["best00002.npz", "step000000003_best00002.npz", "step000000004_best00002.npz"]


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path):
    options = {"epochs": 20, "checkpoint_minutes": 0.0, "patience": 19}
    chance, killed = random.Random(0), tmp_path / "killed"

    whole = train_made(tmp_path / "whole", **options)
    for _ in range(20):
        process = start_apart(killed, **options)
        kill_soon_after_a_checkpoint(process, killed / "checkpoints", chance)
    resumed = train_made(killed, **options)

    assert_same(whole, resumed)
    assert not list(killed.rglob(".incomplete.*"))


def kill_soon_after_a_checkpoint(process, folder, chance):
    """Kills a process within the time of about three of its steps, each of which ends by saving."""
    before, patience = newest_step(folder), time.monotonic() + 30
    while process.is_alive() and newest_step(folder) <= before and time.monotonic() < patience:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.05))
    process.kill()
    process.join()


def newest_step(folder):
    return max((path.name for path in folder.glob("step*")), default="")
