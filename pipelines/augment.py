"""Crops and mirrors: pure functions of (images, seed), alike for all channels of a clip."""

import tensorflow as tf


def random_crop(images: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
    """Cuts a square of `size` from a random place of [H, W, C]."""
    return tf.image.stateless_random_crop(images, [size, size, images.shape[-1]], seed)


def centre_crop(images: tf.Tensor, size: int) -> tf.Tensor:
    """Cuts the square of `size` in the middle of [..., H, W, C]."""
    height, width = tf.shape(images)[-3], tf.shape(images)[-2]
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size, :]


def random_mirror(images: tf.Tensor, seed: tf.Tensor, *, is_flow: bool) -> tf.Tensor:
    """Mirrors [H, W, C] left to right in half of all cases."""
    return tf.cond(
        tf.random.stateless_uniform([], seed) < 0.5,
        lambda: mirror_flow(images) if is_flow else images[:, ::-1],
        lambda: images,
    )


def mirror_flow(stack: tf.Tensor) -> tf.Tensor:
    """Mirrors uint8 flow [..., H, W, 2L]: what moved right now moves left, so x channels change their sign.

    No motion is level 128 and levels start at 1, so that the negative of a level is 256 less it, exactly.
    """
    mirrored = stack[..., ::-1, :]
    is_x = tf.range(tf.shape(stack)[-1]) % 2 == 0
    # Inverting bits and adding one is that for bytes; TensorFlow has no negation of unsigned numbers.
    return tf.where(is_x, tf.bitwise.invert(mirrored) + 1, mirrored)
