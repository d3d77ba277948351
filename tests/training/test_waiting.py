"""The printed share of time in which a training waits for its input is true."""

import re
import statistics
import time

import pytest
import tensorflow as tf

from pipelines.source import OPTIONS
from streams.training.devices import strategy_for
from tests.makers.training import MadeClips, made_config, train_made


def late(batches, seconds):
    """Returns the same numbered batches, each of which takes so long to make."""

    def wait(number):
        time.sleep(seconds)
        return number

    def delayed(number, batch):
        with tf.control_dependencies([tf.numpy_function(wait, [number], tf.int64)]):
            return tf.nest.map_structure(tf.identity, (number, batch))

    return batches.map(delayed)


def shares(folder, printed, seconds, ahead):
    """Trains on batches that take so long, and returns the share that each epoch's line says."""
    slow = MadeClips(made_config(), of_batches=lambda batches: late(batches, seconds).prefetch(ahead))
    train_made(folder, clips=slow, epochs=5)
    return [int(share) for share in re.findall(r"(\d+)% waiting", printed.readouterr().out)]


@pytest.mark.parametrize("ahead", [0, pytest.param(4, marks=pytest.mark.slow)], ids=["as-asked", "fetched-ahead"])
def test_slow_input_is_waited_for_and_fast_input_is_not(tmp_path, capsys, ahead):
    slow = shares(tmp_path / "slow", capsys, 0.1, ahead)
    fast = shares(tmp_path / "fast", capsys, 0.0, ahead)

    # The first epochs build graphs, of training and of validation.
    assert min(slow[2:]) > 60
    assert max(slow) <= 100
    assert statistics.median(fast[2:]) < 30  # Of milliseconds, which one of a busy machine's delays may well double.


def test_what_copies_batches_ahead_has_no_tuner_to_wait_for_at_its_end():
    # TensorFlow may wait a minute for the thread of the tuner, which options switch off.
    strategy = strategy_for(made_config())
    ours = tf.data.Dataset.range(8).batch(2).with_options(OPTIONS)
    (of_machine,) = iter(strategy.experimental_distribute_dataset(ours))._iterators

    (of_device,) = of_machine._iterator._device_iterators

    assert of_device._dataset.options().autotune.enabled is False
