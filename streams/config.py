"""Defines the options of a training of either stream: every field is a command-line option, saved beside the model."""

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

# Solves the last layer instead of training it in epochs.
EXACT = "exact"
SCHEDULES = ("cosine", "step", "constant", "plateau")
# How a network of both streams joins them: see streams/networks/both_streams.py.
FUSIONS = ("late", "average", "logits", "weighted", "concat", "conv")
CONSENSUS = ("mean", "max", "attention")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")

# Options that don't change the result: where a run lies, how it is started and what is recorded on the way.
_INCIDENTAL = (
    "root",
    "runs",
    "resume",
    "again",
    "dry_run",
    "histograms",
    "checkpoint_minutes",
    "host_index",
    "json",
    "config",
    "device",
)
# How `--help` shows the options of a training, those of each stream among them.
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


# Options that exclude each other: when they do, and what to do about it.
WrongTogether: TypeAlias = tuple[tuple[Callable[[Any], bool], str], ...]


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Tricks):
    """The options of a training of either stream."""

    layout: ClassVar = _LAYOUT
    dataset: str = option("shapes", "the data set's name", metavar="NAME")
    root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="FOLDER")
    split: int = option(1, "which of its splits to train on", metavar="N")
    protocol: str = option(
        "validation",
        "how weights are chosen: by groups cut from the training list; not at all, after a fixed schedule on the whole "
        "list; by the test list, which flatters the result and is only for comparing; or, with --optimizer exact, by "
        "folds over the groups of the whole list",
        choices=PROTOCOLS,
    )
    validation: float = option(0.1, "share of the training list that is kept to choose the best epoch", metavar="SHARE")
    recipe: str = option(
        "", "a published training whose options are the defaults; list prints all of them", metavar="NAME"
    )
    weights: str = option(
        "auto",
        "imagenet; none; a file (.keras, .weights.h5, .h5; of PyTorch .safetensors, .pth, .pt, .tar), a model of ours "
        "among them; or auto: imagenet for the spatial stream where Keras has such weights of the backbone, none "
        "otherwise",
        metavar="SOURCE",
    )
    train: str = option(
        "all", "the layers that learn: all, last-layer, or after-NAME for those behind the layer NAME", metavar="PLACE"
    )
    stage: tuple[str, ...] = option(
        (),
        "a stage of the training, PLACE:EPOCHS:OPTIMIZER:RATE as in last-layer:10:rmsprop:1e-3; repeat it: each goes "
        "on with the best weights of the one before",
        repeat=True,
        metavar="STAGE",
    )
    freeze_bn: str = option("none", "batch normalisations that keep their statistics and weights", choices=FREEZE_BN)
    first_layer_rate: float = option(
        1.0, "learning rate of the first convolution, as a multiple of the others'", metavar="NUMBER"
    )
    dense_dropout: float | None = option(
        None, "dropout between dense layers, as in vgg16; the same as --dropout unless given", metavar="SHARE"
    )
    backbone: str = option(
        "small", f"the network in front of the class scores: {', '.join(BACKBONE_NAMES)}", metavar="NAME"
    )
    shift: float = option(
        0.0,
        "share of the channels that residual blocks move each way between frames or stacks that are spread over a "
        "video; 0.125 as published",
        metavar="SHARE",
    )
    segments: int = option(
        1,
        "segments of a video; a training example has a clip of each, and their scores are joined (TSN)",
        metavar="N",
    )
    consensus: str = option(
        "mean",
        "how the scores of segments are joined in training: by their mean; by the greatest of each class; or by "
        "attention, a mean in which surer segments count for more",
        choices=CONSENSUS,
    )
    stride: int = option(1, "a clip takes every N-th frame or field", metavar="N")
    augment: str = option(
        "flip",
        "random crops and mirrors; with the paper's colours; at corners and in four sizes; at 13 places and in "
        "neighbouring sizes, as in temporal segment networks; or none",
        choices=AUGMENTATIONS,
    )
    shown: str = option(
        "pixels",
        "how much of a frame a clip shows: pixels, a square of --crop-size as stored; most, a square of 7/8 of the "
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
    crop_size: int = option(64, "side of the square that the network sees", metavar="PIXELS")
    dropout: float = option(0.2, "dropout before the class scores", metavar="SHARE")
    epochs: int = option(40, "passes over the training list, with one random clip of each video", metavar="N")
    steps: int | None = option(None, "length in steps instead; milestones then count steps", metavar="N")
    batch_size: int = option(32, "clips in a step, on all devices and in all parts together", metavar="N")
    accumulate: int = option(1, "parts that a step is computed in, one after another, to fit memory", metavar="N")
    learning_rate: float = option(3e-3, "the highest learning rate", metavar="RATE")
    rate_batch: int | None = option(
        None, "batch that the rate was made for; it is scaled in proportion to --batch-size", metavar="N"
    )
    optimizer: str = option(
        "adam",
        "the optimizer; exact solves the last layer, a convex problem, without epochs",
        choices=(*OPTIMIZERS, EXACT),
    )
    momentum: float = option(0.9, "momentum of sgd and rmsprop", metavar="SHARE")
    weight_decay: float = option(0.0, "decay of the weights at each step, times the rate", metavar="RATE")
    clip_norm: float | None = option(
        None, "largest norm of the gradient over all weights; longer ones are shortened", metavar="NUMBER"
    )
    schedule: str = option(
        "cosine",
        "how the rate falls: to zero along a cosine; to a tenth at each milestone; not at all; or to a tenth at each "
        "plateau of the validation loss",
        choices=SCHEDULES,
    )
    milestones: tuple[int, ...] = option(
        (), "epoch (with --steps, step) at which step divides by ten; repeat it", repeat=True, metavar="N"
    )
    plateau: int = option(5, "epochs without improvement that make a plateau", metavar="N")
    warmup: float = option(0.0, "epochs, or a part of one, in which the rate rises to its highest", metavar="N")
    patience: int | None = option(None, "epochs without improvement after which the training stops early", metavar="N")
    precision: str = option("float32", "precision of activations; weights stay float32", choices=PRECISIONS)
    device: str = option("auto", "what computes: gpu, cpu, or a GPU if there is one", choices=("auto", "cpu", "gpu"))
    jit: bool = option(False, "compile with XLA: may help on one GPU, never on a processor")
    devices: int | None = option(
        None, "number of GPUs, instead of all; on a machine without any, parts of the processor", metavar="N"
    )
    sync_batch_norm: bool = option(
        False, "batch statistics over the clips of all devices, instead of each device's own"
    )
    hosts: str = option("", "addresses of all machines in order, the same on each: a:port,b:port", metavar="ADDRESSES")
    host_index: int = option(0, "which of them this one is, from 0", metavar="N")
    threads: int | None = option(
        None, "processor threads, instead of all; changes the last bits of the result", metavar="N"
    )
    deterministic: bool = option(True, "get the same bits from the same seed")
    seed: int = option(0, "seed of all random numbers", metavar="N")
    config: Path | None = option(
        None, "config.json of an earlier run, whose options are the defaults of this one", metavar="FILE"
    )
    runs: Path = option(RUNS, "where runs are kept", metavar="FOLDER")
    resume: bool = option(True, "continue a stopped training of the same options")
    again: bool = option(False, "replace an earlier run")
    dry_run: bool = option(False, "build everything, take a few steps, estimate time and memory, leave nothing")
    histograms: bool = option(False, "write histograms of the weights for TensorBoard")
    checkpoint_minutes: float = option(
        10.0, "minutes between checkpoints within an epoch; each epoch ends with one", metavar="MINUTES"
    )
    json: Path | None = option(None, "also write the result to this file", metavar="FILE")

    also_wrong: ClassVar[WrongTogether] = ()  # What else the options of a stream exclude.

    def __post_init__(self) -> None:
        """Refuses values that no training could use, and those that exclude each other."""
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
        """Tells whether only the last layer learns, from clips that never change: features are then computed once."""
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
        "--optimizer exact and --protocol folds belong together: pass both, or neither.",
    ),
    (
        lambda config: config.optimizer == EXACT and not config.keeps_features,
        "--optimizer exact solves the last layer on features that never change. Pass --train last-layer and "
        "--augment none with it, and neither --segments nor --skip-broken.",
    ),
    (
        lambda config: config.consensus != "mean" and config.segments == 1,
        "--consensus {consensus} joins the scores of segments: pass --segments K with it.",
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
        "--validation 0 leaves no videos to choose by. Pass more, or --protocol paper.",
    ),
    (
        lambda config: config.crop_on == "device" and not config.can_cut_on_device,
        "--crop-on device cuts the clips of one data set and one stream. It skips no clips and keeps no features. "
        "Drop it.",
    ),
    (
        lambda config: config.schedule == "step" and not config.milestones,
        "--schedule step needs to know when: pass --milestones N, once for each.",
    ),
    (
        lambda config: config.protocol == "paper" and bool(config.patience or config.schedule == "plateau"),
        "--protocol paper has no validation videos, which --patience and plateau look at. Drop one.",
    ),
)
