"""Chooses the recipe of a training: the one named on the command line, or the one that suits the data and weights.

A suitable recipe is chosen only if no option of the network or of its training is given. Otherwise all other options
have the defaults that `--help` shows.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from commands.remote import local
from data.ready import BUILT_IN, home_of, is_own
from data.store.index import READY, Row, index_path, is_indexed, is_table, read_index
from data.store.mapped_index import mapped_index
from pipelines.inputs import MOST
from streams.recipes.imagenet_files import ImagenetFile, find_imagenet
from streams.recipes.table import RECIPES, Options, Recipe

# Published data sets, and for each stream the recipe that the literature supports: the spatial stream pretrained, the
# temporal one from scratch.
PUBLISHED = {
    "ucf101": {"spatial": "very-deep", "temporal": "paper"},
    "hmdb51": {"spatial": "very-deep", "temporal": "paper"},
    "ccv": {"spatial": "ccv", "temporal": "ccv"},
    "ccv-all": {"spatial": "ccv", "temporal": "ccv"},
    "ccv-single": {"spatial": "ccv", "temporal": "ccv"},
}
_MOST_SHOWN = (
    "A crop of {size} pixels would show {share:.0%} of the frames' short side. So crops show "
    f"{MOST:.0%} of it, resized to {{size}} pixels (--shown pixels turns this off)."
)
# Options that change neither the network nor its training.
_BESIDE = (
    *("dataset", "root", "split", "seed", "weights", "runs", "resume", "no-resume", "again", "dry-run", "json"),
    *("threads", "devices", "hosts", "host-index", "deterministic", "no-deterministic", "help", "help-all", "recipe"),
)
# The side of a crop without --crop-size: that for the built-in data set.
DEFAULT_CROP = 64
OWN, QUICK = "own", "own-quick"  # QUICK uses half as many frames and fields.
OWN_RECIPES = (OWN, QUICK)
STREAMS = ("spatial", "temporal")
# Networks for the frames of own clips, from the best one on, as measured (docs/background/results.md).
PRETRAINED = ("mobilenet", "mobilenet_v2")
_SOLVED: Options = {
    "protocol": "folds",
    "train": "last-layer",
    "optimizer": "exact",
    "augment": "none",
    "shown": "whole",
}


class _Usual(NamedTuple):
    """The median size and length of the videos of a data set, and their number."""

    side: int  # The shorter side of a frame.
    frames: int
    fields: int
    number: int


def recipe_presets(argv: Sequence[str] | None, stream: str) -> Options:
    """Returns the options of the recipe that the command line names, or of the one that suits the data set."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("dataset", "root", "weights", "crop-size", "recipe", "config"):
        parser.add_argument(f"--{name}", default="")
    words = sys.argv[1:] if argv is None else argv
    given = parser.parse_known_args(words)[0]
    if given.config:
        return _repeated(Path(given.config), stream, parser)
    if given.recipe and given.recipe not in OWN_RECIPES:
        return _named(given.recipe, stream, parser)  # Ends the command for `list`, and for an unknown recipe.
    if {"-h", "--help", "--help-all"} & set(words):
        return {}
    options, said = _fitting(given, words, stream)
    print(said, end="\n" if said else "", flush=True)
    return options


def recipe_named(name: str) -> Recipe:
    """Returns a recipe. Raises ValueError for an unknown name."""
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}. Choose one of {', '.join(RECIPES)}; --recipe list says more.")
    return RECIPES[name]


def departures(name: str, stream: str, options: Options) -> dict[str, Any]:
    """Returns the options that differ from the recipe, with the recipe's values."""
    if name in OWN_RECIPES:
        return {}
    wanted = recipe_named(name).options(stream)
    return {key: value for key, value in wanted.items() if options[key] != (list(value) if _is_list(value) else value)}


def listing() -> str:
    """Returns a description of all recipes: source, commands and expected results."""
    return "\n\n".join(_described(name, recipe) for name, recipe in RECIPES.items())


def _named(name: str, stream: str, parser: argparse.ArgumentParser) -> Options:
    if name == "list":
        print(listing())
        sys.exit(0)
    try:
        return recipe_named(name).options(stream)
    except ValueError as error:
        parser.error(str(error))


