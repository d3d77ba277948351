"""One network for two data sets."""

import keras
import numpy as np
import tensorflow as tf

from pipelines.inputs import Input
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.networks.two_tasks import both_batches, own_task_only, with_second_task
from streams.runs.model_file import ModelCard
from streams.training.fit import Learner
from temporal.multitask import with_second
from tests.makers.batches import stream_of, videos_of
from tests.makers.frames import made_dataset


def test_each_label_is_told_only_from_classes_of_its_own_data_set():
    logits = tf.constant([[1.0, 2.0, 50.0, 60.0, 70.0], [80.0, 90.0, 1.0, 2.0, 3.0]])
    labels = tf.constant([1, 2])

    own = own_task_only(logits, labels, (2, 3))

    losses = keras.losses.sparse_categorical_crossentropy(labels, own, from_logits=True)
    expected = [np.log(1 + np.exp(-1)), np.log(1 + np.exp(1) + np.exp(2))]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_a_clip_of_one_data_set_teaches_nothing_to_the_scores_of_the_other():
    network = with_second_task(build_network("small", Pixels("flow", 2, 16), 2), 3)
    clips = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 2), dtype=np.uint8)

    with tf.GradientTape() as tape:
        logits = own_task_only(network(clips), tf.constant([0, 1, 1, 0]), (2, 3))
        loss = keras.losses.sparse_categorical_crossentropy(np.array([0, 1, 1, 0]), logits, from_logits=True)
    kernels = [network.get_layer(name).kernel.value for name in ("logits", "logits_of_second")]
    first, second = tape.gradient(loss, kernels)

    assert np.abs(first).max() > 0
    np.testing.assert_array_equal(second, np.zeros_like(second))


def test_what_is_saved_scores_the_first_data_set_alone(tmp_path):
    alone = build_network("small", Pixels("rgb", 3, 16), 2)
    clips = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    learner = Learner(alone, ModelCard("temporal", "rgb", 1, ("A", "B"), "first", 1, "validation"))
    second = made_dataset(tmp_path, {"a": 2})

    taught, _ = with_second(learner, stream_of(second, Input("rgb")), (second, (videos_of(second),)))

    assert taught.network(clips).shape == (4, 5)
    np.testing.assert_array_equal(taught.saved(clips), taught.network(clips)[:, :2])
    taught.network.get_layer("logits").kernel.assign_add(tf.ones_like(taught.network.get_layer("logits").kernel))
    np.testing.assert_array_equal(taught.saved(clips), taught.network(clips)[:, :2])


def test_batches_hold_both_and_number_the_second_ones_classes_after_the_first_ones():
    first = tf.data.Dataset.from_tensors((tf.zeros([2, 4]), tf.constant([0, 1]))).repeat()
    second = tf.data.Dataset.from_tensors((tf.ones([2, 4]), tf.constant([0, 2]))).repeat()

    clips, labels = next(iter(both_batches(first, second, 2)))

    assert clips.numpy()[:, 0].tolist() == [0, 0, 1, 1]
    assert labels.numpy().tolist() == [0, 1, 2, 4]
