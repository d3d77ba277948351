"""A training that is stopped, killed or damaged goes on bit for bit as if nothing had happened."""

import os
import random
import signal
import time

import keras
import pytest

from spatial.train import main as train_spatial
from streams.runs.run_folder import Run, is_finished, stages_of
from streams.training.around_steps import StoppedError
from tests.makers.data import sound_data
from tests.makers.training import (
    STEPS_PER_EPOCH,
    CtrlC,
    assert_same,
    made_config,
    start_apart,
    stop_in_step,
    train_made,
)


@pytest.mark.parametrize("step", [STEPS_PER_EPOCH + 2, 2 * STEPS_PER_EPOCH], ids=["mid-epoch", "end-of-epoch"])
def test_a_stopped_training_goes_on_bit_for_bit(whole, tmp_path, step, capsys):
    stop_in_step(tmp_path, step)
    resumed = train_made(tmp_path, epochs=3)

    assert "Stopping after this step" in capsys.readouterr().out
    assert_same(whole, resumed)


def test_a_scheduler_stops_it_as_ctrl_c_does(whole, tmp_path):
    with pytest.raises(StoppedError, match=f"saved after step {STEPS_PER_EPOCH + 2}"):
        train_made(tmp_path, watch=CtrlC(STEPS_PER_EPOCH + 2, number=signal.SIGTERM), epochs=3)

    assert_same(whole, train_made(tmp_path, epochs=3))


# Two batches of validation an epoch: within the second epoch's, and within the last epoch's.
@pytest.mark.parametrize(("batch", "step"), [(3, 2 * STEPS_PER_EPOCH), (5, 3 * STEPS_PER_EPOCH)])
def test_validation_is_left_at_once_and_done_when_the_training_goes_on(whole, tmp_path, batch, step):
    pressed = CtrlC(validation=batch)

    with pytest.raises(StoppedError, match=f"saved after step {step}. The same command goes on"):
        train_made(tmp_path, watch=pressed, epochs=3)
    assert pressed.counted == batch

    assert_same(whole, train_made(tmp_path, epochs=3))


def test_what_follows_a_training_does_not_start_when_it_was_to_stop(tmp_path):
    # The last step of all, and no validation after it.
    with pytest.raises(StoppedError, match="Stopped after the last step; the model is saved"):
        train_made(tmp_path, watch=CtrlC(2 * STEPS_PER_EPOCH), protocol="paper")

    assert is_finished(made_config(protocol="paper"), Run(tmp_path, data_hash="made"))


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "The same command goes on from the last checkpoint, if any"),
        (["--again"], "the same command without --again goes on from it. If not, nothing was changed"),
        (["--dry-run"], "Nothing was saved"),
    ],
)
def test_a_training_that_is_stopped_at_once_says_what_is_lost(tmp_path, monkeypatch, words, said):
    def pressed():
        raise KeyboardInterrupt

    monkeypatch.setattr("tensorflow.config.list_physical_devices", pressed)  # What is asked while TensorFlow starts.
    place = ["--dataset", "mine", "--root", str(sound_data(tmp_path / "mine")), "--runs", str(tmp_path / "runs")]

    with pytest.raises(KeyboardInterrupt, match=f"^Stopped at once.*{said}"):
        train_spatial([*place, "--protocol", "paper", "--batch-size", "2", "--crop-size", "16", *words])


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "mixed_float16", "optimizer": "sgd", "schedule": "plateau", "plateau": 1, "warmup": 1.0},
        pytest.param({"precision": "mixed_bfloat16", "accumulate": 2, "clip_norm": 0.5}, marks=pytest.mark.slow),
    ],
    ids=["float16", "bfloat16"],
)
def test_the_state_of_every_optimizer_schedule_and_precision_is_kept(tmp_path, options):
    whole = train_made(tmp_path / "whole", epochs=3, **options)

    stop_in_step(tmp_path / "stopped", STEPS_PER_EPOCH + 3, **options)
    resumed = train_made(tmp_path / "stopped", epochs=3, **options)

    assert_same(whole, resumed)


