"""Optional changes of a training: other losses, averaged weights, rates of layers. By default, all are off."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from commands.options import option
from pipelines.inputs import Input
from pipelines.variations.table import PLACES, VARIATIONS, suiting, variations_of

LOSSES = ("plain", "class-weighted", "logit-adjusted")
TRICKS = (
    *("vary", "mirror_classes", "teacher", "teacher_weight", "loss", "label_smoothing", "ema", "layer_decay"),
    "drop_path",
)


@dataclass(frozen=True, kw_only=True)
class Tricks:
    """The options that change the training of a network, but not the network."""

    vary: tuple[str, ...] = option(
        (),
        f"a way to vary clips, with its amount as in rotate:10 or without; can be repeated: {', '.join(VARIATIONS)}",
        repeat=True,
        metavar="NAME",
    )
    mirror_classes: tuple[str, ...] = option(
        (),
        "two classes that are each other in a mirror, as in left:right, or a file of such lines; can be repeated",
        repeat=True,
        metavar="NAME|FILE",
    )
    teacher: tuple[str, ...] = option(
        (),
        "a finished run, or a model, whose answers are learned beside the labels; repeat it for the mean of several, "
        "such as both streams",
        repeat=True,
        metavar="FOLDER",
    )
    teacher_weight: float = option(0.9, "share of the loss that comes from the teacher's answers", metavar="SHARE")
    loss: str = option(
        "plain",
        "plain: cross-entropy; class-weighted: rare classes weigh more; logit-adjusted: logits are moved by the "
        "frequency of their class, so that rare classes are not underrated",
        choices=LOSSES,
    )
    label_smoothing: float = option(0.0, "share of the target that is spread evenly over all classes", metavar="SHARE")
    ema: float = option(
        0.0, "decay of a running mean of the weights, which is validated and saved; for instance 0.999", metavar="SHARE"
    )
    layer_decay: float = option(
        1.0, "each of a dozen groups of layers has this multiple of the rate of the group after it", metavar="SHARE"
    )
    drop_path: float = option(
        0.0, "share of clips that skip the last residual block; fewer skip the blocks before it", metavar="SHARE"
    )


def amounts_of(config: Tricks) -> dict[str, float]:
    """Returns the amount of each variation. Refuses unknown ones, and those that don't suit the clips."""
    clip = Input(getattr(config, "input", "rgb"), getattr(config, "length", 1))
    kinds = {clip.kind: clip.num_items} | ({"rgb": 1} if hasattr(config, "fusion") else {})
    return suiting(variations_of(config.vary), config.vary, kinds)


# Options that exclude each other: a condition, and the advice.
EXCLUSIVE: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (
        lambda config: config.optimizer == "exact" and bool(config.tricks),
        "--optimizer exact solves the last layer without steps, but options of the group tricks change steps. Drop "
        "those, or exact.",
    ),
    (
        lambda config: bool(getattr(config, "and_dataset", "") and config.tricks),
        "Training on two data sets at once has no options of the group tricks. Drop those, or --and-dataset.",
    ),
    (lambda config: bool(config.vary) and not amounts_of(config), "--vary changes nothing of these clips. Drop it."),
    (
        lambda config: config.jit and bool(set(PLACES) & set(variations_of(config.vary))),
        "--jit can't compile what turns, scales or shears clips. Drop it, or name other variations with --vary.",
    ),
    (
        lambda config: bool(config.mirror_classes) and config.augment == "none",
        "--mirror-classes needs mirrored clips, but --augment none mirrors none. Drop one of them.",
    ),
    (
        lambda config: bool(config.teacher) and (hasattr(config, "fusion") or config.keeps_features),
        "--teacher is for one stream that learns from clips, not for both at once or for kept features. Drop it.",
    ),
    (
        lambda config: bool(config.teacher) and config.skip_broken,
        "--skip-broken would show a teacher other videos than the taught network. Drop one of them.",
    ),
    (
        lambda config: config.teacher_weight != Tricks.teacher_weight and not config.teacher,
        "--teacher-weight weighs the answers of a teacher: pass --teacher with it.",
    ),
    (
        lambda config: bool(config.ema) and config.keeps_features,
        "--ema is for networks that learn from clips, but the last layer alone learns from kept features. Drop it.",
    ),
    (
        lambda config: config.loss != "plain" and config.balance,
        "--loss {loss} and --balance both make up for rare classes. Drop one of them.",
    ),
    (
        lambda config: config.layer_decay != 1 and hasattr(config, "fusion"),
        "--layer-decay is for one stream, and this network has two. Drop it.",
    ),
    (
        lambda config: config.layer_decay != 1 and config.first_layer_rate != 1,
        "--layer-decay and --first-layer-rate both set the rate of the first layer. Drop one of them.",
    ),
)
