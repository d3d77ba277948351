"""Options that a training may do without: other losses, averaged weights, uneven rates. By default, none is on."""

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
    """The options that change how a network is trained, not what it is."""

    vary: tuple[str, ...] = option(
        (),
        f"a way to vary clips, with its amount as in rotate:10 or without; repeat it: {', '.join(VARIATIONS)}",
        repeat=True,
        metavar="NAME",
    )
    mirror_classes: tuple[str, ...] = option(
        (),
        "two classes that are each other in a mirror, as in left:right, or a file of such lines; repeat it",
        repeat=True,
        metavar="NAME|FILE",
    )
    teacher: tuple[str, ...] = option(
        (),
        "a finished run, or a model, whose answers are learnt beside the labels; repeat it for the mean of several, "
        "such as both streams",
        repeat=True,
        metavar="FOLDER",
    )
    teacher_weight: float = option(0.9, "share of the loss that is about the teacher's answers", metavar="SHARE")
    loss: str = option(
        "plain",
        "cross-entropy; the same with rare classes weighing more; or with logits moved by how frequent each class is, "
        "so that rare ones are not under-rated",
        choices=LOSSES,
    )
    label_smoothing: float = option(0.0, "share of the target that all classes have in equal parts", metavar="SHARE")
    ema: float = option(
        0.0, "decay of a running mean of the weights, which is chosen by and saved; 0.999, say", metavar="SHARE"
    )
    layer_decay: float = option(
        1.0, "each of a dozen groups of layers learns at this multiple of the rate of the one above it", metavar="SHARE"
    )
    drop_path: float = option(
        0.0, "share of clips for which the last residual block is left out; less for blocks before it", metavar="SHARE"
    )


def amounts_of(config: Tricks) -> dict[str, float]:
    """Returns how much of each variation clips get; refuses what is not known, and what does not suit their kinds."""
    clip = Input(getattr(config, "input", "rgb"), getattr(config, "length", 1))
    kinds = {clip.kind: clip.num_items} | ({"rgb": 1} if hasattr(config, "fusion") else {})
    return suiting(variations_of(config.vary), config.vary, kinds)


# What excludes each other, and what to do about it.
EXCLUSIVE: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (
        lambda config: config.optimizer == "exact" and bool(config.tricks),
        "--optimizer exact solves the last layer, without steps that an option of the group tricks could change. Drop "
        "those, or exact.",
    ),
    (
        lambda config: bool(getattr(config, "and_dataset", "") and config.tricks),
        "Two data sets at once are learnt without the options of the group tricks. Drop those, or --and-dataset.",
    ),
    (lambda config: bool(config.vary) and not amounts_of(config), "--vary changes nothing of these clips. Drop it."),
    (
        lambda config: config.jit and bool(set(PLACES) & set(variations_of(config.vary))),
        "--jit can't compile what turns, scales or shears clips. Drop it, or name other variations with --vary.",
    ),
    (
        lambda config: bool(config.mirror_classes) and config.augment == "none",
        "--mirror-classes says what mirrored clips show, and --augment none mirrors none. Drop one of them.",
    ),
    (
        lambda config: bool(config.teacher) and (hasattr(config, "fusion") or config.keeps_features),
        "--teacher is for one stream that learns from clips, not for both at once or for kept features. Drop it.",
    ),
    (
        lambda config: bool(config.teacher) and config.skip_broken,
        "--skip-broken would show a teacher other videos than the network that it teaches. Drop one of them.",
    ),
    (
        lambda config: config.teacher_weight != Tricks.teacher_weight and not config.teacher,
        "--teacher-weight weighs the answers of a teacher: pass --teacher with it.",
    ),
    (
        lambda config: bool(config.ema) and config.keeps_features,
        "--ema is for networks that learn from clips, and the last layer alone learns from kept features. Drop it.",
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
