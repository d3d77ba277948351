"""The files in a run's folder stay whole: damaged checkpoints, old runs that make room, other processes."""

import contextlib
import itertools
import json
import os
import random
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from commands.files import owner
from streams.runs.run_folder import Run, is_finished
from streams.training.progress import Checkpoints, Progress
from tests.makers.training import (
    STEPS_PER_EPOCH,
    MadeClips,
    assert_same,
    made_config,
    made_network,
    stop_in_step,
    train_made,
)


def test_a_damaged_checkpoint_falls_back_to_the_one_before_it(whole, tmp_path, capsys):
    stop_in_step(tmp_path, 2 * STEPS_PER_EPOCH + 2)
    newest = sorted((tmp_path / "checkpoints").glob("step*"))[-1]
    damage(newest)

    resumed = train_made(tmp_path, epochs=3)

    assert f"{newest} is damaged" in capsys.readouterr().out
    assert_same(whole, resumed)


def damage(path, place=0.5):
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 255
    path.write_bytes(content)


def test_a_checkpoint_is_damaged_wherever_a_byte_of_it_is(tmp_path):
    network = compiled_network()
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(network, Progress(step=1))
    checkpoints.save(network, Progress(step=2))
    newest = tmp_path / "step000000002_best00000.npz"
    content, chance = newest.read_bytes(), random.Random(0)

    for _ in range(300):
        # Headers and the directory of the archive lie at both ends.
        place = chance.choice([chance.randrange(400), len(content) - 1 - chance.randrange(2000)])
        newest.write_bytes(content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :])

        assert checkpoints.restore(network).step in (1, 2)


def test_where_no_checkpoint_is_whole_nothing_is_trained_over_them(tmp_path):
    stop_in_step(tmp_path, 2 * STEPS_PER_EPOCH + 2)
    steps = sorted((tmp_path / "checkpoints").glob("step*"))
    for path in steps:
        damage(path)

    with pytest.raises(ValueError, match=r"No checkpoint can be read: .*step000000010.*step000000008.*--again"):
        train_made(tmp_path, epochs=3)

    assert sorted((tmp_path / "checkpoints").glob("step*")) == steps


def test_what_was_skipped_before_a_stop_is_still_counted(tmp_path):
    def skipping(*clips):
        return MadeClips(made_config(epochs=3), skipped=set(clips))

    stop_in_step(tmp_path, STEPS_PER_EPOCH + 2, clips=skipping(("a", 1, 0), ("b", 2, 0)))
    run = train_made(tmp_path, epochs=3, clips=skipping(("b", 2, 0), ("b", 3, 0)))

    assert json.loads(run.config.read_text())["skipped"] == {"b": 2, "a": 1}


def test_the_best_weights_are_there_twice(whole, tmp_path, capsys):
    stop_in_step(tmp_path, 2 * STEPS_PER_EPOCH + 2)
    (best,) = (tmp_path / "checkpoints").glob("best*[0-9].npz")
    damage(best)

    resumed = train_made(tmp_path, epochs=3)

    assert f"{best} is damaged" in capsys.readouterr().out
    assert_same(whole, resumed)


def test_best_weights_that_are_lost_are_said_to_be_before_any_step(tmp_path):
    stop_in_step(tmp_path, 2 * STEPS_PER_EPOCH + 2)
    for best in (tmp_path / "checkpoints").glob("best*"):
        damage(best)

    with pytest.raises(ValueError, match=r"best0000\d\.copy\.npz is damaged.*--again"):
        train_made(tmp_path, epochs=3)


def test_a_finished_model_stays_until_its_successor_has_a_checkpoint(tmp_path):
    config = made_config(again=True)
    model = train_made(tmp_path).model.read_bytes()

    def unreadable(number, batch):
        return number, (tf.debugging.check_numerics(tf.cast(batch[0], tf.float32) / 0, "a broken file"), batch[1])

    broken = MadeClips(config, of_batches=lambda batches: batches.map(unreadable))
    with pytest.raises(RuntimeError, match="a broken file"):
        train_made(tmp_path, clips=broken, again=True)

    assert Run(tmp_path).model.read_bytes() == model
    assert is_finished(made_config(), Run(tmp_path, data_hash="made"))


