"""The table of names: the place of each tensor of a PyTorch network in ours, and the input that its publishers use.

The names are those of torchvision 0.29, pretrainedmodels 0.7 (BN-Inception, which tsn-pytorch and TSM use too),
bryanyzhu/two-stream-pytorch and jeffreyyihuang/two-stream-action-recognition.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

# A pattern of names, and the layer of ours for its groups, with digits as numbers.
Rules: TypeAlias = tuple[tuple[str, Callable[..., str]], ...]

HEAD = "logits"
# Prefixes before the names of a network: of DataParallel, of TSN and of TSM.
_AROUND = ("module.", "base_model.")
# The suffix of a convolution before which TSM shifts.
SHIFTED = ".net"
# The kernels that take the pixels.
_FIRST = ("conv1.weight", "conv1_custom.weight", "conv1_7x7_s2.weight", "features.0.weight", "features.0.0.weight")
# Counters that our networks don't have.
_UNUSED = "num_batches_tracked"


@dataclass(frozen=True)
class Origin:
    """The input on which a PyTorch network was trained."""

    scaling: str  # One of streams.networks.preprocessing.SCALINGS.
    keeps_mean: bool = False  # Its flow still had its mean vectors.
    last_first: bool = False  # Its first field comes after the others.


ORIGINS: Mapping[str, Origin] = {
    "torch": Origin("torch"),
    "torch-flow": Origin("torch", keeps_mean=True),
    "tsn": Origin("tsn"),
    "tsn-flow": Origin("tsn", keeps_mean=True),
    # jeffreyyihuang's motion_dataloader.py: levels from 0 to 1, and field j at place j - 1.
    "unit-flow": Origin("unit", keeps_mean=True, last_first=True),
}
# Networks whose flow has its mean vectors.
WITH_MEAN = tuple(name for name, origin in ORIGINS.items() if origin.keeps_mean)

_RESNET: Rules = (
    (r"conv1(?:_custom)?", lambda: "conv1"),
    (r"bn1", lambda: "conv1_bn"),
    (r"layer([1-4])\.(\d+)\.conv(\d)", lambda stage, block, number: f"conv{stage + 1}_block{block + 1}_{number}"),
    (r"layer([1-4])\.(\d+)\.bn(\d)", lambda stage, block, number: f"conv{stage + 1}_block{block + 1}_{number}_bn"),
    (r"layer([1-4])\.(\d+)\.downsample\.0", lambda stage, block: f"conv{stage + 1}_block{block + 1}_shortcut"),
    (r"layer([1-4])\.(\d+)\.downsample\.1", lambda stage, block: f"conv{stage + 1}_block{block + 1}_shortcut_bn"),
    (r"fc|fc_action|fc_custom|new_fc", lambda: HEAD),
)
# The number of each convolution among the layers of torchvision's `features`.
_VGG16_CONVOLUTIONS = {
    place: f"block{block}_conv{number}"
    for block, places in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)), 1)
    for number, place in enumerate(places, 1)
}
_VGG16: Rules = (
    (r"features\.(\d+)", lambda place: _VGG16_CONVOLUTIONS.get(place, "")),
    (r"classifier\.0", lambda: "dense1"),
    (r"classifier\.3", lambda: "dense2"),
    (r"classifier\.6|fc_action", lambda: HEAD),
)
_MOBILENET_V2: Rules = (
    (r"features\.0\.0", lambda: "conv1"),
    (r"features\.0\.1", lambda: "conv1_bn"),
    # The first block has no expansion.
    (r"features\.1\.conv\.0\.0", lambda: "block1_depthwise"),
    (r"features\.1\.conv\.0\.1", lambda: "block1_depthwise_bn"),
    (r"features\.1\.conv\.1", lambda: "block1_project"),
    (r"features\.1\.conv\.2", lambda: "block1_project_bn"),
    (r"features\.18\.0", lambda: "conv2"),
    (r"features\.18\.1", lambda: "conv2_bn"),
    (r"features\.(\d+)\.conv\.0\.0", lambda block: f"block{block}_expand"),
    (r"features\.(\d+)\.conv\.0\.1", lambda block: f"block{block}_expand_bn"),
    (r"features\.(\d+)\.conv\.1\.0", lambda block: f"block{block}_depthwise"),
    (r"features\.(\d+)\.conv\.1\.1", lambda block: f"block{block}_depthwise_bn"),
    (r"features\.(\d+)\.conv\.2", lambda block: f"block{block}_project"),
    (r"features\.(\d+)\.conv\.3", lambda block: f"block{block}_project_bn"),
    (r"classifier\.1", lambda: HEAD),
)
_STAGE = r"features\.([1357])\.(\d+)\."
_CONVNEXT: Rules = (
    (r"features\.0\.0", lambda: "convnext_tiny_stem_conv"),
    (r"features\.0\.1", lambda: "convnext_tiny_stem_layernorm"),
    (r"features\.([246])\.0", lambda place: f"convnext_tiny_downsampling_layernorm_{place // 2 - 1}"),
    (r"features\.([246])\.1", lambda place: f"convnext_tiny_downsampling_conv_{place // 2 - 1}"),
    *(
        (_STAGE + part, lambda place, block, name=name: f"convnext_tiny_stage_{place // 2}_block_{block}_{name}")
        for part, name in (
            (r"block\.0", "depthwise_conv"),
            (r"block\.2", "layernorm"),
            (r"block\.3", "pointwise_conv_1"),
            (r"block\.5", "pointwise_conv_2"),
            (r"layer_scale", "layer_scale"),
        )
    ),
    (r"classifier\.0", lambda: "features"),
    (r"classifier\.2", lambda: HEAD),
)
_BN_INCEPTION: Rules = (
    (r"conv1_7x7_s2(_bn|)", lambda bn: f"conv1{bn}"),
    (r"conv2_3x3(_reduce|)(_bn|)", lambda part, bn: f"conv2{part}{bn}"),
    (r"inception_(\d[a-e])_(1x1|3x3_reduce|3x3)(_bn|)", lambda block, part, bn: f"inception_{block}_{part}{bn}"),
    (
        r"inception_(\d[a-e])_double_3x3_(reduce|1|2)(_bn|)",
        lambda block, part, bn: f"inception_{block}_double_{part}{bn}",
    ),
    (r"inception_(\d[a-e])_pool_proj(_bn|)", lambda block, bn: f"inception_{block}_projection{bn}"),
    (r"fc|fc_action|last_linear|new_fc", lambda: HEAD),
)
RULES: Mapping[str, Rules] = {
    "resnet18": _RESNET,
    "resnet50": _RESNET,
    "resnet101": _RESNET,
    "resnet152": _RESNET,
    "vgg16": _VGG16,
    "mobilenet_v2": _MOBILENET_V2,
    "convnext_tiny": _CONVNEXT,
    "bn_inception": _BN_INCEPTION,
}


def plain_name(name: str) -> str:
    """Returns the name of a tensor without prefixes and suffixes."""
    for around in _AROUND * 2:
        name = name.removeprefix(around)
    return name.replace(f"{SHIFTED}.", ".")


def places(backbone: str, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Returns the places of a file's tensors: for each layer of ours, the names by part, such as weight or bias."""
    if backbone not in RULES:
        raise ValueError(f"it is from PyTorch, and such files can only be read for --backbone {', '.join(RULES)}")
    found: dict[str, dict[str, str]] = {}
    for name in names:
        layer, part = _place(RULES[backbone], plain_name(name))
        if part == _UNUSED:
            continue
        if not layer or part in found.get(layer, {}):
            raise ValueError(f"it has {name}, for which {backbone} has no place")
        found.setdefault(layer, {})[part] = name
    return found


