"""Networks: what goes in, what comes out, and that plain Keras opens what we save."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from data.catalog import DataSet
from data.optical_flow.levels import dequantise
from pipelines.inputs import Input
from spatial.model import spatial_network
from streams.config import TrainConfig
from streams.networks.backbones.cnn_m import local_response_normalisation
from streams.networks.backbones.table import BACKBONES
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from temporal.model import temporal_network

# Of networks for 224 x 224 RGB and 1000 classes: all that is trained, as torchvision and timm count it, or with the
# statistics of batch normalisation, as the table of keras.applications does. CNN-M's follows from its published layers.
TRAINED = {"cnn_m_2048": 92_469_864, "vgg16": 138_357_544, "resnet18": 11_689_512, "bn_inception": 11_295_240}
TRAINED |= {"convnext_tiny": 28_589_128}
ALL = {
    "resnet101": 44_707_176,
    "resnet152": 60_419_944,
    "efficientnet_v2_s": 21_612_360,
    "resnet50": 25_636_712,
    "inception_v3": 23_851_784,
    "xception": 22_910_480,
    "mobilenet_v2": 3_538_984,
    "efficientnet_v2_b0": 7_200_312,
}

# What anybody does with a saved network, in a process that has never seen this project.
OPEN_WITHOUT_US = """
import json, sys
import keras, numpy as np
for path in sys.argv[1:]:
    model = keras.saving.load_model(path, safe_mode=True)
    clips = np.load(path.replace(".keras", ".npy"))
    np.save(path.replace(".keras", ".logits.npy"), model(clips, training=False))
