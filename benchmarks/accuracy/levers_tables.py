"""The trainings that benchmarks/accuracy/levers.py compares: tables of choices, and what was published of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# The part of the groups that judges networks which are trained.
VALIDATION = 0.25


@dataclass(frozen=True)
class Table:
    """Trainings of one stream that differ in one choice each."""

    title: str
    stream: str
    options: Sequence[str]  # Of all rows.
    rows: Mapping[str, Sequence[str]]  # The first one is what the others are compared with.
    published: Mapping[str, str] = field(default_factory=dict)  # Points that others gained by a row, and where.

    @property
    def is_solved(self) -> bool:
        """Tells whether last layers are solved, so that all training videos are held out by some fold."""
        return "own" in self.options


def _vary(*names: str) -> tuple[str, ...]:
    return tuple(word for name in names for word in ("--vary", name))


_SHORT = ("--shown", "most", "--batch-size", "16", "--validation", str(VALIDATION), "--warmup", "1")
# Networks that are trained see crops of 112 pixels, which two cores can afford; where there are many rows, of 64.
_TRAINED, _SMALLER = ("--crop-size", "112", *_SHORT), ("--crop-size", "64", *_SHORT)
# So few steps don't settle the statistics of batch normalisation, so fine-tuning keeps those of ImageNet.
_TUNED = (
    *("--backbone", "mobilenet", "--weights", "imagenet", "--epochs", "16", "--learning-rate", "2e-4"),
    *("--freeze-bn", "all"),
)
_SMALL = ("--backbone", "small", "--weights", "none", "--epochs", "40")
_STACKS = (
    *("--crop-size", "48", *_SHORT, "--input", "flow_stacks", "--length", "3"),
    *("--backbone", "resnet18", "--weights", "none", "--epochs", "8"),
)
# The longest training that two cores leave time for, with this many rows of three seeds on two sets.
_TRICKS = (*_SMALLER, "--backbone", "small", "--weights", "none", "--epochs", "16")
_COLOURS = _vary("brightness", "contrast", "saturation")
_OF_FLOW = {
    "RandAugment (`random`)": _vary("random"),
    "mixup": _vary("mixup"),
    "label smoothing .1": ("--label-smoothing", "0.1"),
    "a constant rate instead of a cosine": ("--schedule", "constant"),
    "rotate": _vary("rotate"),
    "erase": _vary("erase"),
    "averaged weights (`--ema 0.99`)": ("--ema", "0.99"),
    "cutmix": _vary("cutmix"),
    "wider in time: three stacks of five, attention": ("--length", "5", "--segments", "3", "--consensus", "attention"),
    "AdamW, decay .05": ("--weight-decay", "0.05"),
    "speed": _vary("speed"),
    "scale, stretch, shear": _vary("scale", "stretch", "shear"),
    "layer decay .75": ("--layer-decay", "0.75"),
    "backwards": _vary("backwards"),
}
_TSM, _BAG = "TSM on Something-Something V1, mmaction2", "ImageNet, He et al. 2019"
_PUBLISHED = {
    "RandAugment (`random`)": f"+1.6 ({_TSM})",
    "mixup": f"+.8 ({_TSM})",
    "cutmix": f"+.3 ({_TSM})",
    "label smoothing .1": f"+.4 ({_BAG})",
    "a constant rate instead of a cosine": f"steps instead of a cosine: -.75 ({_BAG})",
}
TABLES = (
    Table(
        "the recipe `own`, spatial",
        "spatial",
        ("--recipe", "own"),
        {
            "as it is": (),
            "`mobilenet_v2` instead of `mobilenet`": ("--backbone", "mobilenet_v2"),
            "224 pixels": ("--crop-size", "224"),
            "160 pixels": ("--crop-size", "160"),
            "112 pixels": ("--crop-size", "112"),
            "7/8 of the short side instead of whole frames": ("--shown", "most"),
            "8 frames": ("--length", "8"),
            "4 frames": ("--length", "4"),
        },
    ),
    Table(
        "the recipe `own`, temporal",
        "temporal",
        ("--recipe", "own"),
        {
            "as it is": (),
            "12 fields": ("--length", "12"),
            "6 fields": ("--length", "6"),
            "7/8 of the short side instead of whole fields": ("--shown", "most"),
        },
    ),
    Table(
        "single frames, `mobilenet` from ImageNet",
        "spatial",
        _TRAINED,
        {
            "all layers": _TUNED,
            "the last layer alone": (*_TUNED, "--train", "last-layer", "--augment", "none", "--freeze-bn", "none"),
            "the last layer, then all": (
                *(*_TUNED, "--stage", "last-layer:8:adam:3e-3", "--stage", "all:8:adam:2e-4"),
            ),
            "all layers of `small`, from scratch": _SMALL,
            "not mirrored, crops in the middle": (*_TUNED, "--augment", "none"),
            "crops in many sizes": (*_TUNED, "--augment", "multi-scale"),
            "dropout .5": (*_TUNED, "--dropout", "0.5"),
        },
    ),
    Table(
        "stacks of flow, trained",
        "temporal",
        _TRAINED,
        {
            "`small`, from scratch, L = 10": _SMALL,
            "L = 5": (*_SMALL, "--length", "5"),
            "not mirrored, crops in the middle": (*_SMALL, "--augment", "none"),
            "3 segments of L = 5, joined by attention": (
                *(*_SMALL, "--length", "5", "--segments", "3", "--consensus", "attention"),
            ),
            "`mobilenet` from ImageNet (cross-modality)": (*_TUNED, "--freeze-bn", "all-but-first"),
        },
        {"`mobilenet` from ImageNet (cross-modality)": "+4.9 (UCF-101, Wang et al. 2016)"},
    ),
    Table(
        "tricks, stacks of ten fields, `small`",
        "temporal",
        (*_TRICKS, "--length", "10"),
        {"no trick": (), **_OF_FLOW},
        _PUBLISHED,
    ),
    Table(
        "tricks, differences of six frames, `small`",
        "spatial",
        (*_TRICKS, "--input", "rgb_difference", "--length", "5"),
        {"no trick": (), "brightness, contrast, saturation": _COLOURS, "RandAugment (`random`)": _vary("random")},
        _PUBLISHED,
    ),
    Table(
        "tricks, three stacks of flow, `resnet18`",
        "temporal",
        _STACKS,
        {
            "joined by attention": (),
            "averaged, with temporal shift": ("--shift", "0.125"),
            "drop path .1": ("--drop-path", "0.1"),
            "the recipe `modern` for all else": ("--recipe", "modern", "--protocol", "validation"),
        },
        {"averaged, with temporal shift": "+3.5 over averages alone (Kinetics, Lin et al. 2019)"},
    ),
)
