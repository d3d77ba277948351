"""CNN-M, the network of the two-stream paper (its Fig. 1; Chatfield et al. 2014), before its dense layers."""

import keras
from keras import layers, ops

# Filters, kernel size, stride and padding of each convolution, and whether pooling follows.
CNN_M = (
    (96, 7, 2, 0, True),
    (256, 5, 2, 1, True),
    (512, 3, 1, 1, False),
    (512, 3, 1, 1, False),
    (512, 3, 1, 1, True),
)


def spatial(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of the spatial stream's network."""
    return _convolutions(pixels, normalised=("conv1", "conv2"))


def temporal(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of the temporal stream's network. It has no second normalisation, which saves memory."""
    return _convolutions(pixels, normalised=("conv1",))


def batch_normalised(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the last map of a variant with batch normalisation, which the paper does not have."""
    return _convolutions(pixels, batch_normalised=True)


def local_response_normalisation(
    x: keras.KerasTensor, *, size: int = 5, bias: float = 2.0, alpha: float = 1e-4, beta: float = 0.75
) -> keras.KerasTensor:
    """Divides each channel by `(bias + alpha * sum of squares over `size` neighbouring channels) ** beta`.

    The constants are CNN-M's. Caffe writes alpha as 5e-4, because it averages over the five channels.
    """
    channels, reach = x.shape[-1], size // 2
    exact = ops.cast(x, "float32")  # Half precision can't hold the squares.
    squares = ops.pad(ops.square(exact), [[0, 0], [0, 0], [0, 0], [reach, reach]])
    total = squares[..., :channels]
    for shift in range(1, size):
        total = total + squares[..., shift : shift + channels]
    return ops.cast(exact / (bias + alpha * total) ** beta, x.dtype)


def _convolutions(
    pixels: keras.KerasTensor, *, normalised: tuple[str, ...] = (), batch_normalised: bool = False
) -> keras.KerasTensor:
    x = pixels
    for number, (filters, kernel_size, strides, padding, pooled) in enumerate(CNN_M, 1):
        name = f"conv{number}"
        if padding:
            x = layers.ZeroPadding2D(padding)(x)
        # Pixels are between -128 and 127. Smaller weights bring the first layer's output to the usual range.
        initializer = "he_normal" if number > 1 else keras.initializers.RandomNormal(stddev=0.01)
        settings = {"use_bias": not batch_normalised, "kernel_initializer": initializer}
        x = layers.Conv2D(filters, kernel_size, strides=strides, name=name, **settings)(x)
        if batch_normalised:
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        x = layers.Activation("relu", name=f"{name}_relu")(x)
        if name in normalised:
            x = local_response_normalisation(x)
        if pooled:
            x = layers.MaxPooling2D(name=f"{name}_pool")(x)
    return x