@pytest.mark.parametrize("step", [None, STEPS_PER_EPOCH + 2], ids=["finished", "unfinished"])
def test_a_kill_while_an_old_run_is_deleted_leaves_no_half_of_it(tmp_path, step, monkeypatch):
    class Killed(BaseException):
        pass

    def kill_after(left, delete):
        def deleting(*place, **settings):
            if next(left) == 0:
                raise Killed
            return delete(*place, **settings)

        return deleting

    old = tmp_path / "old"
    train_made(old, epochs=3) if step is None else stop_in_step(old, step)
    for deletions in itertools.count():
        run = Run(shutil.copytree(old, tmp_path / str(deletions)), data_hash="made")
        left = itertools.count(deletions, -1)
        with monkeypatch.context() as patched, contextlib.suppress(Killed):
            for name in ("unlink", "rmdir"):
                patched.setattr(os, name, kill_after(left, getattr(os, name)))
            run.clear()

        if is_finished(made_config(epochs=3), run):
            assert run.model.exists()
        assert run.config.exists() or not any(run.checkpoints.glob("step*"))
        if next(left) > 0:
            break
    assert deletions > 4
    assert not run.config.exists()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(compiled_network(), Progress(step=3))

    with pytest.raises(ValueError, match="belongs to another network"):
        checkpoints.restore(compiled_network(batch_norm=True))


def compiled_network(**options):
    network = made_network(**options)
    network.compile(optimizer="adam")
    network.optimizer.build(network.trainable_variables)
    return network


def test_two_checkpoints_are_kept_and_the_best_weights_they_know_of(tmp_path):
    network, checkpoints = compiled_network(), Checkpoints(tmp_path)
    history = []
    for epoch, loss in enumerate([3.0, 1.0, 2.0, 2.0]):
        history.append({"val_loss": loss})
        progress = Progress(step=epoch + 1, history=history)
        checkpoints.save(network, progress, is_best=loss == min(row["val_loss"] for row in history))

    names = sorted(path.name for path in tmp_path.iterdir())

    assert names == [
        "best00002.copy.npz",
        "best00002.npz",
        "step000000003_best00002.npz",
        "step000000004_best00002.npz",
    ]


def test_a_training_that_goes_on_with_other_versions_says_so(tmp_path, capsys):
    stop_in_step(tmp_path, STEPS_PER_EPOCH + 2)
    run = Run(tmp_path)
    run.config.write_text(run.config.read_text().replace(f'"numpy": "{np.__version__}"', '"numpy": "1.0"'))

    train_made(tmp_path, epochs=3)

    assert f"this training began with numpy 1.0, now {np.__version__}. The last bits" in capsys.readouterr().out
    assert json.loads(run.config.read_text())["versions"]["numpy"] == "1.0"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{,", r"is damaged \(.*line 1"),
        ("[]", r"is damaged \(it does not contain an object\)"),
        ('{"options": [], "data_hash": ""}', "has no usable entry 'options'"),
        ("{}", "has no usable entry 'options'"),
        ('{"options": {}}', "has no usable entry 'data_hash'"),
        (None, "is missing"),
    ],
)
def test_a_run_without_a_whole_configuration_is_neither_gone_on_with_nor_replaced(tmp_path, content, said):
    stop_in_step(tmp_path, STEPS_PER_EPOCH + 2)
    run = Run(tmp_path)
    run.config.write_text(content) if content else run.config.unlink()

    with pytest.raises(ValueError, match=rf"config\.json {said}.*--again"):
        is_finished(made_config(epochs=3), run)
    assert not is_finished(made_config(epochs=3, again=True), run)


def test_checkpoints_that_a_kill_left_behind_a_result_are_forgotten_unless_somebody_is_at_work(tmp_path):
    run = train_made(tmp_path)
    run.checkpoints.mkdir()
    (run.checkpoints / "step000000008_best00002.npz").touch()

    with run.locked():
        run.forget_checkpoints()
    assert run.checkpoints.exists()

    run.forget_checkpoints()
    assert not run.checkpoints.exists()
    assert is_finished(made_config(), run)


def test_a_run_folder_that_cannot_be_written_is_named_with_a_way_out(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(RuntimeError, match=r"The run folder .*file/runs can't be written .*--runs DIR"):
        train_made(tmp_path / "file" / "runs")


def test_no_share_to_choose_by_is_refused_where_something_is_to_be_chosen():
    assert made_config(validation=0, protocol="paper").validation == 0
    with pytest.raises(ValueError, match=r"--validation 0 .*--protocol paper"):
        made_config(validation=0)


def test_only_what_nobody_writes_any_more_is_cleaned_away(tmp_path):
    alive = subprocess.Popen(["sleep", "60"])
    host = owner().rpartition("-")[0]
    (tmp_path / "scores").mkdir()
    kept, dead = (tmp_path / "scores" / f".incomplete.{host}-{number}-x.h5" for number in (alive.pid, 2**22 + 1))
    kept.touch(), dead.touch()

    with Run(tmp_path).locked():
        found = kept.exists(), dead.exists()
    alive.kill(), alive.wait()

    assert found == (True, False)
