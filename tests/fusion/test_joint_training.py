"""Both streams trained as one network, from pairs of frames and flow."""

import json

import keras
import numpy as np
import pytest

from fusion.evaluate import main as evaluate
from fusion.joint.config import JointConfig
from fusion.joint.pairs import PairStream
from fusion.train import main as train_both
from pipelines.inputs import Input
from spatial.train import main as train_spatial
from streams.runs.model_file import read_card
from streams.training.stage import clips_of
from temporal.train import main as train_temporal
from tests.makers.commands import make_data, words_for
from tests.makers.frames import frame_level, made_dataset, x_level

FIELDS = 3


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("ucf101"), "ucf101")


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    """Both streams, trained each by itself."""
    folder = tmp_path_factory.mktemp("runs")
    train_spatial(words(root, folder))
    train_temporal(words(root, folder, "--length", "2"))
    return folder


def words(root, runs, *others):
    return words_for(root, "ucf101", runs, "--validation", "0.5", *others)


def place_of(runs, stream):
    return runs / "ucf101" / stream / "split1"


def first_kernel(network):
    return next(layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)).get_weights()[0]


def pairs_of(dataset, flow, **options):
    """The stream of pairs of all videos, which are held out, too."""
    config, videos = JointConfig(crop_size=32, **options), tuple(dataset.videos.values())
    return PairStream(*(clips_of(config, dataset, clip, videos, videos) for clip in (Input("rgb"), flow)))


def test_a_frame_lies_within_the_flow_of_its_pair(tmp_path):
    dataset = made_dataset(tmp_path, dict.fromkeys("abcdef", 14))

    batches = pairs_of(dataset, Input("flow", FIELDS), batch_size=6, augment="none").batches()

    for clips, _ in batches.take(20):
        frames = [round((level - frame_level(0)) / 8) for level in clips["rgb"].numpy()[:, 0, 0, 0].astype(int)]
        fields = [round((level - x_level(0)) / 4) for level in clips["flow"].numpy()[:, 0, 0, 0].astype(int)]
        assert all(field <= frame <= field + FIELDS for frame, field in zip(frames, fields, strict=True))


def test_both_parts_of_a_pair_are_mirrored_together(tmp_path):
    def ramp(index):
        return np.tile(np.arange(48, dtype=np.uint8) * 4, (40, 1))

    dataset = made_dataset(tmp_path, dict.fromkeys("abcdef", 8), frame=ramp, y=ramp)

    clips, _ = next(iter(pairs_of(dataset, Input("flow", 1), batch_size=6, augment="flip").batches()))

    frames, flow = clips["rgb"].numpy()[..., 0].astype(int), clips["flow"].numpy()[..., 1].astype(int)
    np.testing.assert_allclose(frames, flow, atol=4)
    assert len({np.sign(row[-1] - row[0]) for row in frames[:, 0]}) == 2


def test_labels_and_order_are_those_of_both_streams(tmp_path):
    dataset = made_dataset(tmp_path, dict.fromkeys("abcde", 8))

    pairs = pairs_of(dataset, Input("flow", 2), batch_size=4).validation()

    labels = np.concatenate([label.numpy() for _, label in pairs])
    assert labels.tolist() == np.repeat([0, 1, 2, 0, 1], 3).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["average", "logits", "weighted", "concat", "conv"])
def test_saved_streams_are_trained_on_end_to_end_and_evaluated(root, runs, fusion, tmp_path):
    streams = [f"--{name}={place_of(runs, name) / 'model.keras'}" for name in ("spatial", "temporal")]

    train_both(words(root, tmp_path, "--fusion", fusion, "--length", "2", *streams))

    run = place_of(tmp_path, "two_stream")
    card, network = read_card(run / "model.keras"), keras.saving.load_model(run / "model.keras", safe_mode=True)
    assert (card.stream, card.input_kind, card.selection) == ("two_stream", "rgb+flow", "validation")
    assert {each.name for each in network.inputs} == {"rgb", "flow"}
    for name in ("spatial", "temporal"):
        alone = keras.saving.load_model(place_of(runs, name) / "model.keras")
        before, after = (first_kernel(each) for each in (alone, network.get_layer(name)))
        assert not np.array_equal(before, after)
    found, command = tmp_path / "report.json", ["--dataset", "ucf101", "--root", str(root), "--runs", str(tmp_path)]
    evaluate([*command, *streams, "--views", "2", "--method", "conv", "--json", str(found)])
    assert "conv" in json.loads(found.read_text())["video_accuracy"]


def test_fresh_streams_are_trained_together(root, tmp_path, capsys):
    fresh = ["--spatial", "fresh", "--temporal", "fresh", "--length", "2", "--accumulate", "2"]

    train_both(words(root, tmp_path, *fresh))

    assert (place_of(tmp_path, "two_stream") / "model.keras").is_file()
    assert "First batch of flow" in capsys.readouterr().out


def test_streams_that_are_missing_or_of_another_training_are_refused(root, runs, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no spatial model .*--spatial fresh"):
        train_both(words(root, tmp_path, "--length", "2"))
    with pytest.raises(ValueError, match=r"model\.keras has length 2, but this training has 4"):
        train_both(words(root, runs, "--length", "4"))
