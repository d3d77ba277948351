"""The recipe that is taken if the command line names none: it follows the data set, its videos and the weights at hand.

An option that shapes the network or its training, given by hand, turns it off: who says part of a recipe means the rest
of it to be as `--help` says.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from data.ready import BUILT_IN, home_of, is_own
from data.store.index import READY, index_path, read_index
from pipelines.inputs import MOST
from streams.recipes.imagenet_files import ImagenetFile, find_imagenet
from streams.recipes.table import RECIPES, Options

# Published data sets, and the recipe of either stream that their literature supports: the spatial stream pretrained,
# the temporal one from scratch.
PUBLISHED = {
    "ucf101": {"spatial": "very-deep", "temporal": "paper"},
    "hmdb51": {"spatial": "very-deep", "temporal": "paper"},
    "ccv": {"spatial": "ccv", "temporal": "ccv"},
    "ccv-single": {"spatial": "ccv", "temporal": "ccv"},
}
# Options that say on what, where and how long is worked, not what is trained.
_BESIDE = (
    *("dataset", "root", "split", "seed", "weights", "runs", "resume", "no-resume", "again", "dry-run", "json"),
    *("threads", "devices", "hosts", "host-index", "deterministic", "no-deterministic", "help", "recipe"),
)
# Networks that own clips are looked at with, best first, by what was measured (docs/results.md).
# The side of a crop unless --crop-size says else: that of the built-in data set.
DEFAULT_CROP = 64
OWN, QUICK = "own", "own-quick"  # The second looks at half as many frames and fields.
OWN_RECIPES = (OWN, QUICK)
STREAMS = ("spatial", "temporal")
PRETRAINED = ("mobilenet", "mobilenet_v2")
_SOLVED: Options = {
    "protocol": "folds",
    "train": "last-layer",
    "optimizer": "exact",
    "augment": "none",
    "shown": "whole",
}


def automatic_options(
    argv: Sequence[str] | None, stream: str, words: Sequence[str], recipe: str
) -> tuple[Options, str]:
    """Returns the options that are taken without being asked for, and a paragraph about them."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("--dataset", "--root", "--weights", "--crop-size"):
        parser.add_argument(name)
    given = parser.parse_known_args(argv)[0]
    name = given.dataset or BUILT_IN
    shaping = [word for word in words if word.startswith("--") and word[2:].partition("=")[0] not in _BESIDE]
    if not recipe and (shaping or stream not in STREAMS):
        return _most_of_the_frame(given, name)
    if not recipe and name == BUILT_IN:
        return {}, ""
    if not recipe and not is_own(name):
        recipe = PUBLISHED[name][stream]
        published = {**RECIPES[recipe].options(stream), "dataset": name, "recipe": recipe}
        return published, f"No option of the training is given: the recipe {recipe} is taken (--recipe list says more)."
    root = Path(given.root) if given.root else home_of(name)
    if not index_path(root).exists():
        return {}, ""  # The command says what to do.
    share = 2 if recipe == QUICK else 1
    options, said = _own_spatial(root, given.weights, share) if stream == "spatial" else _own_temporal(root, share)
    return {**options, "recipe": recipe or OWN}, said


def _most_of_the_frame(given: argparse.Namespace, name: str) -> tuple[Options, str]:
    """Returns the options by which crops show most of real frames, where a crop of pixels would show a hole of them."""
    root = Path(given.root) if given.root else home_of(name)
    size = int(given.crop_size) if (given.crop_size or "").isdecimal() else DEFAULT_CROP
    if name == BUILT_IN or not index_path(root).exists():
        return {}, ""
    share = size / _usual(root)[0]
    if share >= MOST:
        return {}, ""
    return {"shown": "most"}, (
        f"A crop of {size} pixels would show {share:.0%} of the frames' short side. Crops show {MOST:.0%} of it, "
        f"resized to {size} pixels (--shown pixels for the other)."
    )


def _own_spatial(root: Path, weights: str | None, share: int) -> tuple[Options, str]:
    side, frames, _, count = _usual(root)
    if weights == "none":
        size = min(112, side)
        # Of few clips, those that are left of the training list must still fill a batch.
        batch_size = min(32, max(1, count // 2))
        options: Options = {"crop_size": size, "shown": "most", "epochs": 60, "batch_size": batch_size}
        return options, (
            "Without pretrained weights, a small network learns single frames from scratch, cut to 7/8 of their short "
            f"side and {size} pixels. It needs hundreds of videos to be good; see --weights."
        )
    backbone, found = _best_at_hand()
    # As large as the frames are, up to what the network was made for: enlarging brings nothing.
    size = min((128, 160, 192, 224), key=lambda each: (abs(each - side), each))
    length = (16 if frames >= 24 else 8) // share
    options = {**_SOLVED, "input": "rgb_spread", "length": length, "backbone": backbone, "crop_size": size}
    source = weights or (found.path.name if found else "the download of Keras")
    return options, (
        f"The recipe for own clips: {backbone} looks at {length} whole frames of each video, {size} pixels wide "
        f"and high. Its weights are those of {source} (ImageNet) and stay as they are; the last layer is solved on "
        "what it sees, in which order and how it changes, by folds over groups."
    )


def _own_temporal(root: Path, share: int) -> tuple[Options, str]:
    _, _, fields, _ = _usual(root)
    length = max(4, min(24, fields) // share)
    options = {**_SOLVED, "input": "flow_spread", "length": length, "backbone": "motion", "crop_size": 144}
    return {**options, "weights": "none"}, (
        f"The recipe for own clips: {length} fields of flow, spread over each video and seen whole, become maps of "
        "eight directions. How strong motion is, which way it goes where, and a convolution over time, trained from "
        "scratch, are weighed by folds over groups."
    )


def _usual(root: Path) -> tuple[int, int, int, int]:
    """Returns the usual short side, number of frames and number of fields of the videos, and how many these are."""
    rows = [row for row in read_index(index_path(root)).values() if row.state == READY]
    sides = [min(row.width, row.height) for row in rows if row.width] or [256]
    middle = (
        statistics.median_low(values or [0]) for values in ([row.frames for row in rows], [row.flows for row in rows])
    )
    return statistics.median_low(sides), *middle, len(rows)  # type: ignore[return-value]


def _best_at_hand() -> tuple[str, ImagenetFile | None]:
    for backbone in PRETRAINED:
        found = find_imagenet(backbone)
        if found:
            return backbone, found
    return PRETRAINED[0], None