def origin_among(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Returns the origin, one of ORIGINS, of tensors with these names and shapes."""
    plain = {plain_name(name): shape for name, shape in shapes.items()}
    flow = "" if next((plain[name][1] for name in _FIRST if len(plain.get(name, ())) == 4), 3) == 3 else "-flow"
    if "conv1_custom.weight" in plain and flow:
        return "unit-flow"
    return ("tsn" if "conv1_7x7_s2.weight" in plain else "torch") + flow


def check_shifts(names: Iterable[str], *, shifts: bool) -> None:
    """Refuses a network with temporal shift for one without, and a network that shifts only in some blocks."""
    firsts = [name for name in names if re.search(r"layer\d\.\d+\.conv1\.", name)]
    shifted = [name for name in firsts if f"{SHIFTED}." in name]
    if shifted and not shifts:
        raise ValueError(
            "it is of a network with temporal shift. Pass --shift 0.125 and --input rgb_spread or flow_stacks"
        )
    if 0 < len(shifted) < len(firsts):
        plain = next(name for name in firsts if name not in shifted)
        raise ValueError(f"it shifts only in some blocks, not before {plain}; --shift moves channels in all")


def _place(rules: Rules, name: str) -> tuple[str, str]:
    """Returns the layer of ours and the part of it for a tensor. The layer is "" if it is unknown."""
    whole, part = re.fullmatch(r"(?:(.*)\.)?([^.]*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    if part == "layer_scale":  # This tensor is a layer of ours, not a part of one.
        whole, part = name, "weight"
    for pattern, layer in rules:
        match = re.fullmatch(pattern, whole or "")
        if match:
            return layer(*(int(group) if group.isdecimal() else group for group in match.groups())), part
    return "", part
