"""Builds a small network for small images, such as those of the built-in data set."""

import keras
from keras import layers

# Filters, kernel size and stride of each convolution, and whether pooling follows.
SMALL = ((16, 5, 2, False), (32, 3, 1, True), (64, 3, 1, True), (96, 3, 1, False))


def small(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of a network that trains in a minute on two cores."""
    x = pixels
    for filters, kernel_size, strides, pooled in SMALL:
        x = layers.Conv2D(filters, kernel_size, strides=strides, padding="same", use_bias=False)(x)
        # Keras' default of .99 is too slow for trainings of a few hundred steps.
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
        if pooled:
            x = layers.MaxPooling2D()(x)
    return x
