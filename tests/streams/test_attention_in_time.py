"""A wide look in time: stacks of flow from all over a video through one network, joined by attention."""

import keras
import numpy as np
import pytest

from fusion.evaluate import main as evaluate
from pipelines.inputs import STACK
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.runs.model_file import read_card
from temporal.train import main as train_temporal
from tests.makers.commands import ucf101

COUNT = 3
WIDE = Pixels("flow", 2 * COUNT * STACK, 32, num_frames=COUNT)
RGB = Pixels("rgb", 3 * COUNT, 32, num_frames=COUNT)


@pytest.fixture(scope="module")
def wide():
    keras.utils.set_random_seed(0)
    return build_network("small", WIDE, 4, dropout=0.0)


def test_one_network_is_shared_by_all_stacks(wide):
    single = build_network("small", Pixels("flow", 2 * STACK, 32), 4)

    kernels = [[each.shape for each in network.weights if len(each.shape) == 4] for network in (wide, single)]

    assert kernels[0] == kernels[1]
    assert {layer.name for layer in wide.layers} >= {"features", "dropout", "logits"}
    assert wide.input_shape == (None, 32, 32, 2 * COUNT * STACK)


def test_every_stack_counts_and_once_times_are_learnt_so_does_their_order(wide):
    clip = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 2 * COUNT * STACK), dtype=np.uint8)
    turned = np.concatenate(np.split(clip, COUNT, axis=-1)[::-1], axis=-1)

    np.testing.assert_allclose(wide(clip), wide(turned), atol=1e-4)
    wide.get_layer("moments").bias.assign(np.random.default_rng(1).normal(size=(COUNT, 256)))
    assert np.abs(wide(clip) - wide(turned)).max() > 1e-2
    for number in range(COUNT):
        changed = clip.copy()
        changed[..., 2 * STACK * number] += 60
        assert np.abs(wide(clip) - wide(changed)).max() > 1e-3


@pytest.mark.parametrize(("backbone", "pixels"), [("motion", RGB), ("motion", WIDE), ("vgg16", WIDE)])
def test_networks_that_take_no_other_clips_say_so(backbone, pixels):
    with pytest.raises(ValueError, match="takes only flow that is spread over a video"):
        build_network(backbone, pixels, 4)


def test_it_is_trained_and_evaluated_as_any_other(roots, tmp_path):
    train_temporal(ucf101(roots, tmp_path, "--input", "flow_stacks", "--length", "2", "--crop-on", "host"))
    model = tmp_path / "ucf101" / "temporal" / "split1" / "model.keras"

    place = ["--dataset", "ucf101", "--root", str(roots["ucf101"]), "--runs", str(tmp_path)]
    evaluate([*place, "--stream", "temporal", "--views", "1", "--json", str(tmp_path / "found.json")])

    assert read_card(model).input_kind == "flow_stacks"
    assert (tmp_path / "found.json").exists()