print(json.dumps("streams" in sys.modules))
"""


def test_local_response_normalisation_follows_its_formula() -> None:
    x = np.random.default_rng(0).normal(0, 60, (2, 3, 3, 9)).astype(np.float32)

    inputs = keras.Input((3, 3, 9))
    ours = keras.Model(inputs, local_response_normalisation(inputs))(x)

    expected = np.empty_like(x)
    for channel in range(9):
        neighbours = x[..., max(0, channel - 2) : channel + 3]
        expected[..., channel] = x[..., channel] / (2 + 1e-4 * (neighbours**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    np.testing.assert_allclose(ours, tf.nn.lrn(x, depth_radius=2, bias=2, alpha=1e-4, beta=0.75), rtol=1e-5)


def test_the_temporal_network_of_the_paper_normalises_once_and_the_spatial_one_twice() -> None:
    count = {}
    for family, channels in (("rgb", 3), ("flow", 20)):
        network = build_network("cnn_m_2048", Pixels(family, channels, 64), 5)
        count[family] = sum(type(operation).__name__ == "Power" for operation in network.operations)

    assert count == {"rgb": 2, "flow": 1}


@pytest.mark.parametrize("rule", ["centred", "classic", "truncated"])
def test_a_temporal_network_reads_levels_as_the_motion_they_stand_for(rule: str, tmp_path: Path) -> None:
    levels = np.arange(1, 256, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 2), np.uint8)
    (tmp_path / "flow.json").write_text(json.dumps({"method": "dis", **_flow(rule)}))
    network = temporal_network(TrainConfig(crop_size=16), Input("flow", 1), _dataset(tmp_path))

    motion = keras.Model(network.input, network.get_layer("motion").output)(levels)

    np.testing.assert_allclose(motion, dequantise(levels, 15.0, rule), atol=1e-5)


def test_a_moving_camera_changes_nothing_for_a_network_that_subtracts_the_mean() -> None:
    still = np.random.default_rng(0).integers(100, 150, (1, 32, 32, 4), dtype=np.uint8)
    panned = still + np.array([40, 0, 0, 60], np.uint8)

    difference = {}
    for subtract_mean in (True, False):
        keras.utils.set_random_seed(0)
        network = build_network("small", Pixels("flow", 4, 32, subtract_mean=subtract_mean), 5)
        difference[subtract_mean] = np.abs(network(panned) - network(still)).max()

    assert difference[True] < 1e-5
    assert difference[False] > 1e-3


def test_networks_of_the_same_scaling_see_the_published_range() -> None:
    grey = np.full((1, 75, 75, 3), 255, np.uint8)
    ranges = {
        name: float(np.max(_first_input(name)(grey))) for name in ("inception_v3", "efficientnet_v2_b0", "resnet50")
    }

    assert ranges["inception_v3"] == pytest.approx(1)
    assert ranges["efficientnet_v2_b0"] == pytest.approx((1 - 0.406) / 0.225, abs=1e-3)
    assert ranges["resnet50"] == pytest.approx(255 - 103.939)


def test_networks_with_weights_of_caffe_see_blue_first() -> None:
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 255

    seen = _first_input("vgg16", 32)(red)[0, 0, 0]

    np.testing.assert_allclose(seen, [-103.939, -116.779, 255 - 123.68], atol=1e-3)


def test_differences_of_equal_frames_are_nothing_to_see() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    network = spatial_network(TrainConfig(crop_size=32), Input("rgb_difference", 4), _dataset(Path()))

    first = next(layer for layer in network.layers if layer.weights)
    seen = keras.Model(network.input, first.input)(np.tile(frame, 5))

    assert seen.shape == (1, 32, 32, 12)
    np.testing.assert_array_equal(seen, np.zeros_like(seen))


def test_a_map_features_and_logits_are_found_by_name_in_every_network() -> None:
    for name in ("small", "resnet18", "cnn_m_2048_bn"):
        network = build_network(name, Pixels("rgb", 3, 64), 7)
        assert len(network.get_layer("map").output.shape) == 4
        assert len(network.get_layer("features").output.shape) == 2
        assert network.get_layer("logits").output.shape == (None, 7)


def test_what_cannot_be_built_is_refused_with_what_can() -> None:
    with pytest.raises(ValueError, match=r"no backbone 'vgg'.*vgg16"):
        build_network("vgg", Pixels("rgb", 3, 64), 5)
    with pytest.raises(ValueError, match=r"75 pixels or more.*Received 64.*--crop-size 75"):
        build_network("inception_v3", Pixels("rgb", 3, 64), 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TRAINED, *ALL])
def test_networks_have_as_many_parameters_as_were_published(name: str) -> None:
    network = build_network(name, Pixels("rgb", 3, 224), 1000)

    if name in TRAINED:
        assert sum(int(np.prod(variable.shape)) for variable in network.trainable_variables) == TRAINED[name]
    else:
        assert network.count_params() == ALL[name]


@pytest.mark.slow
def test_every_network_learns_and_is_opened_by_plain_keras_with_the_same_logits(tmp_path: Path) -> None:
    logits = {}
    for number, (name, parts) in enumerate(BACKBONES.items()):
        # Alternating, as each network takes seconds; what is particular to flow comes before and after all of them.
        pixels = Pixels(*(("flow", 20) if number % 2 else ("rgb", 3)), max(32, parts.smallest))
        if parts.in_time == "flow":  # It looks at nothing else.
            pixels = Pixels("flow", 20, 36, subtract_mean=False, num_frames=10)
        network = build_network(name, pixels, 3)
        clips = np.random.default_rng(0).integers(0, 256, (2, *network.input_shape[1:]), dtype=np.uint8)

        with tf.GradientTape() as tape:
            scores = network(clips, training=True)
            loss = keras.losses.sparse_categorical_crossentropy(np.array([0, 1]), scores, from_logits=True)
        gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
        assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients), name

        path = tmp_path / f"{name}.keras"
        network.save(path)
        np.save(path.with_suffix(".npy"), clips)
        logits[path] = network(clips, training=False)

    opened = subprocess.run(
        [sys.executable, "-c", OPEN_WITHOUT_US, *map(str, logits)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert json.loads(opened.stdout.splitlines()[-1]) is False
    for path, expected in logits.items():
        again = np.load(path.with_suffix(".logits.npy"))
        np.testing.assert_allclose(again, expected, rtol=1e-5, atol=1e-5, err_msg=path.name)


def _dataset(root: Path) -> DataSet:
    return DataSet("made", root, ("A", "B", "C"), {}, {})


def _flow(rule: str) -> dict[str, object]:
    return {"bound": 15.0, "rule": rule}


def _first_input(name: str, size: int = 75) -> keras.Model:
    network = build_network(name, Pixels("rgb", 3, size), 3)
    scaling = network.get_layer("scaling").output
    flipped = [operation for operation in network.operations if type(operation).__name__ == "Flip"]
    return keras.Model(network.input, flipped[0].output if flipped else scaling)
