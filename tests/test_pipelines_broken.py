import re
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import tensorflow as tf

from pipelines.clips import explain_failure, train_batches
from pipelines.drawing import Drawing
from pipelines.inputs import Input
from tests.made_frames import frame_level, made_dataset

SETTINGS = {"batch_size": 6, "seed": 0}


@pytest.fixture
def dataset(tmp_path):
    """Six videos of three frames."""
    return made_dataset(tmp_path, {f"v{number}": 3 for number in range(6)})


def batches(dataset, steps, skipped=None):
    drawn = train_batches(
        dataset, list(dataset.videos.values()), Input("rgb"), crop_size=32, drawing=Drawing(skipped=skipped), **SETTINGS
    )
    return [(clips.numpy(), labels.numpy()) for clips, labels in islice(drawn, steps)]


def damage(dataset, name, how):
    """Does the same to all frames of a video; returns their folder."""
    for index in range(3):
        how(dataset.layout.frame_path(dataset.root, dataset.videos[name], index))
    return dataset.layout.frame_path(dataset.root, dataset.videos[name], 0).parent


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "can't be decoded"),
        (lambda path: path.write_bytes(b""), "can't be decoded"),
    ],
)
def test_a_file_that_stops_training_is_named_with_the_command_that_repairs_it(dataset, how, reason):
    folder = damage(dataset, "v2", how)

    with pytest.raises(tf.errors.OpError):
        batches(dataset, 1)
    message = explain_failure(dataset, list(dataset.videos.values()), Input("rgb"), step=0, **SETTINGS)

    assert message.startswith(str(folder))
    assert reason in message
    assert re.search(r"python data/doctor\.py made --root .* --fix", message)


def test_nothing_is_blamed_where_all_files_can_be_read(dataset):
    assert explain_failure(dataset, list(dataset.videos.values()), Input("rgb"), step=0, **SETTINGS) == ""


def test_skipped_clips_are_counted_and_the_others_stay_as_they_are(dataset):
    whole = batches(dataset, 3)
    damage(dataset, "v2", lambda path: path.unlink())
    skipped = Counter()

    found = batches(dataset, 3, skipped)

    assert skipped["v2"] >= 3
    assert set(skipped) == {"v2"}
    for (clips, labels), (expected_clips, expected_labels) in zip(found, whole, strict=True):
        same = (clips == expected_clips).all(axis=(1, 2, 3)) & (labels == expected_labels)
        assert same.sum() >= 5
        assert np.isin(clips[:, 0, 0, 0], [frame_level(index) for index in range(3)]).all()


def test_a_batch_without_any_clip_that_can_be_read_is_an_error(dataset):
    for name in dataset.videos:
        damage(dataset, name, lambda path: path.unlink())

    with pytest.raises(tf.errors.InvalidArgumentError, match="No clip of this batch can be read"):
        batches(dataset, 1, Counter())
