import numpy as np
import pytest


@pytest.fixture(scope="module")
def parts():
    """A network whose class 0 speaks for bright places, and class 1 for nothing."""
    import keras

    from fusion.explaining.gradcam import looker

    inputs = keras.Input((32, 32, 3), dtype="uint8", name="rgb")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(1, 4, strides=4, use_bias=False, kernel_initializer="ones", name="map")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    logits = keras.layers.Dense(2, name="logits")
    model = keras.Model(inputs, logits(x))
    logits.set_weights([np.array([[1.0, 0.0]], np.float32), np.zeros(2, np.float32)])
    return looker(model)


@pytest.mark.parametrize("size", [(32, 32), (32, 57), (70, 48)])
def test_heat_lies_where_the_evidence_is(parts, size):
    from fusion.explaining.gradcam import heat_of_frame

    frame = np.zeros((*size, 3), np.uint8)
    frame[8:16, 20:28] = 255

    heat = heat_of_frame(parts, frame, 0)

    assert heat.shape == size
    assert heat.max() == pytest.approx(1)
    row, column = np.unravel_index(heat.argmax(), size)
    assert 6 <= row <= 18 and 18 <= column <= 30
    assert heat[24:, :12].max() < 0.05


def test_what_no_pixel_speaks_for_is_cold(parts):
    from fusion.explaining.gradcam import heat_of_frame, with_heat

    frame = np.full((32, 32, 3), 200, np.uint8)
    heat = heat_of_frame(parts, frame, 1)

    assert heat.max() == 0
    assert np.unique(with_heat(frame, heat)).tolist() == [160]
