"""Clips of several parts: backward and compensated flow, trajectories, grey and subtracted frames, segments."""

import dataclasses

import numpy as np
import pytest

from pipelines.clips import video_views
from pipelines.inputs import Input
from tests.makers.batches import clip_of_items, is_run, levels_of, take, videos_of
from tests.makers.frames import HEIGHT, WIDTH, flat, frame_level, made_dataset, write, x_level, y_level


def test_a_bidirectional_clip_goes_forward_and_backward_from_its_middle(numbered):
    ((views, _), *_) = video_views(numbered, videos_of(numbered)[:1], Input("bidirectional", 4), num_views=1)

    # The middle one of the starts 0..7 is 3, so that the fields are 3..6 around frame 5.
    expected = [x_level(5), x_level(6), 256 - x_level(4), 256 - x_level(3)]
    np.testing.assert_array_equal(levels_of(views.numpy())[0, 0::2], expected)


def test_a_bidirectional_clip_takes_the_backward_fields_that_are_stored(tmp_path):
    dataset = made_dataset(tmp_path, {"a": 12})
    (tmp_path / "flow.json").write_text('{"backward": true}')
    (video,), layout = videos_of(dataset), dataset.layout
    backward = dataclasses.replace(layout, flow_x=layout.back_x, flow_y=layout.back_y)
    for index in range(11):
        for path, level in zip(
            backward.flow_paths(tmp_path, video, index), (20 + 2 * index, 50 + 2 * index), strict=True
        ):
            write(path, flat(level))

    ((views, _),) = video_views(dataset, [video], Input("bidirectional", 4), num_views=1)

    # Forward from frame 5 (counted from 0), then from 5 back to 4 and from 4 back to 3: fields 4 and 3.
    expected = [x_level(5), y_level(5), x_level(6), y_level(6), 28, 58, 26, 56]
    np.testing.assert_array_equal(levels_of(views.numpy())[0], expected)


def test_warped_flow_is_read_as_flow_is_and_refused_where_it_was_not_compensated(tmp_path):
    dataset, described = made_dataset(tmp_path, {"a": 5}), tmp_path / "flow.json"
    videos, clip = videos_of(dataset), Input("warped", 3)
    described.write_text('{"method": "warped"}')

    ((views, _),) = video_views(dataset, videos, clip, num_views=1)
    ((flow, _),) = video_views(dataset, videos, Input("flow", 3), num_views=1)
    described.write_text('{"method": "tvl1"}')

    np.testing.assert_array_equal(views, flow)
    with pytest.raises(ValueError, match=r"made by the method 'tvl1', and is not compensated.*--method warped"):
        video_views(dataset, videos, clip, num_views=1)


def test_a_trajectory_follows_its_point(tmp_path):
    step = 127 // 20 * 2 + 1  # 13 levels are 2.05 pixels.
    columns = np.tile(np.arange(WIDTH, dtype=np.uint8) * 2 + 60, (HEIGHT, 1))
    right = np.full((HEIGHT, WIDTH), 128 + step, np.uint8)
    dataset = made_dataset(tmp_path, {"a": 3}, x=lambda index: right, y=lambda index: columns)

    ((views, _),) = video_views(dataset, videos_of(dataset), Input("trajectory", 2), num_views=1)
    ((plain, _),) = video_views(dataset, videos_of(dataset), Input("flow", 2), num_views=1)

    np.testing.assert_array_equal(views[..., :2], plain[..., :2])
    np.testing.assert_array_equal(views[:, :, :-2, 3], plain[:, :, 2:, 3])


def test_a_trajectory_is_that_of_the_paper_point_by_point():
    generator = np.random.default_rng(0)
    fields = [generator.integers(1, 256, (HEIGHT, WIDTH, 2), np.uint8) for _ in range(6)]

    found = clip_of_items(np.stack(fields), Input("trajectory", 6)).numpy()

    leaves = 0
    for row, column in np.ndindex(HEIGHT, WIDTH):
        # p_1 is the pixel itself, and p_k is p_(k-1) moved by the field before there (Sec. 3.1, equation 2).
        down, right = np.float32(row), np.float32(column)
        for number, field in enumerate(fields):
            y, x = (int(np.clip(np.rint(at), 0, last)) for at, last in ((down, HEIGHT - 1), (right, WIDTH - 1)))
            np.testing.assert_array_equal(found[row, column, 2 * number : 2 * number + 2], field[y, x])
            right += (np.float32(field[y, x, 0]) - 128) * np.float32(20 / 127)
            down += (np.float32(field[y, x, 1]) - 128) * np.float32(20 / 127)
        leaves += not (0 <= down < HEIGHT and 0 <= right < WIDTH)
    assert 0 < leaves < HEIGHT * WIDTH


def test_an_sg3i_image_is_three_grey_frames(numbered):
    ((views, _), *_) = video_views(numbered, videos_of(numbered)[:1], Input("sg3i", stride=3), num_views=2)

    np.testing.assert_array_equal(
        levels_of(views.numpy()), [[frame_level(i) for i in (0, 3, 6)], [frame_level(i) for i in (5, 8, 11)]]
    )


def test_rgb_difference_is_frames_that_the_model_subtracts(numbered):
    ((views, _), *_) = video_views(numbered, videos_of(numbered)[:1], Input("rgb_difference", 2), num_views=1)

    assert views.shape[-1] == 9
    np.testing.assert_array_equal(np.diff(levels_of(views.numpy())[0, ::3].astype(int)), [8, 8])


def test_segments_take_one_snippet_from_each_part(numbered):
    for clips, _ in take(numbered, Input("rgb", segments=3), steps=3):
        levels = levels_of(clips)[..., 0]

        assert clips.shape == (6, 3, 32, 32, 3)
        for part in range(3):
            assert (levels[:, part] >= frame_level(4 * part)).all()
            assert (levels[:, part] <= frame_level(4 * part + 3)).all()


def test_segments_of_one_example_are_cut_and_mirrored_alike(tmp_path):
    ramp = np.tile(np.linspace(40, 200, WIDTH).astype(np.uint8), (HEIGHT, 1))
    dataset = made_dataset(tmp_path, {"a": 9, "b": 9}, frame=lambda index: ramp)

    ((clips, _),) = take(dataset, Input("grey", 1, segments=3), batch_size=16)

    assert (clips == clips[:, :1]).all()
    directions = np.sign(clips[:, 0, 0, -1, 0].astype(int) - clips[:, 0, 0, 0, 0])
    assert set(directions) == {-1, 1}


def test_a_video_of_fewer_frames_than_segments_gives_some_of_them_twice(tmp_path):
    dataset = made_dataset(tmp_path, {"short": 3})

    ((clips, _),) = take(dataset, Input("flow", 1, segments=4), batch_size=2, augment="none")

    for levels in levels_of(clips)[:, :, 0]:
        assert set(levels) == {x_level(0), x_level(1)}
        assert (np.diff(levels.astype(int)) >= 0).all()


def test_segments_of_flow_are_stacks_of_their_parts(numbered):
    ((clips, _),) = take(numbered, Input("flow", 2, segments=2), augment="none")

    for first, second in levels_of(clips):
        assert is_run(first[0::2], x_level, 2)
        assert is_run(second[0::2], x_level, 2)
        # Of the ten starts the first five are the first part's.
        assert first[0] <= x_level(4) < second[0]
