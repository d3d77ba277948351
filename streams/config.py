"""Defines the options of a training of either stream. Every field is a command-line option, saved beside the model."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from commands.files import RUNS
from commands.help_page import Layout
from commands.options import as_dictionary, option
from data.sets.lists import PROTOCOLS
from pipelines.inputs import AUGMENTATIONS, SHOWN
from streams.checks import (
    BACKBONE_NAMES,
    FREEZE_BN,
    OPTIMIZERS,
    Stage,
    check_backbone,
    check_numbers,
    check_place,
    parse_stage,
)
from streams.tricks import EXCLUSIVE, TRICKS, Tricks

# This optimizer solves the last layer instead of training it in epochs.
EXACT = "exact"
SCHEDULES = ("cosine", "step", "constant", "plateau")
# The ways to join both streams in one network: see streams/networks/both_streams.py.
FUSIONS = ("late", "average", "logits", "weighted", "concat", "conv")
CONSENSUS = ("mean", "max", "attention")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

# Options that don't change the result: the place of a run, its start, and what is recorded on the way.
_INCIDENTAL = (
    "root",
    "runs",
    "resume",
    "again",
    "dry_run",
    "histograms",
    "checkpoint_minutes",
    "hosts",
    "host_index",
    "rejoin_seconds",
    "json",
    "config",
    "device",
)
# The order of options on the page of `--help`, including those of each stream.
_LAYOUT = Layout(
    groups={
        "data": (
            *(
                "dataset",
                "root",
                "split",
                "protocol",
                "validation",
                "input",
                "length",
                "stride",
                "segments",
                "consensus",
                "augment",
                "shown",
            ),
            *("crop_size", "crop_on", "balance", "skip_broken", "and_dataset", "and_root", "and_joined", "and_without"),
        ),
        "network": (
            "backbone",
            "shift",
            "fusion",
            "fuse_at",
            "spatial_weight",
            "subtract_mean",
            "dropout",
            "dense_dropout",
        ),
        "weights": ("weights", "spatial", "temporal", "train", "stage", "freeze_bn", "first_layer_rate"),
        "training": (
            *(
                "recipe",
                "config",
                "epochs",
                "steps",
                "batch_size",
                "accumulate",
                "learning_rate",
                "rate_batch",
                "optimizer",
            ),
            *("momentum", "weight_decay", "clip_norm", "schedule", "milestones", "plateau", "warmup", "patience"),
            "seed",
        ),
        "tricks": TRICKS,
        "devices": (
            *(
                "device",
                "precision",
                "jit",
                "devices",
                "sync_batch_norm",
                "hosts",
                "host_index",
                "rejoin_seconds",
                "threads",
                "deterministic",
            ),
        ),
        "output": ("runs", "resume", "again", "dry_run", "histograms", "checkpoint_minutes", "json"),
    },
    first=(
        *("dataset", "split", "input", "fusion", "backbone", "weights", "recipe", "epochs", "batch_size"),
        *("learning_rate", "seed", "again", "dry_run"),
    ),
)


# Options that exclude each other: a condition, and the advice.
WrongTogether: TypeAlias = tuple[tuple[Callable[[Any], bool], str], ...]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Tricks):
    """The options of a training of either stream."""

    layout: ClassVar = _LAYOUT
    dataset: str = option("shapes", "name of the data set", metavar="NAME")
    root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="FOLDER")
    split: int = option(1, "split to train on", metavar="N")
    protocol: str = option(
        "validation",
        "selection of weights: validation: on groups cut from the training list; paper: none, after a fixed schedule "
        "on the whole list; test-selected: on the test list, which gives too good results and is only for comparisons; "
        "folds: with --optimizer exact, by folds over the groups of the whole list",
        choices=PROTOCOLS,
    )
    validation: float = option(0.1, "share of the training list that is used to choose the best epoch", metavar="SHARE")
    recipe: str = option(
        "", "a published training whose options are the defaults; list prints all of them", metavar="NAME"
    )
    weights: str = option(
        "auto",
        "imagenet; none; a file (.keras, .weights.h5, .h5; of PyTorch: .safetensors, .pth, .pt, .tar), for instance a "
        "model of ours; or auto: imagenet for the spatial stream if Keras has such weights for the backbone, and "
        "otherwise none",
        metavar="SOURCE",
    )
    train: str = option(
        "all", "layers to train: all, last-layer, or after-NAME for those after the layer NAME", metavar="PLACE"
    )
    stage: tuple[str, ...] = option(
        (),
        "a stage of the training, PLACE:EPOCHS:OPTIMIZER:RATE as in last-layer:10:rmsprop:1e-3; can be repeated: each "
        "stage starts from the best weights of the one before",
        repeat=True,
        metavar="STAGE",
    )
    freeze_bn: str = option("none", "batch normalisations whose statistics and weights are frozen", choices=FREEZE_BN)
    first_layer_rate: float = option(
        1.0, "learning rate of the first convolution, as a multiple of the others'", metavar="NUMBER"
    )
    dense_dropout: float | None = option(
        None, "dropout between dense layers, as in vgg16 (default: that of --dropout)", metavar="SHARE"
    )
    backbone: str = option("small", f"network before the class scores: {', '.join(BACKBONE_NAMES)}", metavar="NAME")
    shift: float = option(
        0.0,
        "share of the channels that residual blocks shift to the next and to the previous frame or stack, for inputs "
        "spread over a video; 0.125 as published",
        metavar="SHARE",
    )
    segments: int = option(
        1,
        "segments of a video; a training example has a clip from each, and their scores are joined (TSN)",
        metavar="N",
    )
    consensus: str = option(
        "mean",
        "how the scores of segments are joined in training: mean; max, the greatest of each class; or attention, a "
        "mean in which surer segments count for more",
        choices=CONSENSUS,
    )
    stride: int = option(1, "take every N-th frame or field", metavar="N")
    augment: str = option(
        "flip",
        "random changes of clips: flip: crops and mirrors; paper: also the paper's colours; corners: crops at corners "
        "and in four sizes; multi-scale: at 13 places and in neighbouring sizes, as in TSN; none",
        choices=AUGMENTATIONS,
    )
    shown: str = option(
        "pixels",
        "part of a frame that a clip shows: pixels, a square of --crop-size as stored; most, a square of 7/8 of the "
        "short side, resized to --crop-size; whole, all of it, squeezed into a square",
        choices=SHOWN,
    )
    crop_on: str = option(
        "auto",
        "where clips are cut: host, where they are read; device, where the network runs; auto: device on a GPU",
        choices=("auto", "host", "device"),
    )
    balance: bool = option(False, "draw all classes equally often, however many videos each has")
    skip_broken: bool = option(False, "replace clips that can't be read by others, and count them")
    crop_size: int = option(64, "side of the square input of the network", metavar="PIXELS")
    dropout: float = option(0.2, "dropout before the class scores", metavar="SHARE")
    epochs: int = option(40, "passes over the training list, with one random clip of each video", metavar="N")
    steps: int | None = option(None, "length in steps instead of epochs; --milestones then count steps", metavar="N")
    batch_size: int = option(32, "clips in a step, on all devices and in all parts together", metavar="N")
    accumulate: int = option(1, "parts of a step, computed one after another, to save memory", metavar="N")
    learning_rate: float = option(3e-3, "the highest learning rate", metavar="RATE")
    rate_batch: int | None = option(
        None, "batch size for which the rate was chosen; the rate is scaled to --batch-size", metavar="N"
    )
    optimizer: str = option(
        "adam",
        "optimizer; exact solves the last layer, a convex problem, without epochs",
        choices=(*OPTIMIZERS, EXACT),
    )
    momentum: float = option(0.9, "momentum of sgd and rmsprop", metavar="SHARE")
    weight_decay: float = option(0.0, "decay of the weights at each step, times the rate", metavar="RATE")
    clip_norm: float | None = option(
        None, "largest norm of the gradient over all weights; larger gradients are scaled down", metavar="NUMBER"
    )
    schedule: str = option(
        "cosine",
        "how the rate falls: cosine: to zero along a cosine; step: to a tenth at each milestone; constant: not at all; "
        "plateau: to a tenth at each plateau of the validation loss",
        choices=SCHEDULES,
    )
    milestones: tuple[int, ...] = option(
        (), "epoch (or step, with --steps) at which step divides by ten; can be repeated", repeat=True, metavar="N"
    )
    plateau: int = option(5, "epochs without improvement that make a plateau", metavar="N")
    warmup: float = option(0.0, "epochs, or a part of one, in which the rate rises from zero", metavar="N")
    patience: int | None = option(None, "epochs without improvement after which the training stops early", metavar="N")
    precision: str = option("float32", "precision of activations; weights stay float32", choices=PRECISIONS)
    device: str = option("auto", "device: gpu, cpu, or auto: a GPU if there is one", choices=("auto", "cpu", "gpu"))
    jit: bool = option(False, "compile with XLA: may be faster on one GPU, never on a processor")
    devices: int | None = option(
        None, "number of GPUs (default: all); on a machine without any, parts of the processor", metavar="N"
    )
    sync_batch_norm: bool = option(False, "batch statistics over the clips of all devices together, not of each device")
    hosts: str = option(
        "",
        "addresses of all machines in order, the same on each: a:port,b:port; auto asks Slurm or Kubernetes",
        metavar="ADDRESSES",
    )
    host_index: int = option(0, "index of this machine in --hosts, from 0", metavar="N")
    rejoin_seconds: float = option(
        0.0, "if another machine dies, wait so long for it, then go on without it; 0 ends the training", metavar="N"
    )
    threads: int | None = option(
        None, "processor threads (default: all); their number changes the last bits of the result", metavar="N"
    )
    deterministic: bool = option(True, "get the same bits from the same seed")
    seed: int = option(0, "seed of all random numbers", metavar="N")
    config: Path | None = option(
        None, "config.json of an earlier run, whose options are the defaults of this one", metavar="FILE"
    )
    runs: Path = option(RUNS, "where runs are kept", metavar="FOLDER")
    resume: bool = option(True, "continue a stopped training with the same options")
    again: bool = option(False, "replace an earlier run")
    dry_run: bool = option(False, "build everything, take a few steps, estimate time and memory, save nothing")
    histograms: bool = option(False, "write histograms of the weights for TensorBoard")
    checkpoint_minutes: float = option(
        10.0, "minutes between checkpoints within an epoch; each epoch ends with one", metavar="MINUTES"
    )
    json: Path | None = option(None, "also write the result to this file", metavar="FILE")

    also_wrong: ClassVar[WrongTogether] = ()  # Further combinations that the options of a stream exclude.

    def __post_init__(self) -> None:
        """Raises ValueError for values that no training could use, and for options that exclude each other."""
        check_backbone(self.backbone)
        check_place("--train", self.train)
        check_numbers(vars(self))
        for stage in self.stage:
            parse_stage(stage)
        for is_wrong, message in (*_WRONG_TOGETHER, *self.also_wrong):
            if is_wrong(self):
                raise ValueError(message.format(**vars(self)))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages of `--stage`."""
        return tuple(parse_stage(text) for text in self.stage)

    @property
    def tricks(self) -> list[str]:
        """The names of the options of `Tricks` that are not at their default."""
        return [each.name for each in fields(Tricks) if getattr(self, each.name) != each.default]

    @property
    def keeps_features(self) -> bool:
        """Tells whether only the last layer is trained, on clips that never change. Features are then computed once."""
        never_change = self.augment == "none" and self.segments == 1 and not (self.skip_broken or self.vary)
        return self.train == "last-layer" and never_change

    @property
    def can_cut_on_device(self) -> bool:
        """Tells whether clips can be cut on the device."""
        return not (self.skip_broken or self.keeps_features)

    def extent(self, steps_per_epoch: int) -> tuple[int, int]:
        """Returns the number of epochs, and the steps of each."""
        steps = min(steps_per_epoch, self.steps or steps_per_epoch)
        return math.ceil(self.steps / steps) if self.steps else self.epochs, steps

    def identity(self) -> dict[str, Any]:
        """Returns the options that change the result."""
        return {name: value for name, value in as_dictionary(self).items() if name not in _INCIDENTAL}