class TooLarge(CtrlC):
    """Begins with a loss scale at which half precision overflows, so that it is halved, and presses Ctrl-C later."""

    scale = 2.0**24

    def on_train_begin(self, logs=None):
        self.model.optimizer.dynamic_scale.assign(self.scale)

    def on_train_batch_begin(self, batch, logs=None):
        self.scale = float(self.model.optimizer.dynamic_scale.numpy())
        super().on_train_batch_begin(batch, logs)


@pytest.mark.slow
def test_a_loss_scale_that_has_changed_is_kept(tmp_path):
    options = {"precision": "mixed_float16", "epochs": 3}
    whole = train_made(tmp_path / "whole", watch=TooLarge(), **options)

    stopping = TooLarge(STEPS_PER_EPOCH + 3)
    with pytest.raises(StoppedError):
        train_made(tmp_path / "stopped", watch=stopping, **options)
    resumed = train_made(tmp_path / "stopped", **options)

    assert stopping.scale < TooLarge.scale
    assert_same(whole, resumed)


def test_an_unfinished_training_is_neither_lost_nor_mixed_with_another(tmp_path):
    stop_in_step(tmp_path, STEPS_PER_EPOCH + 2)

    with pytest.raises(ValueError, match=r"unfinished training.*--again"):
        is_finished(made_config(epochs=3, resume=False), Run(tmp_path, data_hash="made"))
    with pytest.raises(ValueError, match="batch_size = 8, not 4"):
        is_finished(made_config(epochs=3, batch_size=4), Run(tmp_path, data_hash="made"))
    with pytest.raises(ValueError, match="data_hash"):
        is_finished(made_config(epochs=3), Run(tmp_path, data_hash="other videos"))
    assert not is_finished(made_config(epochs=3), Run(tmp_path, data_hash="made"))


def test_training_again_forgets_what_lay_there(whole, tmp_path):
    stop_in_step(tmp_path, STEPS_PER_EPOCH + 2)

    assert_same(whole, train_made(tmp_path, epochs=3, again=True))


def test_a_new_training_that_is_stopped_goes_on_without_again(whole, tmp_path):
    with pytest.raises(StoppedError, match="The same command without --again goes on"):
        train_made(tmp_path, watch=CtrlC(STEPS_PER_EPOCH + 2), epochs=3, again=True)

    assert_same(whole, train_made(tmp_path, epochs=3))


class CtrlCAtOnce(keras.callbacks.Callback):
    """Presses Ctrl-C while the graph is still to be built."""

    def on_train_begin(self, logs=None):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_stop_before_the_first_step_changes_nothing(tmp_path):
    run, began = (
        Run(tmp_path, data_hash="made"),
        r"Stopped before the first step: nothing was changed in .*\. The same command starts",
    )
    with pytest.raises(StoppedError, match=began):
        train_made(tmp_path, watch=CtrlCAtOnce())
    assert not run.config.exists()

    model = train_made(tmp_path).model.read_bytes()
    with pytest.raises(StoppedError, match=began):
        train_made(tmp_path, watch=CtrlCAtOnce(), again=True)

    assert run.model.read_bytes() == model
    assert is_finished(made_config(), run)


def test_a_stage_that_is_stopped_before_its_first_step_is_not_to_be_done_again_from_the_first(tmp_path):
    with pytest.raises(StoppedError, match="The same command without --again starts with that step"):
        train_made(tmp_path, watch=CtrlCAtOnce(), again=True, stage=("all:1:sgd:1e-2", "all:1:sgd:1e-3"))


def test_training_again_forgets_the_later_stages_too_so_that_a_stop_in_the_first_can_be_gone_on_with(tmp_path):
    texts = ("all:3:adam:1e-2", "all:1:sgd:1e-3")
    (_, first), (_, last) = stages_of(made_config(stage=texts), Run(tmp_path, data_hash="made"))
    train_made(first.folder), train_made(last.folder)

    with pytest.raises(StoppedError, match="The same command without --again goes on"):
        train_made(first.folder, run=first, watch=CtrlC(3), seed=1, stage=texts, again=True)

    assert any(first.checkpoints.glob("step*"))
    assert not is_finished(made_config(seed=1), last)
    assert not last.model.exists()


def test_what_another_process_finished_meanwhile_is_not_trained_again(whole, tmp_path):
    run = train_made(tmp_path, epochs=3)
    before = run.model.stat()

    train_made(tmp_path, epochs=3, watch=CtrlC(1))

    assert run.model.stat() == before


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
