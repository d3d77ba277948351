"""Temporal segments: consensus before the loss, single clips in the saved file."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.clip_stream import Clips
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.training.consensus import agreed
from streams.training.step import Trainee
from tests.makers.training import made_config


def test_an_examples_score_is_the_mean_over_its_segments():
    network = build_network("small", Pixels("rgb", 3, 16), 3, dropout=0.0)
    trainee = _trainee(network)
    clips = np.random.default_rng(0).integers(0, 256, (4, 2, 16, 16, 3), dtype=np.uint8)

    numbers = trainee.test_step((tf.constant(clips), tf.constant([0, 1, 2, 0]), tf.ones([4])))

    logits = (network(clips[:, 0]) + network(clips[:, 1])) / 2
    expected = keras.losses.sparse_categorical_crossentropy(np.array([0, 1, 2, 0]), logits, from_logits=True)
    np.testing.assert_allclose(numbers["loss"], np.mean(expected), rtol=1e-5)


def test_other_consensus_takes_the_greatest_score_or_trusts_the_surest_segment():
    logits = tf.constant([[[1.0, 0.0], [0.0, 9.0]]])

    np.testing.assert_allclose(agreed(logits, "mean"), [[0.5, 4.5]])
    np.testing.assert_allclose(agreed(logits, "max"), [[1.0, 9.0]])
    share = 1 / (1 + np.exp(8.0))
    np.testing.assert_allclose(agreed(logits, "attention"), [[share, 9 * (1 - share)]], rtol=1e-5)


@pytest.mark.parametrize("consensus", ["max", "attention"])
def test_a_training_uses_the_consensus_of_its_options(consensus):
    network = build_network("small", Pixels("rgb", 3, 16), 3, dropout=0.0)
    clips = np.random.default_rng(0).integers(0, 256, (4, 2, 16, 16, 3), dtype=np.uint8)
    labels = np.array([0, 1, 2, 0])

    numbers = _trainee(network, consensus=consensus).test_step((tf.constant(clips), tf.constant(labels), tf.ones([4])))

    logits = agreed(tf.stack([network(clips[:, 0]), network(clips[:, 1])], axis=1), consensus)
    expected = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    np.testing.assert_allclose(numbers["loss"], np.mean(expected), rtol=1e-5)


def test_segments_train_the_network_that_takes_single_clips():
    network = build_network("small", Pixels("rgb", 3, 16), 3)
    trainee = _trainee(network)
    before = network.get_layer("logits").kernel.numpy()

    clips = np.random.default_rng(0).integers(0, 256, (4, 2, 16, 16, 3), dtype=np.uint8)

    trainee.train_step((tf.constant(clips), tf.constant([0, 1, 2, 0])))

    assert network.input_shape == (None, 16, 16, 3)
    assert not np.array_equal(network.get_layer("logits").kernel.numpy(), before)


def _trainee(network, **options):
    trainee = Trainee(network, Clips(), made_config(segments=2, **options))
    trainee.compile(optimizer=keras.optimizers.SGD(0.1))
    return trainee
