import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines import device
from pipelines.clips import train_batches
from pipelines.drawing import Drawing
from pipelines.inputs import KINDS, Input
from tests.made_frames import HEIGHT, WIDTH, made_dataset


@pytest.fixture(scope="module")
def smooth(tmp_path_factory):
    """Frames and flow without hard edges, as real ones have few."""
    generator = np.random.default_rng(0)

    def draw(index):
        small = generator.integers(60, 196, (HEIGHT // 8, WIDTH // 8), np.uint8)
        return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    return made_dataset(tmp_path_factory.mktemp("smooth"), {"a": 6, "b": 7}, frame=draw, x=draw, y=draw)


@pytest.mark.parametrize("augment", ["none", "flip", "corners", "paper"])
@pytest.mark.parametrize(
    "clip", [*(Input(kind, 2) for kind in KINDS), Input("flow", 1, segments=2)], ids=lambda clip: clip.kind
)
def test_cropping_on_the_device_gives_the_clips_of_the_pipeline(smooth, clip, augment):
    settings = {"batch_size": 8, "crop_size": 32}
    videos = list(smooth.videos.values())
    on_host = next(iter(train_batches(smooth, videos, clip, drawing=Drawing(augment), **settings)))
    fields = next(iter(train_batches(smooth, videos, clip, drawing=Drawing(augment, device_crop=True), **settings)))

    on_device = device.crop(fields[0], clip, 32, augment)

    assert on_device.shape == on_host[0].shape
    np.testing.assert_array_equal(fields[1], on_host[1])
    difference = np.abs(on_device.numpy().astype(int) - on_host[0].numpy())
    assert difference.max() <= 2
    assert difference.mean() < 0.3


def test_the_device_crop_compiles_with_xla(smooth):
    clip, drawing = Input("flow", 2), Drawing("corners", device_crop=True)
    batches = train_batches(smooth, list(smooth.videos.values()), clip, batch_size=2, crop_size=32, drawing=drawing)
    fields = next(iter(batches))[0]

    compiled = tf.function(lambda fields: device.crop(fields, clip, 32, "corners"), jit_compile=True)

    difference = compiled(fields).numpy().astype(int) - device.crop(fields, clip, 32, "corners").numpy()
    assert np.abs(difference).max() <= 1
