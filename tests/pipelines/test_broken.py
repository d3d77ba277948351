import dataclasses
import re
import shlex
from itertools import islice

import numpy as np
import pytest
import tensorflow as tf

from data import doctor
from data.catalog import Layout
from data.ready import ready_dataset
from pipelines.inputs import Input
from pipelines.skipping import IN_VALIDATION
from pipelines.unreadable import readable_views
from tests.makers.batches import stream_of, take, videos_of
from tests.makers.data import claim, sound_data
from tests.makers.frames import HEIGHT, WIDTH, made_dataset


@pytest.fixture
def dataset(tmp_path):
    """Six videos of three frames of noise."""
    return made_dataset(tmp_path, {f"v{number}": 3 for number in range(6)}, frame=noise)


def noise(index):
    """A frame of noise, the data of whose JPEG is much longer than its header."""
    return np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH), np.uint8)


def cut_off(path):
    """Takes the last third of a file, in the middle of its data."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def damage(dataset, name, how, count=3):
    """Does the same to all frames of a video; returns their folder."""
    for index in range(count):
        how(dataset.layout.frame_path(dataset.root, dataset.videos[name], index))
    return dataset.layout.frame_path(dataset.root, dataset.videos[name], 0).parent


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "can't be decoded"),
        (cut_off, "can't be decoded"),
        (lambda path: path.write_bytes(b""), "can't be decoded"),
        (lambda path: claim(path, 65_500, 65_500), "says that it has more than 50 megapixels"),
    ],
)
def test_a_file_that_stops_training_is_named_with_the_command_that_repairs_it(dataset, how, reason):
    folder = damage(dataset, "v2", how)

    with pytest.raises(tf.errors.OpError):
        take(dataset, Input("rgb"))
    message = stream_of(dataset, Input("rgb")).broken(0)

    assert message.startswith(str(folder))
    assert reason in message
    assert re.search(r"\./run doctor made --root .* --full --fix", message)


def test_the_command_that_a_message_names_repairs_a_file_in_the_middle_of_a_video(tmp_path):
    dataset = ready_dataset("mine", sound_data(tmp_path / "mine"))
    for path in dataset.root.rglob("img_00003.jpg"):
        path.write_bytes(path.read_bytes()[:-200])
    stream = stream_of(dataset, Input("grey", 5), batch_size=4, held_out=videos_of(dataset))

    message = stream.broken(0)
    command = shlex.split(message.split("Run: ")[1])
    assert command[:2] == ["./run", "doctor"]
    doctor.main(command[2:])

    assert stream.broken(0) == ""
    assert next(iter(stream.batches()))[0].shape == (4, 32, 32, 5)


def test_who_has_frames_of_another_tool_is_sent_to_that_tool(tmp_path):
    theirs = Layout("theirs", frame="{folder}/{video}/frame{number}.jpg")
    dataset = made_dataset(tmp_path, {"v": 1}, layout=theirs)
    damage(dataset, "v", lambda path: path.write_bytes(b""), count=1)

    message = stream_of(dataset, Input("rgb"), batch_size=1).broken(0)

    assert message.endswith("Extract these again with the tool that made them.")


def test_nothing_is_blamed_where_all_files_can_be_read(dataset):
    assert stream_of(dataset, Input("rgb")).broken(0) == ""


def test_skipped_clips_are_counted_and_the_others_stay_as_they_are(dataset):
    whole = take(dataset, Input("rgb"), 3)
    damage(dataset, "v2", lambda path: path.unlink())
    skipped = set()

    found = take(dataset, Input("rgb"), 3, skipped=skipped)

    assert {video for video, *_ in skipped} == {"v2"}
    assert {step for _, step, _ in skipped} >= {0, 1, 2}
    for (clips, labels), (expected_clips, expected_labels) in zip(found, whole, strict=True):
        same = (clips == expected_clips).all(axis=(1, 2, 3)) & (labels == expected_labels)
        assert same.sum() >= 5
        assert all(any((clip == whole).all() for whole in expected_clips) for clip in clips)


def test_a_clip_that_is_made_twice_counts_once(dataset):
    damage(dataset, "v2", lambda path: path.unlink())
    skipped = set()

    take(dataset, Input("rgb"), 2, skipped=skipped)
    take(dataset, Input("rgb"), 1, step=1, skipped=skipped)

    assert [step for _, step, _ in sorted(skipped)] == list(range(len(skipped)))


def test_clips_that_cannot_be_read_are_left_out_of_validation_and_counted_once(dataset):
    damage(dataset, "v2", cut_off)
    skipped = set()
    stream = stream_of(dataset, Input("rgb"), batch_size=4, held_out=videos_of(dataset), skipped=skipped)
    chosen = stream.validation(num_views=3)

    labels = [np.concatenate([labels for _, labels in chosen]) for _ in range(2)]

    np.testing.assert_array_equal(labels, [np.repeat([0, 1, 0, 1, 2], 3)] * 2)
    assert skipped == {("v2", IN_VALIDATION, place) for place in (6, 7, 8)}


@pytest.mark.parametrize(("clip", "last"), [(Input("rgb"), 2), (Input("rgb", segments=2), 1), (Input("flow", 1), 1)])
def test_a_file_that_stops_validation_is_named(dataset, clip, last):
    videos, layout = videos_of(dataset), dataset.layout
    stream = dataclasses.replace(stream_of(dataset, clip, batch_size=1, held_out=videos), videos=videos[:1])
    path = layout.flow_paths(dataset.root, videos[5], last)[1] if clip.is_flow else None
    path = path or layout.frame_path(dataset.root, videos[5], last)
    path.write_bytes(path.read_bytes()[:-200])

    with pytest.raises(tf.errors.OpError):
        list(stream.validation())
    message = stream.broken(0)

    assert message.startswith(f"{path} can't be decoded")


def test_a_file_that_stops_test_views_is_named(dataset):
    damage(dataset, "v2", cut_off)
    views = readable_views(dataset, videos_of(dataset), Input("rgb"), num_views=2)

    assert [int(label) for _, _, label in islice(views, 2)] == [0, 1]
    with pytest.raises(ValueError, match=r"A view of v2 can't be read: .*v2/img_00001.jpg can't be decoded.*doctor"):
        next(views)


def test_a_batch_without_any_clip_that_can_be_read_is_an_error(dataset):
    for name in dataset.videos:
        damage(dataset, name, lambda path: path.unlink())

    with pytest.raises(tf.errors.InvalidArgumentError, match="No clip of this batch can be read"):
        take(dataset, Input("rgb"), skipped=set())