_WRONG_TOGETHER: WrongTogether = (
    *EXCLUSIVE,
    (
        lambda config: config.batch_size % config.accumulate != 0,
        "--accumulate is {accumulate}; it must be a divisor of {batch_size}.",
    ),
    (
        lambda config: (config.optimizer == EXACT) != (config.protocol == "folds"),
        "--optimizer exact and --protocol folds need each other: pass both, or neither.",
    ),
    (
        lambda config: config.optimizer == EXACT and not config.keeps_features,
        "--optimizer exact solves the last layer on features that never change. Pass --train last-layer and "
        "--augment none with it, and neither --segments nor --skip-broken.",
    ),
    (
        lambda config: config.consensus != "mean" and config.segments == 1,
        "--consensus {consensus} joins the scores of segments. Pass --segments K with it.",
    ),
    (
        lambda config: config.shift > 0 and not str(vars(config).get("input")).endswith(("_spread", "_stacks")),
        "--shift {shift} moves channels between frames or stacks of one video. Pass --input rgb_spread, flow_spread or "
        "flow_stacks with it.",
    ),
    (
        lambda config: config.device == "cpu" and config.crop_on == "device",
        "--crop-on device is for a GPU. Drop it, or --device cpu.",
    ),
    (
        lambda config: config.first_layer_rate != 1 and (config.train != "all" or bool(config.stage)),
        "--first-layer-rate needs a first layer that learns. Drop it, or --train and --stage.",
    ),
    (
        lambda config: config.validation == 0 and config.protocol == "validation",
        "--validation 0 leaves no videos by which to choose the epoch. Pass more, or --protocol paper.",
    ),
    (
        lambda config: config.crop_on == "device" and not config.can_cut_on_device,
        "--crop-on device cuts the clips of one data set and one stream. It skips no clips and keeps no features. "
        "Drop it.",
    ),
    (
        lambda config: config.schedule == "step" and not config.milestones,
        "--schedule step needs the times: pass --milestones N, once for each.",
    ),
    (
        lambda config: config.protocol == "paper" and bool(config.patience or config.schedule == "plateau"),
        "--protocol paper has no validation videos, but --patience and --schedule plateau need them. Drop one.",
    ),
)
