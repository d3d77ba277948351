"""The one training loop, run for real on made-up clips."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from streams.config import TrainConfig
from streams.runs.model_file import read_card
from streams.runs.run_folder import Run, is_finished, say_result
from streams.training.progress import Checkpoints
from streams.training.records import draw_curves
from tests.makers.training import (
    MadeClips,
    made_config,
    made_learner,
    made_network,
    same_weights,
    train_made,
    weights_of,
)


def rows(run):
    return run.history.read_text().splitlines()[1:]


def test_a_training_leaves_a_model_its_history_its_options_and_curves(whole):
    described = json.loads(whole.config.read_text())

    assert read_card(whole.model).selection == "validation"
    assert len(rows(whole)) == 3
    assert described["result"]["epochs"] == 3
    assert described["options"]["learning_rate"] == 0.01
    assert whole.curves.stat().st_size > 0
    assert any(whole.tensorboard.iterdir())
    assert not whole.checkpoints.exists()


def test_a_training_learns_what_its_clips_show(whole):
    result = json.loads(whole.config.read_text())["result"]

    assert result["val_accuracy"] > 0.9


def test_the_same_seed_gives_the_same_bits(whole, tmp_path):
    again = train_made(tmp_path, epochs=3)

    assert again.history.read_bytes() == whole.history.read_bytes()
    assert same_weights(whole, again)


def test_the_validation_loss_counts_every_clip_once(whole, tmp_path):
    # 13 clips in batches of 8: the last batch is filled up, and what fills it must not count.
    clips, labels = zip(*MadeClips(made_config()).validation().unbatch().as_numpy_iterator(), strict=True)

    logits = keras.saving.load_model(whole.model).predict(np.array(clips), verbose=0)
    expected = keras.losses.sparse_categorical_crossentropy(np.array(labels), logits, from_logits=True)

    best = json.loads(whole.config.read_text())["result"]["val_loss"]
    assert best == pytest.approx(float(np.mean(expected)), rel=1e-5)


def test_a_batch_in_parts_changes_the_weights_as_a_whole_one_does(tmp_path, capsys):
    plain = {"network": lambda: made_network(dropout=0.0), "clip_norm": 0.5, "optimizer": "sgd"}

    whole = train_made(tmp_path / "whole", **plain)
    parts = train_made(tmp_path / "parts", accumulate=4, **plain)

    assert "batches of 8 in 4 parts on 1 device, about" in capsys.readouterr().out
    for one, other in zip(weights_of(whole), weights_of(parts), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_clipping_shortens_the_steps(tmp_path):
    class FirstStep(keras.callbacks.Callback):
        """Measures how far the first step moves the weights."""

        def on_train_batch_begin(self, batch, logs=None):
            self.before = self.model.get_weights() if batch == 0 else self.before

        def on_train_batch_end(self, batch, logs=None):
            if batch == 0 and not hasattr(self, "length"):
                pairs = zip(self.before, self.model.get_weights(), strict=True)
                self.length = math.sqrt(sum(float(np.sum((after - before) ** 2)) for before, after in pairs))

    def step(name, **options):
        watch = FirstStep()
        plain = {"optimizer": "sgd", "momentum": 0.0, "schedule": "constant", "learning_rate": 0.01, "epochs": 1}
        train_made(tmp_path / name, watch=watch, **plain, **options)
        return watch.length

    free, clipped = step("free"), step("clipped", clip_norm=1e-3)

    assert free > 10 * clipped
    assert clipped == pytest.approx(0.01 * 1e-3, rel=1e-2)  # The rate times the longest gradient that is let through.


def test_half_precision_trains_and_saves_a_model_that_plain_keras_opens(tmp_path):
    run = train_made(tmp_path, precision="mixed_float16")

    assert json.loads(run.config.read_text())["result"]["val_accuracy"] > 0.5
    assert keras.saving.load_model(run.model).output.dtype == "float32"


@pytest.mark.parametrize(
    ("protocol", "said"), [("validation", "validation"), ("test-selected", "test list (which chooses)")]
)
def test_curves_say_what_chose_the_epoch(protocol, said, tmp_path):
    history = [
        {"loss": 2.0, "accuracy": 0.5, "val_loss": 3.0, "val_accuracy": 0.4, "learning_rate": 0.1},
        {"loss": 1.0, "accuracy": 0.7, "val_loss": 2.0, "val_accuracy": 0.6, "learning_rate": 0.1},
    ]

    draw_curves(tmp_path / "curves.svg", history, 2, protocol)

    # A drawing of lines keeps its words as comments.
    assert f"<!-- {said} -->" in (tmp_path / "curves.svg").read_text()


def test_several_labels_a_clip_are_learnt_with_a_loss_of_their_own(tmp_path):
    def several(number, batch):
        clips, labels = batch
        return number, (clips, tf.one_hot(labels, 4) + tf.one_hot((labels + 1) % 4, 4))

    def changed(batches):
        return batches.map(several)

    clips = MadeClips(made_config(epochs=3), of_batches=changed, of_validation=changed)
    run = train_made(tmp_path, clips=clips, multi_label=True, epochs=3)

    assert json.loads(run.config.read_text())["result"]["val_accuracy"] > 0.9


def test_the_paper_protocol_trains_on_without_choosing(tmp_path):
    run = train_made(tmp_path, protocol="paper", steps=6, schedule="step", milestones=(3, 5))

    result = json.loads(run.config.read_text())["result"]
    assert result["epoch"] == result["epochs"] == 2
    assert "val_loss" not in result
    assert read_card(run.model).selection == "paper"
    assert result["learning_rate"] == pytest.approx(0.01 / 100)


def test_training_stops_early_and_keeps_the_best_epoch(tmp_path):
    # A rate of nearly nothing: after the first epoch, dropout alone moves the numbers.
    run = train_made(tmp_path, epochs=50, patience=1, learning_rate=3.0, optimizer="sgd", schedule="constant")

    result = json.loads(run.config.read_text())["result"]
    assert result["epochs"] < 50
    assert result["epoch"] == result["epochs"] - 1


def test_a_finished_training_is_not_repeated_and_not_replaced_unasked(whole):
    same, other = made_config(epochs=3), made_config(epochs=3, learning_rate=0.5)

    assert is_finished(same, whole)
    assert say_result(whole)["epochs"] == 3
    with pytest.raises(ValueError, match=r"learning_rate = 0\.01, not 0\.5.*--again"):
        is_finished(other, whole)
    with pytest.raises(ValueError, match="data_hash"):
        is_finished(same, dataclasses.replace(whole, data_hash="of other videos"))
    assert not is_finished(made_config(epochs=3, learning_rate=0.5, again=True), whole)


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    with Run(tmp_path).locked(), pytest.raises(RuntimeError, match="Another process"):
        train_made(tmp_path)


def test_a_run_folder_that_cannot_be_written_is_an_error_before_anything_is_trained(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(RuntimeError, match=r"run folder .*/file/run can't be written \(.+\)\. .*pass --runs DIR"):
        train_made(tmp_path / "file" / "run")


def test_a_batch_must_part_evenly():
    with pytest.raises(ValueError, match="--accumulate is 3; it must be a divisor of 8"):
        made_config(accumulate=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"dropout": 1.0},
        {"dense_dropout": 1.5},
        {"dense_dropout": -0.1},
        {"patience": 0},
        {"milestones": (0,)},
        *({name: -1} for name in ("warmup", "weight_decay", "checkpoint_minutes", "host_index", "clip_norm")),
        *({name: 0.0} for name in ("learning_rate", "clip_norm", "first_layer_rate")),
        *({name: value} for name in ("learning_rate", "warmup", "clip_norm") for value in (math.inf, math.nan)),
    ],
)
def test_values_that_no_training_could_use_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("_", "-")):
        made_config(**wrong)


def test_every_option_is_saved_or_known_to_decide_nothing():
    from streams import config

    named = {field.name for field in dataclasses.fields(TrainConfig)}

    assert named - made_config().identity().keys() == set(config._INCIDENTAL)


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path):
    import resource

    from streams.training.progress import Progress

    model = made_network()
    model.compile(optimizer="adam")
    model.optimizer.build(model.trainable_variables)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(model, Progress(step=1))
    weights = model.get_weights()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(RuntimeError, match=r"could not be written .*The earlier ones are intact"):
            checkpoints.save(model, Progress(step=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert checkpoints.restore(model).step == 1
    assert all(np.array_equal(a, b) for a, b in zip(weights, model.get_weights(), strict=True))


@pytest.mark.parametrize(("length", "steps"), [({}, 2000), ({"steps": 10}, 10), ({"steps": 1500}, 2000)])
def test_a_rehearsal_says_what_a_training_would_take_and_leaves_nothing(length, steps, tmp_path, capsys):
    from streams.runs.costs import say_costs
    from streams.training.rehearsal import rehearse

    config = made_config(runs=tmp_path / "runs", dry_run=True, **length)
    cost = rehearse(made_learner(config), MadeClips(config, steps_per_epoch=1000), config, Run(tmp_path / "rehearsal"))
    found = say_costs([cost])

    assert found["steps"] == steps
    assert found["minutes"] > steps * found["seconds_per_step"] / 60
    assert found["process_gigabytes"] > 0.1
    assert "Nothing was saved" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
