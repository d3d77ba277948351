from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from data.catalog import Video
from pipelines.sampling import draw_rows


def made_videos(counts):
    """So many videos of each class."""
    return [
        Video(f"{label}_{number}", "", ".avi", (label,), "", 5, 4)
        for label, count in enumerate(counts)
        for number in range(count)
    ]


def drawn(videos, steps, batch_size=10, seed=1, **choices):
    draw = draw_rows(videos, batch_size, seed, **choices)
    return [videos[row].name for step in range(steps) for row in draw(tf.constant(step, tf.int64)).numpy()]


def test_every_pass_shows_every_video_once_in_an_order_of_its_own():
    videos = made_videos([17, 13])

    names = drawn(videos, 6)

    first, second = names[:30], names[30:]
    assert sorted(first) == sorted(second) == sorted(video.name for video in videos)
    assert first != second
    assert first != [video.name for video in videos]


@pytest.mark.parametrize("seed", [0, 1])
def test_passes_are_unlike_the_list_and_unlike_each_other(seed):
    videos = made_videos([500])
    place_of = {video.name: place for place, video in enumerate(videos)}

    names = drawn(videos, 4, batch_size=250, seed=seed)

    first, second = (np.array([place_of[name] for name in part]) for part in (names[:500], names[500:]))
    # Chance alone gives correlations around 0 with a deviation of 0.045, and neighbours within 25 a tenth of the time.
    assert abs(np.corrcoef(np.arange(500), first)[0, 1]) < 0.15
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
    assert (first == second).mean() < 0.02
    assert (abs(np.diff(first)) < 25).mean() < 0.15


def test_balanced_drawing_gives_every_class_the_same_share_and_every_video_of_a_class_its_turn():
    videos = made_videos([2, 20, 5])

    names = drawn(videos, 60, balance=True)

    by_class = Counter(name.split("_")[0] for name in names)
    assert set(by_class.values()) == {200}
    by_video = Counter(names)
    assert {by_video[f"0_{n}"] for n in range(2)} == {100}
    assert {by_video[f"1_{n}"] for n in range(20)} == {10}
