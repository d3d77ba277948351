"""A last layer that is trained on features that were computed once."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.catalog import DataSet, Video
from pipelines.clip_stream import ClipStream
from pipelines.inputs import Input
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.training.kept_features import FeatureStream, cached_features, with_fresh_head

NAMES = ("first", "second", "third")
VIDEOS = {str(row): Video(str(row), "", "", (0,), "") for row in range(6)}
DATASET = DataSet("made", Path(), ("A",), VIDEOS, {})


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_network("small", Pixels("rgb", 3, 32), 4)


def test_features_are_computed_once_for_the_same_weights_and_videos(network: keras.Model, tmp_path: Path) -> None:
    views, computed = list(_views()), []

    def watched():
        for view in views:
            computed.append(view)
            yield view

    first, labels = cached_features(network, NAMES, lambda done: watched(), tmp_path / "features.h5")
    again, _ = cached_features(network, NAMES, lambda done: watched(), tmp_path / "features.h5")
    assert len(computed) == 3
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(labels, [2, 0, 1])

    cached_features(network, NAMES[::-1], lambda done: watched(), tmp_path / "features.h5")
    assert len(computed) == 6


def test_a_head_trained_apart_gives_the_whole_networks_logits(network: keras.Model, tmp_path: Path) -> None:
    features, _ = cached_features(network, NAMES, lambda done: _views(), tmp_path / "features.h5")

    head, whole = with_fresh_head(network)

    clips = np.stack([frames.numpy()[0, 4:36, 4:36] for frames, *_ in _views()])
    np.testing.assert_allclose(whole(clips), head(features[:, 0]), atol=1e-5)


def test_a_pass_draws_every_video_once_and_any_step_can_be_asked_for() -> None:
    features = np.arange(6, dtype=np.float32).repeat(2).reshape(6, 2, 1)

    steps = [_drawn(_stream(features), start_step) for start_step in (0, 3)]

    first, second = steps[0][0] + steps[0][1], steps[0][2] + steps[0][3]
    assert sorted(first) == sorted(second) == list(range(6))
    assert first != second
    assert steps[1][0] == steps[0][3]


def test_features_are_drawn_as_clips_are_so_that_it_is_known_of_which_videos() -> None:
    features = np.arange(6, dtype=np.float32).repeat(2).reshape(6, 2, 1)

    stream = _stream(features)

    for step, values in enumerate(_drawn(stream, 0)):
        assert [str(int(value)) for value in values] == list(stream.names(step)) == list(stream.clips.names(step))


def _stream(features: np.ndarray) -> FeatureStream:
    clips = ClipStream(DATASET, list(VIDEOS.values()), Input("rgb"), 3, 32, seed=7)
    return FeatureStream(clips, features, np.arange(6), None)


def _drawn(stream: FeatureStream, start_step: int) -> list[list[float]]:
    return [values[:, 0].numpy().tolist() for values, _ in stream.batches(start_step).take(4 - start_step)]


def _views():
    random = np.random.default_rng(0)
    for label in (2, 0, 1):
        yield tf.constant(random.integers(0, 256, (2, 40, 40, 3)), tf.uint8), tf.range(2), tf.constant(label)
