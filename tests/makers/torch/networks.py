"""Makes networks of PyTorch with random weights, for test_torch_weights.py: files of them, pixels, and their logits.

It runs in a Python that has torch, torchvision and safetensors, and imports nothing of this project:
python networks.py FOLDER < bn_inception.json
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

CLASSES = 7
IMAGENET = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
SEGMENTS = 4


class BNInception(nn.Module):
    """BN-Inception with the names that its published files have, from the numbers of each block."""

    def __init__(self, blocks: list, channels: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.add("conv1_7x7_s2", channels, 64, 7)
        self.add("conv2_3x3_reduce", 64, 64, 1)
        self.add("conv2_3x3", 64, 192, 3)
        width = 192
        for name, single, triple, double, _, projection in blocks:
            name = f"inception_{name}"
            if single:
                self.add(f"{name}_1x1", width, single, 1)
            self.add(f"{name}_3x3_reduce", width, triple[0], 1)
            self.add(f"{name}_3x3", triple[0], triple[1], 3)
            self.add(f"{name}_double_3x3_reduce", width, double[0], 1)
            self.add(f"{name}_double_3x3_1", double[0], double[1], 3)
            self.add(f"{name}_double_3x3_2", double[1], double[1], 3)
            if projection:
                self.add(f"{name}_pool_proj", width, projection, 1)
            width = single + triple[1] + double[1] + (projection or width)
        self.last_linear = nn.Linear(width, CLASSES)

    def add(self, name: str, channels: int, filters: int, size: int) -> None:
        self.add_module(name, nn.Conv2d(channels, filters, size, padding=size // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm2d(filters))

    def run(self, name: str, x: torch.Tensor, strides: int = 1) -> torch.Tensor:
        convolution = self.get_submodule(name)
        x = functional.conv2d(x, convolution.weight, convolution.bias, strides, convolution.padding)
        return functional.relu(self.get_submodule(f"{name}_bn")(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(self.run("conv1_7x7_s2", x, 2), 3, 2, ceil_mode=True)
        x = self.run("conv2_3x3", self.run("conv2_3x3_reduce", x))
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        for name, single, _, _, pooling, projection in self.blocks:
            name, strides = f"inception_{name}", 1 if projection else 2
            branches = [self.run(f"{name}_1x1", x)] if single else []
            branches.append(self.run(f"{name}_3x3", self.run(f"{name}_3x3_reduce", x), strides))
            double = self.run(f"{name}_double_3x3_1", self.run(f"{name}_double_3x3_reduce", x))
            branches.append(self.run(f"{name}_double_3x3_2", double, strides))
            if not projection:
                branches.append(functional.max_pool2d(x, 3, 2, ceil_mode=True))
            else:
                pool = functional.max_pool2d if pooling == "max" else functional.avg_pool2d
                branches.append(self.run(f"{name}_pool_proj", pool(x, 3, 1, 1, ceil_mode=True)))
            x = torch.cat(branches, 1)
        return self.last_linear(x.mean((2, 3)))


class Shifted(nn.Module):
    """A convolution before which some channels come from the segment after, and some from the one before."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        apart, fold = x.reshape(-1, SEGMENTS, *x.shape[1:]), x.shape[1] // 8
        moved = torch.zeros_like(apart)
        moved[:, :-1, :fold] = apart[:, 1:, :fold]
        moved[:, 1:, fold : 2 * fold] = apart[:, :-1, fold : 2 * fold]
        moved[:, :, 2 * fold :] = apart[:, :, 2 * fold :]
        return self.net(moved.reshape(x.shape))