def _repeated(path: Path, stream: str, parser: argparse.ArgumentParser) -> Options:
    """Returns the options of an earlier run of the stream. For one in stages, those of its first stage."""
    first = path.parent / "stage1" / path.name
    try:
        described = json.loads((first if first.is_file() else path).read_text(encoding="utf-8"))
        options: dict[str, Any] = described["options"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"--config {path} is no config.json of a run: {error}")
    if described.get("stream", stream) != stream:
        parser.error(
            f"--config {path} is of a run of the {described['stream']} stream, but this command trains another one."
        )
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _described(name: str, recipe: Recipe) -> str:
    results = ", ".join(f"{what} {percent:g} %" for what, percent in recipe.expected.items())
    chosen = ", selected on the test list" if recipe.is_test_selected else ""
    known = "estimated" if recipe.is_estimate else "expected"
    expected = (
        f"{known} on split 1: {results} (± {recipe.tolerance:g}{chosen})" if results else "no published figures known"
    )
    return "\n".join([f"{name}  ({recipe.source})", *(f"    {line}" for line in [expected, *recipe.commands(name)])])


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _fitting(given: argparse.Namespace, words: Sequence[str], stream: str) -> tuple[Options, str]:
    """Returns the automatically chosen options, and a paragraph that explains them."""
    name = given.dataset or BUILT_IN
    root = local(Path(given.root)) if ":" in given.root else Path(given.root or home_of(name))
    shaping = [word for word in words if word.startswith("--") and word[2:].partition("=")[0] not in _BESIDE]
    if not given.recipe and (shaping or stream not in STREAMS):
        return _most_of_the_frame(name, root, given.crop_size)
    if not given.recipe and not is_own(name):
        return _published(name, stream)
    # If nothing is prepared, the command itself will say what to do.
    return _for_own(given, root, stream) if is_indexed(root) else ({}, "")


def _for_own(given: argparse.Namespace, root: Path, stream: str) -> tuple[Options, str]:
    share = 2 if given.recipe == QUICK else 1
    options, said = _own_spatial(root, given.weights, share) if stream == "spatial" else _own_temporal(root, share)
    return {**options, "recipe": given.recipe or OWN}, said


def _published(name: str, stream: str) -> tuple[Options, str]:
    if name == BUILT_IN:
        return {}, ""
    recipe = PUBLISHED[name][stream]
    options = {**RECIPES[recipe].options(stream), "dataset": name, "recipe": recipe}
    return options, f"No option of the training is given, so the recipe {recipe} is used (--recipe list explains it)."


def _most_of_the_frame(name: str, root: Path, crop_size: str) -> tuple[Options, str]:
    """Returns options for crops that show most of a real frame, where a crop of pixels would show only a small part."""
    if name == BUILT_IN or not is_indexed(root):
        return {}, ""
    size = int(crop_size) if crop_size.isdecimal() else DEFAULT_CROP
    share = size / (mapped_index(root).median("sides") or 256 if is_table(root) else _usual_side(_ready_rows(root)))
    return ({}, "") if share >= MOST else ({"shown": "most"}, _MOST_SHOWN.format(size=size, share=share))


def _own_spatial(root: Path, weights: str, share: int) -> tuple[Options, str]:
    usual = _usual(root)
    if weights == "none":
        size = min(112, usual.side)
        # The clips that remain after validation must still fill a batch.
        batch_size = min(32, max(1, usual.number // 2))
        options: Options = {"crop_size": size, "shown": "most", "epochs": 60, "batch_size": batch_size}
        return options, (
            "Without pretrained weights, a small network learns single frames from scratch, cut to 7/8 of their short "
            f"side and resized to {size} pixels. It needs hundreds of videos to be good; see --weights."
        )
    backbone, found = _best_at_hand()
    # The size of the frames, at most the size for which the network was made: enlarging would not help.
    size = min((128, 160, 192, 224), key=lambda each: (abs(each - usual.side), each))
    length = (16 if usual.frames >= 24 else 8) // share
    options = {**_SOLVED, "input": "rgb_spread", "length": length, "backbone": backbone, "crop_size": size}
    source = weights or (found.path.name if found else "the download of Keras")
    return options, (
        f"The recipe for own clips: {backbone} sees {length} whole frames of each video, {size} pixels wide and "
        f"high. Its weights are those of {source} (ImageNet) and stay fixed. The last layer is solved by folds over "
        "groups, on features of what is seen, in which order, and how it changes."
    )


def _own_temporal(root: Path, share: int) -> tuple[Options, str]:
    length = max(4, min(24, _usual(root).fields) // share)
    options = {**_SOLVED, "input": "flow_spread", "length": length, "backbone": "motion", "crop_size": 144}
    return {**options, "weights": "none"}, (
        f"The recipe for own clips: {length} whole fields of flow, spread over each video, become maps of eight "
        "directions. Three parts are weighted by folds over groups: the strength of motion, its directions and "
        "places, and a convolution over time that is trained from scratch."
    )


def _ready_rows(root: Path) -> list[Row]:
    return [row for row in read_index(index_path(root)).values() if row.state == READY]


def _usual_side(rows: Sequence[Row]) -> int:
    return statistics.median_low([min(row.width, row.height) for row in rows if row.width] or [256])


def _usual(root: Path) -> _Usual:
    if is_table(root):
        index = mapped_index(root)
        return _Usual(index.median("sides") or 256, index.median("frames"), index.median("flows"), len(index))
    rows = _ready_rows(root)
    return _Usual(
        side=_usual_side(rows),
        frames=statistics.median_low([row.frames for row in rows] or [0]),
        fields=statistics.median_low([row.flows for row in rows] or [0]),
        number=len(rows),
    )


def _best_at_hand() -> tuple[str, ImagenetFile | None]:
    for backbone in PRETRAINED:
        found = find_imagenet(backbone)
        if found:
            return backbone, found
    return PRETRAINED[0], None
