"""Planes become clips: resized, mirrored, interleaved; held against operations of TensorFlow, one after the other."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines import augment, resizing
from pipelines.cutting import cut, merge


def smooth(count, height, width, channels, seed=0):
    generator = np.random.default_rng(seed)
    small = generator.integers(1, 256, (count, height // 8 + 1, width // 8 + 1, channels), np.uint8)
    planes = [cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in small]
    return np.stack(planes).reshape(count, height, width, channels)


def one_after_the_other(planes, size, is_mirrored, rule=""):
    image = np.concatenate(list(planes), axis=-1)
    resized = tf.image.resize(image, (size, size)).numpy()
    if not is_mirrored:
        return resized
    mirrored = resized[:, ::-1].copy()
    if rule:
        mirrored[..., ::2] = augment.opposite_pixels(tf.constant(mirrored[..., ::2]), rule)
    return mirrored


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize(
    ("count", "channels", "rule"),
    [
        (1, 3, ""),
        (4, 3, ""),
        (3, 1, ""),
        (1, 1, ""),
        (2, 1, "classic"),
        (4, 1, "truncated"),
        (10, 1, "centred"),
        (20, 1, "centred"),
    ],
)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 61), (57, 48), (33, 90)])
def test_clips_are_those_of_real_numbers_within_two_levels(count, channels, rule, height, width, is_mirrored):
    planes = smooth(count, height, width, channels)

    clip = cut([tf.constant(planes)], 56, tf.constant([is_mirrored]), rule)[0].numpy()

    difference = clip - one_after_the_other(planes, 56, is_mirrored, rule)
    assert clip.shape == (56, 56, count * channels)
    assert np.abs(difference).max() < 2
    assert np.abs(difference).mean() < 0.4
    assert abs(difference.mean()) < 0.15


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("centred", [255, 255, 128, 1]), ("classic", [255, 254, 127, 0]), ("truncated", [254, 253, 126, 0])],
)
def test_without_resizing_levels_stay_and_x_alone_is_turned_round(rule, expected):
    x, y = np.array([[0, 1, 128, 255]] * 4, np.uint8), np.array([[5, 6, 7, 8]] * 4, np.uint8)
    planes = tf.constant(np.stack([x, y])[..., None])

    as_it_is, mirrored = cut([planes, planes], 4, tf.constant([False, True]), rule).numpy()

    np.testing.assert_array_equal(as_it_is, np.stack([x, y], axis=-1))
    np.testing.assert_array_equal(mirrored[0, ::-1, 0], expected)
    np.testing.assert_array_equal(mirrored[..., 1], y[:, ::-1])


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize(
    ("count", "channels", "rule"),
    [(1, 3, ""), (5, 3, ""), (1, 1, ""), (3, 1, ""), (2, 1, "classic"), (3, 1, "truncated"), (20, 1, "centred")],
)
def test_planes_of_the_size_of_the_clip_are_put_together_as_the_kernel_would(count, channels, rule, is_mirrored):
    planes = np.random.default_rng(0).integers(0, 256, (count, 33, 33, channels), np.uint8)
    merged, resized = np.zeros((2, 33, 33, count * channels), np.uint8)

    merge(planes, merged, is_mirrored, rule)
    resizing.resize(planes, resized, is_mirrored, rule)

    np.testing.assert_array_equal(merged, resized)


@pytest.mark.parametrize("size", [16, 20])
def test_a_clip_of_more_channels_than_opencv_merges_is_cut_all_the_same(size):
    planes = np.broadcast_to(np.arange(600, dtype=np.uint16).astype(np.uint8)[:, None, None, None], (600, 20, 20, 1))

    clip = cut([tf.constant(planes)], size, tf.constant([False]))[0].numpy()

    assert (clip == planes[:, 0, 0, 0]).all()


def test_clips_of_different_boxes_are_cut_together():
    sizes = [(20, 30), (41, 17), (8, 8)]
    planes = [smooth(2, height, width, 1, seed=height) for height, width in sizes]

    together = cut([tf.constant(each) for each in planes], 16, tf.constant([True, False, True])).numpy()

    for number, each in enumerate(planes):
        alone = cut([tf.constant(each)], 16, tf.constant([number != 1]))[0].numpy()
        np.testing.assert_array_equal(together[number], alone)
