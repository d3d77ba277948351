"""The validation part that is cut from a training list, and the few videos of a limit: for lists of all sizes."""

import random

import pytest

from data.catalog import DataSet, Split, Video
from data.extraction.limited import few_videos, too_few
from data.sets.lists import cut_validation


def listed(groups):
    """Returns a training list of groups, each of so many videos with these labels."""
    return [
        Video(f"g{number}c{clip}", "", "", labels, f"g{number}")
        for number, (labels, count) in enumerate(groups)
        for clip in range(count)
    ]


def random_list(generator):
    """Draws a list of few or many classes, of groups that are alike or not, within a class or across classes."""
    num_classes, most = generator.randint(1, 12), generator.choice((1, 2, 9))
    across = generator.random() < 0.3
    groups = []
    for label in range(num_classes):
        for _ in range(generator.choice((1, 2, 3, 10))):
            labels = tuple(sorted({label, generator.randrange(num_classes)})) if across else (label,)
            groups.append((labels, generator.randint(1, most)))
    return listed(groups)


def spared_groups(training, total):
    """Returns the groups that could leave a list without taking the last video of a class."""
    left = {label: sum(label in video.labels for video in training) for label in total}
    groups = {}
    for video in training:
        groups.setdefault(video.group, []).append(video)
    return {
        group: {label for video in videos for label in video.labels}
        for group, videos in groups.items()
        if all(
            sum(label in video.labels for video in videos) < left[label] for video in videos for label in video.labels
        )
    }


@pytest.mark.parametrize("seed", range(100))
def test_every_class_that_can_spare_a_group_is_validated_and_none_is_lost(seed):
    generator = random.Random(seed)
    videos, share = random_list(generator), generator.choice((0.01, 0.1, 0.3, 0.5))
    total = {label for video in videos for label in video.labels}

    try:
        training, validation = cut_validation(videos, share, seed=seed)
    except ValueError:
        training, validation = tuple(videos), ()

    assert sorted(training + validation, key=videos.index) == videos
    assert {video.group for video in training}.isdisjoint(video.group for video in validation)
    assert {label for video in training for label in video.labels} == total
    without = total - {label for video in validation for label in video.labels}
    for labels in spared_groups(training, total).values():
        assert not labels & without


def test_small_classes_are_validated_too():
    videos = listed([((number % 101,), 1) for number in range(404)])

    training, validation = cut_validation(videos, 0.1)

    assert (len(training), len(validation)) == (303, 101)
    assert {video.label for video in validation} == set(range(101))


def test_large_classes_are_cut_as_they_always_were():
    videos = listed([((number % 3,), 4) for number in range(60)])

    training, validation = cut_validation(videos, 0.1, seed=1)

    assert [sum(video.label == label for video in validation) for label in range(3)] == [8, 8, 8]
    assert len(training) == 216


def test_classes_of_one_group_each_can_not_be_cut():
    with pytest.raises(ValueError, match="no class has a group to spare"):
        cut_validation(listed([((0,), 5), ((1,), 5)]))


def hundred_and_one(tmp_path):
    """A data set like UCF-101: of each class 24 groups of four videos, 17 of them to train on."""
    videos = listed([((number % 101,), 4) for number in range(101 * 24)])
    parts = [tuple(v.name for v in videos if (int(v.group[1:]) < 101 * 17) == train) for train in (True, False)]
    return DataSet(
        "made", tmp_path, tuple(map(str, range(101))), {video.name: video for video in videos}, {1: Split(*parts)}
    )


@pytest.mark.parametrize("limit", [303, 404, 1000])
def test_a_limit_leaves_what_can_be_trained_validated_and_tested_on(tmp_path, limit):
    dataset = hundred_and_one(tmp_path)
    there = {name for name in dataset.videos if not name.endswith("c0")}

    chosen = few_videos(dataset, there, limit)

    names = {video.name for video in chosen}
    assert len(names) == len(chosen) == limit
    assert names <= there
    assert not too_few(dataset, chosen)
    train, test = ([video for video in dataset.part(1, part) if video.name in names] for part in ("train", "test"))
    training, validation = cut_validation(train, 0.1)
    for part in (training, validation, test):
        assert {video.label for video in part} == set(range(101))
    counts = [sum(video.label == label for video in chosen) for label in range(101)]
    assert max(counts) - min(counts) <= 1


def test_a_limit_that_is_too_small_is_told_of_and_spread_over_classes(tmp_path):
    dataset = hundred_and_one(tmp_path)

    chosen = few_videos(dataset, dataset.videos, 10)

    assert len({video.label for video in chosen}) == 10
    assert "91 of 101 classes have no training video" in too_few(dataset, chosen)
    assert "--limit 303" in too_few(dataset, chosen)
