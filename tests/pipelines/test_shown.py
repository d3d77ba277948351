"""The part of a frame that a clip shows: training and scoring cut the same, and old models continue as they were."""

import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from pipelines import augment
from pipelines.inputs import Input
from streams.networks.scoring import _crops_of
from streams.runs.model_file import ModelCard, read_card
from tests.makers.batches import stream_of, take
from tests.makers.frames import made_dataset
from tests.makers.models import make_model


def ramp(height, width):
    """A frame that says where each of its pixels is: it grows by two levels to the right and by one downwards."""
    return (2 * np.arange(width)[None] + np.arange(height)[:, None] + 20).astype(np.uint8)


def seen_in_training(tmp_path, frame, size, shown, **settings):
    """The clip of one frame, without chance."""
    dataset = made_dataset(tmp_path, {"a": 2}, frame=lambda index: frame)
    ((clips, _),) = take(dataset, Input("rgb"), batch_size=1, crop_size=size, augment="none", shown=shown, **settings)
    return clips[0, ..., 0].astype(int)


def seen_in_scoring(frame, size, shown):
    """The crop in the centre of the same frame."""
    import keras

    views = tf.constant(np.repeat(frame[None, ..., None], 3, axis=-1))
    spec = keras.Input((size, size, 3), name="rgb")
    return _crops_of(views, spec, 1, "", shown)[0, 0, ..., 0].numpy().astype(int)


@pytest.mark.parametrize("shown", ["most", "whole"])
@pytest.mark.parametrize(("height", "width"), [(40, 48), (64, 80), (90, 51), (33, 97)])
@pytest.mark.parametrize("size", [24, 32, 56])
def test_what_training_cuts_is_what_scoring_cuts(tmp_path, shown, height, width, size):
    frame = ramp(height, width)

    trained, scored = seen_in_training(tmp_path, frame, size, shown), seen_in_scoring(frame, size, shown)

    assert trained.shape == scored.shape == (size, size)
    assert np.abs(trained - scored).max() <= 2


def test_most_is_a_square_of_seven_eighths_of_the_short_side_in_the_middle(tmp_path):
    seen = seen_in_training(tmp_path, ramp(40, 80), 35, "most")

    # 35 of 40 pixels, from 2 down and from 22 to the right: nothing is resized.
    np.testing.assert_allclose(seen, ramp(40, 80)[2:37, 22:57], atol=2)


def test_whole_reaches_from_edge_to_edge_whatever_the_form_of_the_frame(tmp_path):
    seen = seen_in_training(tmp_path, ramp(40, 96), 20, "whole")

    corners = ramp(40, 96)[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int)
    # A pixel of the clip is the middle of 2 x 4.8 pixels of the frame.
    np.testing.assert_allclose(seen[[0, 0, -1, -1], [0, -1, 0, -1]], corners, atol=6)


def test_frames_that_are_smaller_than_the_crop_are_enlarged_unless_pixels_are_shown(tmp_path):
    small = ramp(24, 30)

    assert seen_in_training(tmp_path / "most", small, 48, "most").shape == (48, 48)
    assert seen_in_training(tmp_path / "whole", small, 48, "whole").shape == (48, 48)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="24"):
        seen_in_training(tmp_path / "pixels", small, 48, "pixels")


def test_random_crops_of_most_move_and_stay_in_the_frame():
    generator = np.random.default_rng(0)

    boxes = [
        augment.random_box("flip", tf.constant([64, 80]), 10, tf.constant(draw), "most")
        for draw in generator.random((100, 8)).astype(np.float32)
    ]

    tops, lefts, heights, widths = np.array(boxes).T
    assert set(heights) == set(widths) == {56}
    assert (min(tops), max(tops), min(lefts), max(lefts)) == (0, 8, 0, 24)


def test_whole_frames_are_refused_where_the_device_would_cut_them(numbered):
    with pytest.raises(ValueError, match=r"Whole frames are squeezed where they are read.*--crop-on host"):
        stream_of(numbered, Input("rgb"), shown="whole", on_device=True)


def test_most_of_a_frame_is_the_same_on_the_device(textured):
    settings = {"shown": "most", "augment": "none", "batch_size": 3}
    ((at_host, _),) = take(textured, Input("rgb"), **settings)
    stream = stream_of(textured, Input("rgb"), on_device=True, **settings)

    fields, labels = next(iter(stream.batches(0, (0, 1))))

    on_device = stream.cut(fields, labels)[0].numpy()
    np.testing.assert_allclose(on_device.astype(int), at_host, atol=2)


def test_a_model_from_before_there_was_a_choice_shows_pixels(tmp_path):
    path = make_model(tmp_path / "old.keras", "spatial")
    without = tmp_path / "without.keras"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(without, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if b'"shown"' in content:
                card = json.loads(content)
                del card["shown"], card["window"]
                content = json.dumps(card).encode()
            new.writestr(entry, content)

    card = read_card(without)

    assert without.read_bytes() != path.read_bytes()
    assert (card.shown, card.window) == ("pixels", 0)


def test_streams_that_show_different_things_cannot_be_one_network():
    spatial = ModelCard("spatial", "rgb", 1, ("a", "b"), "made", 1, "folds", shown="whole")
    temporal = ModelCard("temporal", "flow", 3, ("a", "b"), "made", 1, "folds", shown="most")

    with pytest.raises(ValueError, match=r"shows whole of a frame, the temporal stream most.*same --shown"):
        ModelCard.joint(spatial, temporal)
