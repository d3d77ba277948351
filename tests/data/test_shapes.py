"""The built-in data set: what each stream can know at most, by construction."""

import numpy as np
import pytest

from data.sets import shapes
from data.sets.lists import cut_validation


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return shapes.open_dataset(tmp_path_factory.mktemp("shapes"))


def oracle_scores(dataset, videos, knows):
    """Returns the scores of an oracle that knows one part of a class, and nothing of the other."""
    truth = np.array([video.label for video in videos])
    of_class = np.arange(len(dataset.classes))
    known = knows(of_class)[None, :] == knows(truth)[:, None]
    return known / known.sum(axis=1, keepdims=True), truth


def appearance(label):
    return label // len(shapes.MOTIONS)


def motion(label):
    return label % len(shapes.MOTIONS)


def expected_accuracy(scores, truth):
    """Returns the accuracy when ties are broken by lot."""
    best = scores == scores.max(axis=1, keepdims=True)
    return np.mean(best[np.arange(len(truth)), truth] / best.sum(axis=1))


@pytest.mark.parametrize("knows", [appearance, motion])
def test_a_perfect_stream_alone_is_right_once_in_three(dataset, knows):
    scores, truth = oracle_scores(dataset, dataset.part(1, "test"), knows)

    assert expected_accuracy(scores, truth) == pytest.approx(1 / 3)


def test_both_perfect_streams_together_are_always_right(dataset):
    videos = dataset.part(1, "test")
    spatial, truth = oracle_scores(dataset, videos, appearance)
    temporal, _ = oracle_scores(dataset, videos, motion)

    assert expected_accuracy((spatial + temporal) / 2, truth) == 1.0


def test_splits_part_groups_and_balance_classes(dataset):
    for split in (1, 2, 3):
        train, test = dataset.part(split, "train"), dataset.part(split, "test")

        assert {video.group for video in train}.isdisjoint(video.group for video in test)
        assert len(set(np.bincount([video.label for video in test]))) == 1
        assert len(train) + len(test) == len(dataset.videos)


def test_validation_is_cut_by_group_from_every_class(dataset):
    videos = dataset.part(1, "train")

    training, validation = cut_validation(videos, 0.1, seed=3)

    assert {video.group for video in training}.isdisjoint(video.group for video in validation)
    assert {video.label for video in validation} == set(range(len(dataset.classes)))
    assert 0.05 < len(validation) / len(videos) < 0.2
    assert cut_validation(videos, 0.1, seed=3)[1] == validation
    assert cut_validation(videos, 0.1, seed=4)[1] != validation


def test_a_video_is_drawn_alike_whenever_it_is_drawn(dataset):
    video = next(iter(dataset.videos.values()))

    once, twice, other_seed = (np.stack(list(shapes.draw(video, seed))) for seed in (0, 0, 1))

    assert once.shape == (shapes.FRAMES, shapes.HEIGHT, shapes.WIDTH, 3)
    np.testing.assert_array_equal(once, twice)
    assert (once != other_seed).mean() > 0.5


def test_mean_colours_tell_no_class(dataset):
    """A rule on a frame's mean colour, learnt on the training list, guesses on the test list."""
    means, labels = {}, {}
    for part in ("train", "test"):
        videos = dataset.part(1, part)[::3]
        means[part] = np.array([next(shapes.draw(video)).mean(axis=(0, 1)) for video in videos])
        labels[part] = np.array([video.label for video in videos])

    centres = np.stack([means["train"][labels["train"] == label].mean(axis=0) for label in range(9)])
    guesses = np.linalg.norm(means["test"][:, None] - centres, axis=2).argmin(axis=1)

    assert np.mean(guesses == labels["test"]) < 0.3


def test_where_the_disc_is_tells_no_motion():
    """Position in a frame is drawn alike for all motions: their mean position and spread are those of the torus."""
    size = np.array([shapes.WIDTH, shapes.HEIGHT])
    generator = np.random.default_rng(5)

    for name in shapes.MOTIONS:
        starts = generator.uniform(0, size, (4000, 2))
        paths = np.stack([shapes.disc_path(name, generator) for _ in range(4000)])
        last = np.mod(starts + paths[:, -1], size) / size
        np.testing.assert_allclose(last.mean(axis=0), 0.5, atol=0.03)
        np.testing.assert_allclose(last.std(axis=0), 12**-0.5, atol=0.03)


def test_in_grey_all_appearances_of_a_scene_are_the_same_picture(dataset):
    """So flow, which is computed on grey, can't tell them apart; in colour they differ plainly."""
    scene = [f"v_{appearance}Slide_g04_c02" for appearance in shapes.APPEARANCES]
    colour = [np.stack(list(shapes.draw(dataset.videos[name]))).astype(float) for name in scene]
    grey = [frames @ (0.299, 0.587, 0.114) for frames in colour]

    for other in (1, 2):
        # Rounding to bytes is left, and now and then a pixel that is too bright for one of the colours.
        assert np.abs(grey[0] - grey[other]).mean() < 0.1
        assert np.quantile(np.abs(grey[0] - grey[other]), 0.999) < 1
        assert np.abs(colour[0] - colour[other]).max() > 50


def test_all_motions_of_a_scene_begin_with_the_same_picture(dataset):
    scene = [f"v_Rings{motion}_g04_c02" for motion in shapes.MOTIONS]

    first, *others = (next(shapes.draw(dataset.videos[name])) for name in scene)

    for other in others:
        np.testing.assert_array_equal(first, other)
