"""Clips of a data set whose index is a table: the same as of the same videos in memory."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from data.ready import ready_dataset
from data.sets.folders import keep_list
from data.store.description import Recipe
from data.store.index import Row
from data.store.mapped_index import VideoRows
from data.store.mapped_writer import TABLE, keep_index
from data.store.whole_folder import begin_storing, end_storing, pack_video
from pipelines import sampling
from pipelines.clip_stream import ClipStream
from pipelines.clips import video_views
from pipelines.inputs import Input
from streams.command import hash_of_data
from tests.makers.frames import HEIGHT, WIDTH, made_dataset


def in_both_forms(root, **options):
    """A data set with everything in memory, and the same one with a table for an index."""
    dataset = made_dataset(root, {f"v{number}": 8 + number % 4 for number in range(9)}, **options)
    if not dataset.multi_label:
        keep_list(dataset)
    rows = [
        Row(each.name, each.folder, each.num_frames, each.num_flows, WIDTH, HEIGHT) for each in dataset.videos.values()
    ]
    Recipe().keep(root)
    keep_index(dataset, rows, TABLE)
    return dataset, dataclasses.replace(ready_dataset("folder", root), name=dataset.name)


def assert_same_batches(one, other, steps=3):
    for first, second in zip(one.batches(2).take(steps), other.batches(2).take(steps), strict=True):
        for here, there in zip(first, second, strict=True):
            np.testing.assert_array_equal(here, there)
    for first, second in zip(one.validation(), other.validation(), strict=True):
        for here, there in zip(first, second, strict=True):
            np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize(
    ("clip", "options"),
    [
        (Input("flow", 3), {}),
        (Input("rgb"), {"balance": True}),
        (Input("rgb", segments=2), {"skipped": set()}),
        (Input("flow_spread", 4), {}),
    ],
    ids=["flow", "balanced", "segments-skipping", "spread"],
)
def test_batches_and_validation_are_those_of_videos_in_memory(tmp_path, clip, options):
    forms = in_both_forms(tmp_path)

    one, other = (
        ClipStream(each, each.part(1, "train"), clip, 4, 32, seed=5, held_out=each.part(1, "train")[3:7], **options)
        for each in forms
    )

    assert isinstance(other.videos, VideoRows)
    assert_same_batches(one, other)
    assert one.names(4) == other.names(4)


def test_videos_of_several_labels_and_their_views_are_the_same(tmp_path):
    dataset, mapped = in_both_forms(tmp_path, labels=lambda number: (0, 2) if number % 2 else (1,), multi_label=True)

    one, other = (ClipStream(each, each.part(1, "train"), Input(), 4, 32, held_out=()) for each in (dataset, mapped))

    np.testing.assert_array_equal(next(iter(one.batches()))[1], next(iter(other.batches()))[1])
    views = [video_views(each, each.part(1, "train"), Input(), num_views=4) for each in (dataset, mapped)]
    for (images, label), (others, same) in zip(*views, strict=True):
        np.testing.assert_array_equal(images, others)
        np.testing.assert_array_equal(label, same)


def test_a_packed_data_set_is_read_from_its_archives(tmp_path):
    dataset, _ = in_both_forms(tmp_path)
    before = ClipStream(dataset, dataset.part(1, "train"), Input("flow", 3), 4, 32)
    expected = [batch[0].numpy() for batch in before.batches().take(2)]
    begin_storing(tmp_path, "made", packed=True)
    for video in dataset.videos.values():
        pack_video(dataset, video)
    end_storing(tmp_path, (dataset.frame_folder(video) for video in dataset.videos.values()))

    mapped = ready_dataset("folder", tmp_path)
    packed = ClipStream(mapped, mapped.part(1, "train"), Input("flow", 3), 4, 32)

    assert packed.source.is_packed
    np.testing.assert_array_equal([batch[0] for batch in packed.batches().take(2)], expected)


def test_the_hash_of_data_tells_lists_and_preparations_apart(tmp_path):
    dataset, mapped = in_both_forms(tmp_path / "one")
    _, longer = in_both_forms(tmp_path / "two", labels=lambda number: ((number + 1) % 3,))
    clip = Input("rgb")

    found = [
        hash_of_data(clip, (each, [videos]))
        for each, videos in (
            (mapped, mapped.part(1, "train")),
            (mapped, mapped.part(1, "train")[1:]),
            (longer, longer.part(1, "train")),
        )
    ]

    assert len(set(found)) == 3
    again = ready_dataset("folder", dataset.root)
    assert hash_of_data(clip, (dataclasses.replace(again, name="made"), [again.part(1, "train")])) == found[0]


@pytest.mark.parametrize("count", [1, 2, 3, 1000, 4096, 100_003])
@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_each_pass_is_a_permutation_of_its_own(count, seed):
    draw = sampling.draw_rows(range(count), count, seed)

    passes = [draw(tf.constant(step, tf.int64)).numpy() for step in range(3)]

    for each in passes:
        np.testing.assert_array_equal(np.sort(each), np.arange(count))
    if count > 10:
        assert (passes[0] == passes[1]).mean() < 0.01 and (passes[1] == passes[2]).mean() < 0.01


def test_a_place_among_a_hundred_million_is_found_without_a_list():
    count, batch = 100_000_000, 4096
    draw = sampling.draw_rows(range(count), batch, 7)

    steps = [0, 1, 12_207, 24_413]  # All of the first pass.
    rows = np.concatenate([draw(tf.constant(step, tf.int64)).numpy() for step in steps])

    assert rows.min() >= 0 and rows.max() < count
    assert len(np.unique(rows)) == len(rows)
    # Evenly spread: of 16,384 rows, each sixteenth of the list has about 1,024.
    assert abs(np.bincount(rows // (count // 16), minlength=16) - 1024).max() < 200
    np.testing.assert_array_equal(draw(tf.constant(1, tf.int64)), rows[batch : 2 * batch])
