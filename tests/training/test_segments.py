"""Temporal segments: consensus before the loss, single clips in the saved file."""

import keras
import numpy as np
import tensorflow as tf

from pipelines.clip_stream import Clips
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
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


def test_segments_train_the_network_that_takes_single_clips():
    network = build_network("small", Pixels("rgb", 3, 16), 3)
    trainee = _trainee(network)
    before = network.get_layer("logits").kernel.numpy()

    clips = np.random.default_rng(0).integers(0, 256, (4, 2, 16, 16, 3), dtype=np.uint8)

    trainee.train_step((tf.constant(clips), tf.constant([0, 1, 2, 0])))

    assert network.input_shape == (None, 16, 16, 3)
    assert not np.array_equal(network.get_layer("logits").kernel.numpy(), before)


def _trainee(network):
    trainee = Trainee(network, Clips(), made_config(segments=2))
    trainee.compile(optimizer=keras.optimizers.SGD(0.1))
    return trainee
