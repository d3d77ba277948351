"""Temporal shift: what moves where, in which networks, and that plain Keras opens them."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from streams.config import TrainConfig
from streams.networks.backbones.table import Variant
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.networks.shift import first_layers, shifted
from streams.networks.start import pretrain, weighted_layers
from temporal.train import TemporalConfig
from tests.makers.torch.files import resnet_arrays, write_torch

FRAMES = 3
PIXELS = Pixels("rgb", 3 * FRAMES, 32, num_frames=FRAMES)


def test_channels_move_from_the_next_frame_and_from_the_last_and_the_others_stay() -> None:
    inputs = keras.Input((1, 1, 8))
    frames = np.arange(2 * FRAMES, dtype=np.float32)[:, None, None, None] * 10 + np.arange(8)

    moved = keras.Model(inputs, shifted(inputs, 1 / 4, FRAMES))(frames).numpy()[:, 0, 0]

    # Two clips of three frames; the number of the frame is the ten, that of the channel the one.
    np.testing.assert_array_equal(moved[:, :2], [[10, 11], [20, 21], [0, 0], [40, 41], [50, 51], [0, 0]])
    np.testing.assert_array_equal(moved[:, 2:4], [[0, 0], [2, 3], [12, 13], [0, 0], [32, 33], [42, 43]])
    np.testing.assert_array_equal(moved[:, 4:], frames[:, 0, 0, 4:])


@pytest.mark.parametrize(("backbone", "blocks"), [("resnet18", 8), ("mobilenet_v2", 10)])
def test_every_residual_branch_is_found_once(backbone: str, blocks: int) -> None:
    network = build_network(backbone, Pixels("rgb", 3, 32), 4)

    found = first_layers(network)

    assert len(found) == blocks
    assert not any("shortcut" in name or "project" in name for name in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "blocks"),
    [("resnet50", 16), ("xception", 12), ("convnext_tiny", 18), ("efficientnet_v2_b0", 15), ("efficientnet_v2_s", 35)],
)
def test_residual_branches_of_larger_networks_are_found(backbone: str, blocks: int) -> None:
    network = build_network(backbone, Pixels("rgb", 3, 75), 4)

    assert len(first_layers(network)) == blocks


def test_the_order_of_frames_counts_with_shifts_and_not_without(tmp_path: Path) -> None:
    clips = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3 * FRAMES), np.uint8)
    backwards = clips.reshape(2, 32, 32, FRAMES, 3)[..., ::-1, :].reshape(clips.shape)
    network = build_network("resnet18", PIXELS, 4, variant=Variant(shift=1 / 8))
    network.save(tmp_path / "model.keras")

    opened = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)

    logits = opened(clips, training=False).numpy()
    np.testing.assert_allclose(logits, network(clips, training=False), atol=1e-5)
    assert np.abs(logits - opened(backwards, training=False)).max() > 1e-3
    single = build_network("resnet18", Pixels("rgb", 3, 32), 4)
    single.set_weights(opened.get_weights())
    frames = clips.reshape(2, 32, 32, FRAMES, 3).transpose(0, 3, 1, 2, 4).reshape(-1, 32, 32, 3)
    mean = single(frames, training=False).numpy().reshape(2, FRAMES, -1).mean(axis=1)
    assert np.abs(logits - mean).max() > 1e-3


def test_weights_of_single_frames_fit_unchanged(tmp_path: Path) -> None:
    source = build_network("resnet18", Pixels("rgb", 3, 32), 4)
    source.save(tmp_path / "single.keras")
    network = build_network("resnet18", PIXELS, 4, variant=Variant(shift=1 / 8))

    said = pretrain(network, "resnet18", str(tmp_path / "single.keras"))

    assert said.endswith("random: logits.")
    assert "averaged" not in said
    for ours, theirs in zip(weighted_layers(network)[:-1], weighted_layers(source)[:-1], strict=True):
        for weight, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_weights_of_a_network_with_shifts_are_refused_for_one_without_and_the_other_way_round(tmp_path: Path) -> None:
    arrays = resnet_arrays(18)
    first = "layer1.0.conv1.weight"
    some = {name.replace(first, "layer1.0.conv1.net.weight"): array for name, array in arrays.items()}
    every = {re.sub(r"(layer.*conv1)\.", r"\1.net.", name): array for name, array in arrays.items()}
    paths = [str(write_torch(tmp_path / f"{number}.pth", each)) for number, each in enumerate((some, every))]
    plain = build_network("resnet18", Pixels("rgb", 3, 32), 4, variant=Variant("torch"))
    shifting = build_network("resnet18", PIXELS, 4, variant=Variant("torch", 1 / 8))

    with pytest.raises(ValueError, match=r"with temporal shift\. Pass --shift 0\.125"):
        pretrain(plain, "resnet18", paths[1])
    with pytest.raises(ValueError, match=r"only in some blocks, not before layer1\.1\.conv1\.weight"):
        pretrain(shifting, "resnet18", paths[0])
    assert pretrain(shifting, "resnet18", paths[1]).endswith("random: logits.")


def test_stacks_of_flow_are_shifted_too() -> None:
    pixels = Pixels("flow", 10 * FRAMES, 32, num_frames=FRAMES)

    network = build_network("resnet18", pixels, 4, variant=Variant(shift=1 / 8))

    assert network.input_shape == (None, 32, 32, 10 * FRAMES)
    assert weighted_layers(network)[0].kernel.shape == (7, 7, 10, 64)
    assert network.get_layer("features").output.shape == (None, 512)


@pytest.mark.parametrize(("backbone", "pixels"), [("small", PIXELS), ("resnet18", Pixels("rgb", 3, 32))])
def test_shifts_are_refused_where_there_is_nothing_to_shift(backbone: str, pixels: Pixels) -> None:
    with pytest.raises(ValueError, match=r"has no residual blocks|between frames or stacks of one video"):
        build_network(backbone, pixels, 4, variant=Variant(shift=1 / 8))


def test_shifts_are_refused_by_options_before_anything_is_built() -> None:
    with pytest.raises(ValueError, match=r"--shift 0\.125 moves channels .*rgb_spread"):
        TrainConfig(shift=0.125)
    with pytest.raises(ValueError, match=r"--shift is 0\.7; it must be from 0 to 0\.5"):
        TemporalConfig(shift=0.7, input="flow_stacks")
    assert TemporalConfig(shift=0.125, input="flow_stacks").shift == 0.125
