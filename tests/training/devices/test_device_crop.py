from itertools import islice

import cv2
import numpy as np
import pytest

from data.store.index import index_path, write_index
from fusion.joint.config import JointConfig
from pipelines.inputs import Input
from spatial import train as spatial
from streams.runs.model_file import card_of
from streams.runs.run_folder import Run
from streams.training.stage import clips_of
from temporal import train as temporal
from tests.makers.frames import HEIGHT, WIDTH, made_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Frames and flow that look different everywhere."""
    generator = np.random.default_rng(0)

    def blurred(index):
        small = generator.integers(40, 216, (HEIGHT // 8, WIDTH // 8), np.uint8)
        return cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)

    root, counts = tmp_path_factory.mktemp("made"), {f"v{number}": 8 for number in range(9)}
    (root / "flow.json").write_text('{"method": "unknown", "bound": 20.0, "rule": "centred"}')
    write_index(index_path(root), [])
    return made_dataset(root, counts, frame=blurred, x=blurred, y=blurred)


def config_of(stream, **options):
    options = {"protocol": "paper", "epochs": 1, "batch_size": 4, "crop_size": 32, **options}
    if stream is temporal:
        return temporal.TemporalConfig(length=3, **options)
    return spatial.SpatialConfig(weights="none", **options)


@pytest.mark.parametrize("stream", [spatial, temporal])
@pytest.mark.parametrize("augment", ["flip", "corners", "multi-scale"])
def test_clips_cut_on_the_device_are_those_cut_on_the_host(dataset, stream, augment):
    found = []
    for place in ("host", "device"):
        config = config_of(stream, augment=augment, crop_on=place)
        stream_of_clips = clips_of(config, dataset, Input(config.input, config.length), list(dataset.videos.values()))
        batches = islice(stream_of_clips.batches(), 3)
        found.append(np.stack([np.asarray(stream_of_clips.cut(*batch)[0], int) for batch in batches]))

    difference = np.abs(found[0] - found[1])
    assert difference.max() <= 2
    assert difference.mean() < 0.5


def test_a_network_is_trained_on_clips_that_are_cut_on_the_device(dataset, tmp_path):
    from streams.training.stage import Learner, building, strategy_for, train_stage
    from temporal.model import temporal_network

    config = config_of(temporal, crop_on="device", accumulate=2)
    clip = Input("flow", 3)
    with building(config, strategy_for(config)):
        network = temporal_network(config, clip, dataset)

    clips = clips_of(config, dataset, clip, list(dataset.videos.values()))
    train_stage(Learner(network, card_of("temporal", config, dataset, clip)), clips, config, Run(tmp_path))

    assert Run(tmp_path).model.exists()


@pytest.mark.parametrize("other", [{"train": "last-layer", "augment": "none"}, {"and_dataset": "hmdb51"}])
def test_what_is_not_clips_of_one_data_set_is_not_cut_on_the_device(other):
    with pytest.raises(ValueError, match="--crop-on device cuts the clips of one data set"):
        temporal.TemporalConfig(crop_on="device", **other)


def test_pairs_are_not_cut_on_the_device():
    with pytest.raises(ValueError, match="--crop-on device cuts the clips of one data set and one stream"):
        JointConfig(crop_on="device")
