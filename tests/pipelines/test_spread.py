"""Clips that are spread over a video: the middles of equal parts, the same ones wherever clips are made."""

import numpy as np
import pytest
import tensorflow as tf

from data.catalog import DataSet, Split, Video
from data.extraction.one_video import Job, extract_video
from data.store.description import Recipe
from data.store.index import index_path, with_counts, write_index
from fusion.prediction.as_prepared import PreparedVideo
from fusion.prediction.views import Stopwatch, Wanted, video_views
from pipelines.clips import video_views as stored_views
from pipelines.inputs import Input
from pipelines.sampling import clip_items, view_starts
from tests.makers.batches import levels_of, take, videos_of
from tests.makers.frames import frame_level, made_dataset, x_level, y_level
from tests.makers.models import make_video

KINDS = [("rgb_spread", 4), ("flow_spread", 5), ("flow_stacks", 2)]


def items_of(length, num_items, start=0, window=0):
    """The items of one clip of one video."""
    clip = Input("rgb_spread", length, window=window)
    return clip_items(clip, np.array([start], np.int32), np.array([num_items], np.int32))[0].tolist()


def test_a_spread_clip_takes_the_middles_of_equal_parts_of_a_longer_video():
    # Four parts of three items each: 0-2, 3-5, 6-8, 9-11.
    assert items_of(4, 12) == [1, 4, 7, 10]
    assert items_of(1, 9) == [4]


def test_a_video_of_just_as_many_items_gives_each_once():
    assert items_of(6, 6) == [0, 1, 2, 3, 4, 5]


def test_a_shorter_video_gives_its_items_in_order_each_equally_often():
    assert items_of(8, 4) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert items_of(5, 1) == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("num_items", range(1, 40))
@pytest.mark.parametrize("length", [1, 3, 8, 24])
def test_whatever_the_length_items_are_in_order_in_the_video_and_in_the_middle_of_it(num_items, length):
    items = items_of(length, num_items)

    assert items == sorted(items)
    assert items[0] >= 0
    assert items[-1] < num_items
    assert abs(np.mean(items) - (num_items - 1) / 2) <= 0.5
    # No part is left out: neighbours are as far apart as parts are long, to within rounding.
    assert all(abs(step - num_items / length) < 1 for step in np.diff(items))


def test_with_a_window_a_clip_is_spread_over_so_many_items_from_its_start_on():
    assert items_of(4, 100, start=20, window=12) == [21, 24, 27, 30]


def test_a_window_that_is_the_whole_video_gives_the_clip_that_has_none():
    for num_items in range(1, 30):
        assert items_of(8, num_items, window=num_items) == items_of(8, num_items)


def test_a_window_longer_than_the_video_starts_again_from_its_beginning():
    assert items_of(4, 6, window=12) == [1, 4, 1, 4]


@pytest.mark.parametrize(("count", "expected"), [(12, [1, 4, 7, 10]), (2, [0, 0, 1, 1]), (25, [3, 9, 15, 21])])
def test_training_and_evaluation_read_the_same_frames(tmp_path, count, expected):
    dataset, clip = made_dataset(tmp_path, {"a": count}), Input("rgb_spread", 4)
    levels = np.repeat([frame_level(index) for index in expected], 3)

    ((views, _),) = stored_views(dataset, videos_of(dataset), clip, num_views=1)
    ((clips, _),) = take(dataset, clip, batch_size=1)

    np.testing.assert_array_equal(levels_of(views.numpy())[0], levels)
    np.testing.assert_array_equal(levels_of(clips)[0], levels)


def test_spread_flow_is_x_and_y_of_each_field_in_turn(numbered):
    clip = Input("flow_spread", 3)
    expected = [level(index) for index in (1, 5, 9) for level in (x_level, y_level)]

    ((views, _), *_) = stored_views(numbered, videos_of(numbered)[:1], clip, num_views=1)
    ((clips, _),) = take(numbered, clip, augment="none")

    np.testing.assert_array_equal(levels_of(views.numpy())[0], expected)
    np.testing.assert_array_equal(levels_of(clips), np.tile(expected, (len(clips), 1)))


def test_all_views_of_a_whole_video_are_one():
    # There is one way to spread a clip over a video, so more views cost nothing and change nothing.
    assert set(view_starts(np.array([3, 100]), Input("rgb_spread", 4).span, 25).ravel().tolist()) == {0}


def test_five_views_are_five_times_the_same_clip(numbered):
    ((views, _), *_) = stored_views(numbered, videos_of(numbered)[:1], Input("rgb_spread", 4), num_views=5)

    assert views.shape[0] == 5
    assert (views == views[:1]).numpy().all()


@pytest.mark.parametrize(("kind", "length"), KINDS)
@pytest.mark.parametrize("num_frames", [3, 23, 40])
def test_prediction_from_a_file_sees_the_very_pixels_of_prepared_data(tmp_path, kind, length, num_frames):
    video, recipe, clip = make_video(tmp_path / "clip.avi", num_frames), Recipe(), Input(kind, length)
    (expected, _), *_ = stored_views(*prepared(video, tmp_path / "made", recipe), clip, num_views=1)

    making = Recipe.of(recipe.description())
    opened = PreparedVideo(video, making)
    of_whole = Input(kind, length, window=opened.num_frames - clip.is_flow)
    wanted = {"a": Wanted(of_whole, np.array([0]))}
    seen = video_views(opened.frames(), opened.num_frames, wanted, making, Stopwatch())

    np.testing.assert_array_equal(np.stack([view.pixels for view in seen]), expected)


def prepared(video, root, recipe):
    """A data set of one video and its videos."""
    made = Video(video.stem, "", ".avi", (0,), "g01")
    dataset = DataSet("made", root, ("A",), {made.name: made}, {1: Split((made.name,), ())})
    recipe.keep(root)
    write_index(index_path(root), [extract_video(Job(video, dataset.frame_folder(made), made.name, "", recipe))])
    dataset = with_counts(dataset)
    return dataset, videos_of(dataset)


def test_stacks_lie_in_the_middles_of_equal_parts_and_are_in_a_row():
    clip = Input("flow_stacks", 3)

    items = clip_items(clip, np.array([0], np.int32), np.array([28], np.int32))[0]

    # Of 24 places where five fields fit, those in the middle of three parts of eight.
    assert items.tolist() == [4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 20, 21, 22, 23, 24]
    assert clip.channels == 30


@pytest.mark.parametrize("num_items", range(1, 30))
def test_stacks_of_short_videos_start_again_from_the_beginning(num_items):
    items = clip_items(Input("flow_stacks", 4), np.array([0], np.int32), np.array([num_items], np.int32))[0]

    assert len(items) == 20
    assert 0 <= items.min() <= items.max() < num_items
    stacks = items.reshape(4, 5)
    assert ((stacks[:, 1:] - stacks[:, :-1]) % num_items == 1 % num_items).all()


def test_stacks_are_alike_as_tensors_with_and_without_a_window():
    clip, windowed = Input("flow_stacks", 4), Input("flow_stacks", 4, window=40)
    expected = clip_items(clip, np.array([0], np.int32), np.array([40], np.int32))

    np.testing.assert_array_equal(clip_items(clip, tf.constant([0]), tf.constant([40])), expected)
    np.testing.assert_array_equal(clip_items(windowed, tf.constant([0]), tf.constant([40])), expected)
