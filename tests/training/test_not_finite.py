"""A loss that is no number ends a training with its step, its videos and what to try."""

import math

import keras
import pytest
import tensorflow as tf

from streams.runs.run_folder import Run
from tests.makers.training import MadeClips, made_config, start_apart, train_made


def test_a_loss_that_is_not_finite_stops_at_once_and_names_step_and_videos(tmp_path):
    config = made_config(learning_rate=1e30, optimizer="sgd", epochs=3)
    clips = MadeClips(config, of_names=lambda step: [f"video{step}"])

    with pytest.raises(ValueError, match=r"not finite in step (\d+).* of video\d+.*--learning-rate 1e\+29"):
        train_made(tmp_path, clips=clips, learning_rate=1e30, optimizer="sgd", epochs=3)


def with_broken_labels(config, is_broken, is_broken_in_validation):
    """Returns clips some of whose labels are no numbers, by the number of their batch."""

    def breaking(rule):
        def broken(number, batch):
            clips, labels = batch
            return number, (clips, tf.one_hot(labels, 4) + tf.where(rule(number), math.nan, 0.0))

        return lambda batches: batches.map(broken)

    changes = {"of_batches": breaking(is_broken), "of_validation": breaking(is_broken_in_validation)}
    return MadeClips(config, of_names=lambda step: [f"video{step}"], **changes)


def test_a_loss_that_is_not_finite_is_of_the_step_that_had_it_though_loss_scaling_skipped_some(tmp_path):
    class Overflowing(keras.callbacks.Callback):
        """Lets the first steps be skipped: their gradients are too large for half precision."""

        def on_train_begin(self, logs=None):
            self.model.optimizer.dynamic_scale.assign(2.0**60)

    config = made_config(precision="mixed_float16")
    given = with_broken_labels(config, lambda step: step == 5, lambda step: False)

    said = r"not finite in step 6\. The batch was of video5\..*checkpoint of step 4 is kept"
    with pytest.raises(ValueError, match=said):
        train_made(tmp_path, clips=given, multi_label=True, precision="mixed_float16", watch=Overflowing())


def test_a_validation_loss_that_is_not_finite_is_called_so(tmp_path):
    given = with_broken_labels(made_config(), lambda step: False, lambda number: number == 1)

    with pytest.raises(
        ValueError, match=r"validation loss is not finite after step 4\. The batch was of video3\..*no checkp"
    ):
        train_made(tmp_path, clips=given, multi_label=True)


@pytest.mark.slow
def test_xla_does_not_hide_a_loss_that_is_not_finite(tmp_path):
    options = {"learning_rate": 1e30, "optimizer": "sgd", "clip_norm": None, "epochs": 3}

    process = start_apart(tmp_path, jit=True, deterministic=False, **options)
    process.join(200)

    assert "The loss is not finite in one of the steps 1 to 4." in (tmp_path / "error0.txt").read_text()
    assert not (tmp_path / "checkpoints").exists()
    assert not Run(tmp_path).model.exists()
