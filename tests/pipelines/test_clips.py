"""A clip shows its fields and frames, which are decoded once, and cut and mirrored in the same way."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.clips import distinct_views, video_views
from pipelines.cutting import read_clips
from pipelines.inputs import FLOW_KINDS, Input
from pipelines.sampling import view_starts
from pipelines.source import Source
from tests.makers.batches import is_run, levels_of, stream_of, take, videos_of
from tests.makers.frames import HEIGHT, WIDTH, frame_level, made_dataset, x_level, y_level


def test_a_stack_is_consecutive_fields_with_x_and_y_in_turn(numbered):
    ((clips, _),) = take(numbered, Input("flow", 4), augment="none")

    for levels in levels_of(clips):
        assert is_run(levels[0::2], x_level, 4)
        assert is_run(levels[1::2], y_level, 4)
        assert levels[1] - levels[0] == 2


def test_views_go_from_the_first_clip_of_a_video_to_its_last(numbered):
    ((views, label), *_) = video_views(numbered, videos_of(numbered)[:1], Input("flow", 4), num_views=3)

    assert views.shape == (3, HEIGHT, WIDTH, 8)
    assert label == 0
    np.testing.assert_array_equal(levels_of(views.numpy())[:, 0], [x_level(0), x_level(4), x_level(7)])


def test_views_at_the_middles_of_equal_parts_are_those_of_temporal_segment_networks():
    # 300 frames, 25 segments, and stacks of 5 fields out of 299: as its code and mmaction2's take them, counted from 0.
    np.testing.assert_array_equal(view_starts(300, 1, 25, "middles"), np.arange(6, 300, 12))
    assert view_starts(299, 5, 25, "middles").tolist() == [int(295 / 25 / 2 + 295 / 25 * place) for place in range(25)]
    assert view_starts(300, 1, 25).tolist()[::24] == [0, 299]
    assert view_starts(3, 5, 4, "middles").tolist() == [0, 0, 0, 0]


def test_distinct_views_at_the_middles_show_the_middles(numbered):
    ((views, of_view, _),) = distinct_views(
        numbered, videos_of(numbered)[:1], Input("rgb"), num_views=3, sampling="middles"
    )

    np.testing.assert_array_equal(levels_of(views.numpy())[:, 0][of_view], [frame_level(place) for place in (2, 6, 10)])


def test_distinct_views_hold_each_view_once(numbered):
    ((views, of_view, _),) = distinct_views(numbered, videos_of(numbered)[:1], Input("rgb"), num_views=25)

    assert views.shape == (12, HEIGHT, WIDTH, 3)
    levels = levels_of(views.numpy())[:, 0]
    assert levels[of_view[0]] == frame_level(0)
    assert levels[of_view[-1]] == frame_level(11)
    assert (np.diff(levels[of_view]) >= 0).all()


def test_training_validation_and_test_read_the_same_pixels(textured):
    clip, videos = Input("flow", 3), videos_of(textured)[:1]

    (trained, _) = take(textured, clip, batch_size=8, crop_size=HEIGHT, augment="none")[0]
    ((views, _),) = video_views(textured, videos, clip, num_views=3)
    ((validated, _),) = stream_of(textured, clip, 8, HEIGHT, held_out=videos).validation()

    left = (WIDTH - HEIGHT) // 2
    centres = views.numpy()[:, :, left : left + HEIGHT]
    np.testing.assert_array_equal(validated, centres)
    assert any((example == view).all() for example in trained for view in centres)


def test_decoding_equals_opencv_bit_for_bit(textured):
    video = videos_of(textured)[0]
    ((views, _),) = video_views(textured, [video], Input("rgb"), num_views=1)

    frame = cv2.imread(str(textured.layout.frame_path(textured.root, video, 2)))[..., ::-1]
    np.testing.assert_array_equal(views[0], frame)


def test_a_short_video_starts_again_instead_of_failing_or_turning_black(tmp_path):
    short = made_dataset(tmp_path, {"short": 4})

    ((clips, _),) = take(short, Input("flow", 7), augment="none")

    expected = [x_level(index) for index in (0, 1, 2, 0, 1, 2, 0)]
    for levels in levels_of(clips):
        assert list(levels[0::2]) == expected


def test_one_crop_and_one_mirror_hold_for_all_channels_of_a_clip(tmp_path):
    ramp = np.tile(np.linspace(40, 200, WIDTH).astype(np.uint8), (HEIGHT, 1))
    dataset = made_dataset(tmp_path, {"a": 6, "b": 6}, frame=lambda index: ramp)

    ((clips, _),) = take(dataset, Input("grey", 5), batch_size=16)

    assert (clips == clips[..., :1]).all()
    assert len({clip[0, 0, 0] for clip in clips}) > 2


@pytest.mark.parametrize("augment", ["flip", "paper", "corners", "multi-scale"])
@pytest.mark.parametrize("length", [1, 2, 5, 6])
@pytest.mark.parametrize("kind", FLOW_KINDS)
def test_mirroring_flow_negates_x_and_leaves_y(numbered, kind, length, augment):
    if kind == "bidirectional" and length % 2:
        pytest.skip("is half forward and half backward")
    whole, mirrored = (one_clip(numbered, Input(kind, length), augment, is_mirrored) for is_mirrored in (False, True))

    assert (mirrored[..., 1::2] == whole[..., 1::2]).all()
    assert (mirrored[..., 0::2] == 256 - whole[..., 0::2].astype(int)).all()


def one_clip(dataset, clip, augment, is_mirrored):
    """A clip from the first start of a video, mirrored or not, in the middle of the frame."""
    source = Source(dataset, videos_of(dataset)[:1], clip)
    randoms = tf.constant([[0.5, 0.5, 0.0, 0.0, 0.0 if is_mirrored else 0.9, 0.5, 0.5, 0.5]])
    examples = {"row": tf.constant([0]), "starts": tf.constant([[1]]), "randoms": randoms}
    return read_clips(source, examples, 32, augment).numpy()


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind == "trajectory")) for kind in FLOW_KINDS]
)
def test_half_of_all_clips_of_flow_are_mirrored(numbered, kind):
    ((clips, _),) = take(numbered, Input(kind, 2), batch_size=32)

    # The fields of these videos move to the right, first of all forward.
    assert 4 < (levels_of(clips)[:, 0] < 128).sum() < 28


def test_the_field_of_a_frame_is_the_one_from_it_to_the_next(numbered):
    frames = next(iter(video_views(numbered, videos_of(numbered)[:1], Input("rgb"), num_views=12)))[0]
    fields = next(iter(video_views(numbered, videos_of(numbered)[:1], Input("flow", 1), num_views=11)))[0]

    for index in range(11):
        assert frames[index, 0, 0, 0] == frame_level(index)
        assert fields[index, 0, 0, 0] == x_level(index)
