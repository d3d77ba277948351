"""A batch has the same clips and labels, whoever makes it and at whatever step it begins."""

import contextlib
import dataclasses
import os

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.inputs import Input
from tests.makers.batches import stream_of, take, videos_of
from tests.makers.frames import HEIGHT, WIDTH, made_dataset


def test_labels_travel_with_their_frames(tmp_path):
    counts = {f"v{number}": 3 for number in range(6)}
    dataset = made_dataset(tmp_path, counts)
    for number, video in enumerate(videos_of(dataset)):
        for index in range(3):
            image = np.full((HEIGHT, WIDTH), 20 + 40 * (number % 3), np.uint8)
            cv2.imwrite(str(dataset.layout.frame_path(tmp_path, video, index)), image)

    for clips, labels in take(dataset, Input("rgb"), steps=4):
        np.testing.assert_array_equal(clips[:, 0, 0, 0], 20 + 40 * labels)


def test_several_labels_become_zeros_and_ones(tmp_path):
    labels_of = [(0, 2), (), (1,)]
    dataset = made_dataset(tmp_path, {"a": 2, "b": 2, "c": 2}, labels=lambda n: labels_of[n], multi_label=True)

    ((_, labels),) = stream_of(dataset, Input("rgb"), batch_size=3, held_out=videos_of(dataset)).validation(num_views=1)

    assert labels.dtype == tf.float32
    np.testing.assert_array_equal(labels, [[1, 0, 1], [0, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("balance", [False, True])
def test_videos_with_several_labels_are_drawn_with_all_of_them(tmp_path, balance):
    labels_of = [(0, 2), (), (1,)]
    dataset = made_dataset(tmp_path, {"a": 2, "b": 2, "c": 2}, labels=lambda n: labels_of[n], multi_label=True)

    rows = {tuple(row) for _, labels in take(dataset, Input("rgb"), 3, balance=balance) for row in labels}

    # A video without a label is of no class, so that it never comes where classes are drawn.
    assert rows == {(1, 0, 1), (0, 1, 0)} | (set() if balance else {(0, 0, 0)})


def test_starting_at_a_step_reads_no_file_that_only_earlier_steps_show(tmp_path):
    dataset = made_dataset(tmp_path, {f"v{number}": 1 for number in range(12)})
    stream = stream_of(dataset, Input("rgb"))
    for name in stream.names(0):
        dataset.layout.frame_path(tmp_path, dataset.videos[name], 0).unlink()

    batches = stream.batches(step=1)

    assert next(iter(batches))[0].shape == (6, 32, 32, 3)


@pytest.mark.parametrize("augment", ["flip", "corners"])
@pytest.mark.parametrize("balance", [False, True])
def test_a_batch_depends_on_seed_and_step_alone(textured, augment, balance):
    settings = {"seed": 3, "augment": augment, "balance": balance}
    straight = take(textured, Input("flow", 2), steps=6, **settings)
    again = take(textured, Input("flow", 2), steps=2, step=4, **settings)
    other = take(textured, Input("flow", 2), **settings | {"seed": 4})

    for (clips, labels), (expected_clips, expected_labels) in zip(again, straight[4:], strict=True):
        np.testing.assert_array_equal(clips, expected_clips)
        np.testing.assert_array_equal(labels, expected_labels)
    assert (straight[0][0] != other[0][0]).any()
    assert (straight[0][0] != straight[1][0]).any()


@contextlib.contextmanager
def one_processor():
    """As if the machine had no other, so that as few clips as possible are made at once."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="The system can't take processors from a process.")
@pytest.mark.parametrize(
    ("clip", "settings"),
    [
        (Input("flow", 2), {"augment": "corners"}),
        pytest.param(Input("rgb"), {"augment": "corners"}, marks=pytest.mark.slow),
        (Input("rgb"), {"augment": "paper"}),
        pytest.param(Input("rgb"), {"augment": "flip"}, marks=pytest.mark.slow),
        (Input("flow", 2), {"augment": "corners", "on_device": True}),
    ],
    ids=lambda case: "-".join(case) if isinstance(case, dict) else case.kind,
)
def test_a_batch_does_not_depend_on_how_many_clips_are_made_at_once(textured, clip, settings):
    def made(**others):
        batches = stream_of(textured, clip, **settings, **others).batches()
        return [tf.nest.map_structure(lambda values: values.numpy(), batch) for batch in batches.take(3)]

    many = made()
    with one_processor():
        few = made()
    # Where clips may be skipped, each is made by itself.
    single = few if "on_device" in settings else made(skipped=set())

    tf.nest.map_structure(np.testing.assert_array_equal, few, many)
    tf.nest.map_structure(np.testing.assert_array_equal, single, many)


def test_machines_that_share_a_batch_make_its_parts(textured):
    whole = take(textured, Input("flow", 2), steps=3)

    for shard in range(2):
        parts = take(textured, Input("flow", 2), steps=3, shard=(shard, 2))
        for (clips, labels), (all_clips, all_labels) in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(clips, all_clips[3 * shard : 3 * shard + 3])
            np.testing.assert_array_equal(labels, all_labels[3 * shard : 3 * shard + 3])


def test_a_batch_that_machines_cannot_share_is_refused(textured):
    with pytest.raises(ValueError, match="A batch of 10 can't be shared by 3 machines: pass a multiple"):
        stream_of(textured, Input("rgb"), batch_size=10).batches(shard=(0, 3))


def test_the_videos_of_a_batch_can_be_named_without_loading_it(tmp_path):
    dataset = made_dataset(tmp_path, {f"v{n}": 2 for n in range(3)})
    settings = {"batch_size": 4, "seed": 5}
    for step, (_, labels) in enumerate(take(dataset, Input("rgb"), steps=3, **settings)):
        names = stream_of(dataset, Input("rgb"), **settings).names(step)

        assert [dataset.videos[name].label for name in names] == list(labels)


def test_unprepared_videos_are_refused_with_the_command_that_prepares_them(numbered):
    unprepared = [dataclasses.replace(video, num_flows=0) for video in videos_of(numbered)]
    stream = dataclasses.replace(stream_of(numbered, Input("flow", 2), batch_size=2), videos=unprepared)

    with pytest.raises(ValueError, match=r"9 of 9 videos have no flow on disk, v0 among them. Run: ./run prepare"):
        stream.batches()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 0}, r"^batch_size must be at least 1\. Received 0\.$"),
        ({"crop_size": 0}, r"^crop_size must be at least 1\. Received 0\.$"),
        ({"augment": "both"}, r"no augmentation 'both'\. Those known are: none, flip, paper, corners"),
        ({"on_device": True, "skipped": set()}, "can be skipped only if the pipeline cuts, not the device"),
    ],
    ids=["batch", "crop", "augmentation", "skipping"],
)
def test_what_no_stream_can_be_of_is_refused_before_anything_is_read(numbered, settings, said):
    with pytest.raises(ValueError, match=said):
        stream_of(numbered, Input("rgb"), **settings)