class OverTime(nn.Module):
    """The mean of a network's scores over the segments of a video."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        apart = x.reshape(-1, x.shape[1] // SEGMENTS, *x.shape[2:])
        return self.base(apart).reshape(-1, SEGMENTS, CLASSES).mean(1)


def colours(pixels: torch.Tensor) -> torch.Tensor:
    """As torchvision's networks see frames."""
    mean, deviation = (values.repeat(pixels.shape[1] // 3)[:, None, None] for values in IMAGENET)
    return (pixels / 255 - mean) / deviation


def blue_first(pixels: torch.Tensor) -> torch.Tensor:
    """As networks of Caffe see frames."""
    return pixels.flip(1) - torch.tensor([104.0, 117.0, 128.0])[:, None, None]


def motion(scale: float, still: float = 0.0) -> Callable[[torch.Tensor], torch.Tensor]:
    """As networks of flow see levels of which 128 is no motion and 255 the bound, which is `scale` there."""
    return lambda levels: (levels - 128) / 127 * scale + still


def randomise(network: nn.Module, seen: torch.Tensor) -> None:
    """Draws all weights, and gives each normalisation the statistics of what it sees, so that scores are of order 1."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
        elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.1)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
    for name, parameter in network.named_parameters():
        if name.endswith("bn3.weight"):
            # Large branches of 50 blocks would multiply rounding: PyTorch's float32 and float64 would differ by 8e-4.
            nn.init.uniform_(parameter, 0.1, 0.3)
        if name.endswith("layer_scale"):
            nn.init.uniform_(parameter, 0.1, 0.5)
    network.train()
    network.requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    network(seen)
    network.eval()


def resnet(depth: int, channels: int, first: str = "conv1", last: str = "fc") -> nn.Module:
    """A ResNet of torchvision; `first` and `last` are what others call two of its layers in their files."""
    network = getattr(torchvision.models, f"resnet{depth}")(num_classes=CLASSES)
    network.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    network.named = {"conv1.": f"{first}.", "fc.": f"{last}."}
    return network


def vgg16(channels: int, last: str = "classifier.6") -> nn.Module:
    """A VGG-16 of torchvision."""
    network = torchvision.models.vgg16(num_classes=CLASSES)
    network.features[0] = nn.Conv2d(channels, 64, 3, padding=1)
    network.named = {"classifier.6.": f"{last}."}
    return network


def tsm(channels: int) -> nn.Module:
    """A ResNet-50 with shifts."""
    network = resnet(50, channels)
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in layer:
            block.conv1 = Shifted(block.conv1)
    over_time = OverTime(network)
    over_time.named = {
        f"base.{name}": new if name == "fc." else f"base_model.{new}" for name, new in network.named.items()
    }
    over_time.named["base."] = "base_model."
    return over_time


def named_as(network: nn.Module, around: str = "") -> dict[str, torch.Tensor]:
    """The weights with the names that others give them."""
    names = getattr(network, "named", {})
    table = {}
    for name, tensor in network.state_dict().items():
        old = next((old for old in names if name.startswith(old)), "")
        table[around + names.get(old, "") + name.removeprefix(old)] = tensor
    return table


def parallel(network: nn.Module) -> dict[str, torch.Tensor]:
    """The names that DataParallel gives."""
    return named_as(network, "module.")


def tsn(network: nn.Module) -> dict[str, torch.Tensor]:
    """The names of TSN's checkpoints, whose normalisations have an axis more."""
    table = {}
    for name, tensor in network.state_dict().items():
        inside = (
            "module.new_fc" + name.removeprefix("last_linear") if "last_linear" in name else f"module.base_model.{name}"
        )
        table[f"module.{inside}"] = tensor[None] if "_bn." in name and tensor.ndim == 1 else tensor
    return table


def checkpoint(table: dict[str, torch.Tensor], path: Path) -> None:
    """Saves weights as training scripts of before 2020 do."""
    extra = {
        "epoch": 80,
        "arch": "net",
        "best_prec1": torch.tensor(85.7),
        "optimizer": {"state": {}, "param_groups": []},
    }
    torch.save({**extra, "state_dict": table}, path, _use_new_zipfile_serialization=False)


def cases(blocks: list) -> dict:
    """By file: what makes the network, how it sees pixels, their channels, what names and saves its weights."""
    flow, models = motion(0.5 / 0.226), torchvision.models
    return {
        "resnet18.pth": (lambda: resnet(18, 3), colours, 3, named_as, torch.save),
        "resnet50.safetensors": (lambda: resnet(50, 3), colours, 3, named_as, save_file),
        "vgg16.pt": (lambda: vgg16(3), colours, 3, named_as, torch.save),
        "mobilenet_v2.pth": (lambda: models.mobilenet_v2(num_classes=CLASSES), colours, 3, named_as, torch.save),
        "convnext_tiny.pth": (lambda: models.convnext_tiny(num_classes=CLASSES), colours, 3, named_as, torch.save),
        "bn_inception.pth": (lambda: BNInception(blocks, 3), blue_first, 3, named_as, torch.save),
        "bn_inception_tsn_rgb.pth.tar": (lambda: BNInception(blocks, 3), blue_first, 3, tsn, checkpoint),
        "bn_inception_tsn_flow.pth.tar": (lambda: BNInception(blocks, 10), motion(127.5), 10, tsn, checkpoint),
        "resnet152_bryanyzhu_rgb.pth.tar": (lambda: resnet(152, 3, last="fc_action"), colours, 3, named_as, checkpoint),
        "resnet152_bryanyzhu_flow.pth.tar": (lambda: resnet(152, 20, last="fc_action"), flow, 20, named_as, checkpoint),
        "vgg16_bryanyzhu_rgb.pth.tar": (lambda: vgg16(3, "fc_action"), colours, 3, named_as, checkpoint),
        "vgg16_bryanyzhu_flow.pth.tar": (lambda: vgg16(20, "fc_action"), flow, 20, named_as, checkpoint),
        "resnet101_jeffreyyihuang_rgb.pth.tar": (
            lambda: resnet(101, 3, "conv1_custom", "fc_custom"),
            colours,
            3,
            named_as,
            checkpoint,
        ),
        # Its first field lies behind the others.
        "resnet101_jeffreyyihuang_flow.pth.tar": (
            lambda: resnet(101, 20, "conv1_custom", "fc_custom"),
            lambda levels: motion(0.5, 0.5)(levels).roll(-2, 1),
            20,
            named_as,
            checkpoint,
        ),
        "resnet50_tsm_rgb.pth": (lambda: tsm(3), colours, 3 * SEGMENTS, parallel, checkpoint),
        "resnet50_tsm_flow.pth": (lambda: tsm(10), flow, 10 * SEGMENTS, parallel, checkpoint),
    }


def main() -> None:
    """Makes all cases, or those whose names are given."""
    folder, only = Path(sys.argv[1]), sys.argv[2:]
    for number, (file, (make, see, channels, name, save)) in enumerate(cases(json.load(sys.stdin)).items()):
        if only and file not in only:
            continue
        torch.manual_seed(number)
        network = make()
        pixels = torch.randint(0, 256, (2, channels, 224, 224), dtype=torch.uint8)
        seen = see(pixels.float())
        randomise(network, seen)
        save({key: tensor.contiguous() for key, tensor in name(network).items()}, folder / file)
        np.savez(folder / f"{file}.npz", pixels=pixels.permute(0, 2, 3, 1).numpy(), logits=network(seen).numpy())


if __name__ == "__main__":
    main()
