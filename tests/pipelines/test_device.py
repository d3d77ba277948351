import dataclasses
from itertools import islice

import numpy as np
import pytest
import tensorflow as tf

from data.catalog import PACKED, Layout
from data.pack import pack
from pipelines.inputs import KINDS, Input
from tests.makers.batches import stream_of
from tests.makers.frames import HEIGHT, WIDTH, made_dataset, write


@pytest.mark.parametrize(
    "augment", ["flip", *(pytest.param(name, marks=pytest.mark.slow) for name in ("corners", "none", "paper"))]
)
@pytest.mark.parametrize(
    "clip", [*(Input(kind, 2) for kind in KINDS), Input("flow", 1, segments=2)], ids=lambda clip: clip.kind
)
def test_cropping_on_the_device_gives_the_clips_of_the_pipeline(smooth, clip, augment):
    host = stream_of(smooth, clip, batch_size=4, augment=augment)
    device = stream_of(smooth, clip, batch_size=4, augment=augment, on_device=True)

    for (expected, labels), (fields, same_labels) in islice(zip(host.batches(), device.batches(), strict=True), 2):
        clips, labels_of_device = device.cut(fields, same_labels)

        assert clips.shape == expected.shape
        np.testing.assert_array_equal(labels_of_device, labels)
        difference = np.abs(clips.numpy().astype(int) - expected.numpy())
        assert difference.max() <= 2
        assert difference.mean() < 0.3


def test_the_on_device_compiles_with_xla(smooth):
    stream = stream_of(smooth, Input("flow", 2), batch_size=2, augment="corners", on_device=True)
    fields = next(iter(stream.batches()))

    compiled = tf.function(stream.cut, jit_compile=True)

    difference = compiled(*fields)[0].numpy().astype(int) - stream.cut(*fields)[0].numpy()
    assert np.abs(difference).max() <= 1


def with_one_other_size(root, scale, is_packed=False):
    """Three videos of noise, the last of which has frames and flow of another size."""
    dataset = made_dataset(root, {"a": 6, "b": 6, "c": 6})
    other, generator = dataset.videos["c"], np.random.default_rng(0)
    size = int(HEIGHT * scale), int(WIDTH * scale)
    for path in dataset.layout.frame_path(root, other, 0).parent.iterdir():
        write(path, generator.integers(0, 256, size, np.uint8))
    if is_packed:
        pack(dataset)
        dataset = dataclasses.replace(dataset, layout=Layout(PACKED))
    return dataset


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_frame_that_the_device_does_not_hold_is_named_with_its_size_and_what_to_pass(tmp_path, seed, is_packed):
    dataset = with_one_other_size(tmp_path, 1.75, is_packed)
    stream = stream_of(dataset, Input("flow", 2), batch_size=12, seed=seed, augment="corners", on_device=True)

    with pytest.raises(tf.errors.InvalidArgumentError, match="The crop does not fit"):
        next(iter(stream.batches()))
    said = stream.broken(0)

    assert said.startswith(str(tmp_path / "rawframes" / "class2" / "c"))
    assert "has 84 x 70 pixels" in said
    assert f"at most {HEIGHT}" in said
    assert "--crop-on host" in said


@pytest.mark.parametrize("on_device", [False, True])
def test_a_frame_smaller_than_the_crop_is_named_with_its_size_and_what_to_pass(tmp_path, on_device):
    dataset = with_one_other_size(tmp_path, 0.75)
    stream = stream_of(dataset, Input("rgb"), batch_size=3, augment="flip", on_device=on_device)

    with pytest.raises(tf.errors.InvalidArgumentError, match="The crop does not fit"):
        next(iter(stream.batches()))
    said = stream.broken(0)

    assert "has 36 x 30 pixels, too few for --crop-size 32. Pass --crop-size 30 or less" in said


def test_smaller_frames_fit_where_sides_follow_the_frame(tmp_path):
    dataset = with_one_other_size(tmp_path, 0.75)
    stream = stream_of(dataset, Input("flow", 2), augment="corners", on_device=True)

    fields, _ = next(iter(stream.batches()))

    assert int(tf.reduce_max(fields["box"])) == HEIGHT
    assert stream.broken(0) == ""
