"""Weights of PyTorch networks: the same pixels give the same logits as in PyTorch."""

import json
import os
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

from streams.networks.backbones.inception import BN_INCEPTION
from streams.networks.backbones.table import Variant
from streams.networks.build import build_network
from streams.networks.preprocessing import Pixels
from streams.networks.start import pretrain
from streams.runs.model_file import origin_of_weights
from streams.weights.names import WITH_MEAN

# A Python with torch, torchvision and safetensors; the project's own has none of them.
TORCH_PYTHON = os.environ.get("TWO_STREAM_TORCH_PYTHON", "")
MAKER = Path(__file__).parents[1] / "makers" / "torch" / "networks.py"
SEGMENTS = 4
# By file: the backbone, the origin and, if it has shifts, the share of the channels.
CASES = {
    "resnet18.pth": ("resnet18", Variant("torch")),
    "resnet50.safetensors": ("resnet50", Variant("torch")),
    "vgg16.pt": ("vgg16", Variant("torch")),
    "mobilenet_v2.pth": ("mobilenet_v2", Variant("torch")),
    "convnext_tiny.pth": ("convnext_tiny", Variant("torch")),
    "bn_inception.pth": ("bn_inception", Variant("tsn")),
    "bn_inception_tsn_rgb.pth.tar": ("bn_inception", Variant("tsn")),
    "bn_inception_tsn_flow.pth.tar": ("bn_inception", Variant("tsn-flow")),
    "resnet152_bryanyzhu_rgb.pth.tar": ("resnet152", Variant("torch")),
    "resnet152_bryanyzhu_flow.pth.tar": ("resnet152", Variant("torch-flow")),
    "vgg16_bryanyzhu_rgb.pth.tar": ("vgg16", Variant("torch")),
    "vgg16_bryanyzhu_flow.pth.tar": ("vgg16", Variant("torch-flow")),
    "resnet101_jeffreyyihuang_rgb.pth.tar": ("resnet101", Variant("torch")),
    "resnet101_jeffreyyihuang_flow.pth.tar": ("resnet101", Variant("unit-flow")),
    "resnet50_tsm_rgb.pth": ("resnet50", Variant("torch", 0.125)),
    "resnet50_tsm_flow.pth": ("resnet50", Variant("torch-flow", 0.125)),
}


@pytest.mark.slow
@pytest.mark.skipif(not TORCH_PYTHON, reason="TWO_STREAM_TORCH_PYTHON names no Python with torch")
@pytest.mark.parametrize("file", CASES)
def test_the_same_pixels_give_the_same_logits_as_in_pytorch(file: str, tmp_path: Path) -> None:
    command = [TORCH_PYTHON, str(MAKER), str(tmp_path), file]
    subprocess.run(command, input=json.dumps(BN_INCEPTION), text=True, check=True)
    there, path, (backbone, variant) = np.load(tmp_path / f"{file}.npz"), str(tmp_path / file), CASES[file]
    family, frames = ("flow" if variant.origin in WITH_MEAN else "rgb"), (SEGMENTS if variant.shift else 0)
    pixels = Pixels(family, there["pixels"].shape[-1], 224, subtract_mean=False, num_frames=frames)
    network = build_network(backbone, pixels, there["logits"].shape[-1], variant=variant)

    pretrain(network, backbone, path, keep_head=True)

    network.save(tmp_path / "model.keras")
    opened = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    logits = opened(there["pixels"], training=False).numpy()
    difference, size = np.abs(logits - there["logits"]).max(), np.abs(there["logits"]).max()
    print(f"{file}: {difference:.1e} where the largest logit is {size:.1f}")
    assert origin_of_weights(path) == variant.origin
    assert size > 0.1
    assert difference < 1e-4
