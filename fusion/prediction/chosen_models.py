"""Chooses the models: those that the user names, or those trained on a data set. Checks that they fit together."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from commands.files import RUNS
from data.flow import METHODS
from fusion.methods.evidence import first_difference
from fusion.prediction.hub_address import local
from streams.runs.model_file import BOTH, read_card
from streams.runs.run_folder import Run

SLOTS = ("spatial", "temporal")


def add_model_options(parser: argparse.ArgumentParser, *, with_method: bool = True) -> None:
    """Adds the options that choose the models; all commands that use both streams share them."""
    models = parser.add_argument_group("models")
    models.add_argument("--spatial", type=Path, metavar="FILE", help="a saved spatial model")
    models.add_argument("--temporal", type=Path, metavar="FILE", help="a saved temporal model")
    models.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="one file of both streams: exported, trained as one, or hf://OWNER/NAME",
    )
    models.add_argument(
        "--dataset",
        default="shapes",
        metavar="NAME",
        help="without model files, use the models trained on this data set",
    )
    models.add_argument(
        "--split", type=int, default=1, metavar="N", help="without model files, use the models of this split"
    )
    models.add_argument("--runs", type=Path, default=RUNS, metavar="FOLDER", help="where runs are kept")
    fusion = models.add_mutually_exclusive_group()
    fusion.add_argument(
        "--fusion", default="", metavar="NAME|FILE", help="how to fuse both streams (default: as validation chose)"
    )
    fusion.add_argument(
        "--weights",
        dest="fusion",
        type="weighted:{}".format,
        default=argparse.SUPPRESS,
        metavar="NUMBER,NUMBER",
        help="weight of each stream, like 1,1.5; the same as --fusion weighted:1,1.5",
    )
    if with_method:
        models.add_argument("--method", choices=METHODS, help="compute flow by this method (default: as in training)")


def model_files(options: argparse.Namespace, say: Callable[[str], None] = print) -> dict[str, Path]:
    """Returns the model files by stream: those that the options name, or those of the data set; prints the latter."""
    named = {"spatial": options.spatial, "temporal": options.temporal}
    if options.model and any(named.values()):
        raise ValueError("--model holds both streams: pass it alone, or --spatial and --temporal without it.")
    if options.model:
        models = {BOTH: local(options.model)}
    elif any(named.values()):
        models = {name: path for name, path in named.items() if path}
    else:
        folder = options.runs / options.dataset
        models = trained_models(folder, options.split)
        say(f"Using the models of {options.dataset} in {folder}. --spatial and --temporal name others.")
    check_models(models)
    return models


def trained_models(folder: Path, split: int) -> dict[str, Path]:
    """Returns the trained models of one split in the runs of a data set, as in `runs/ucf101`."""
    found = {name: Run.of(folder.parent, folder.name, name, split).model for name in SLOTS}
    models = {name: path for name, path in found.items() if path.exists()}
    if not models:
        raise FileNotFoundError(
            f"There are no trained models of split {split} in {folder}. Train them with ./run train spatial --dataset "
            f"{folder.name} --split {split} and the same for temporal, or name model files: --spatial FILE "
            "--temporal FILE."
        )
    return models


def check_models(models: Mapping[str, Path]) -> None:
    """Raises an error if models are missing, were swapped, or have different classes."""
    if BOTH in models:
        if not models[BOTH].exists():
            raise FileNotFoundError(f"There is no model {models[BOTH]}. Name a file that ./run export wrote.")
        return
    cards = {name: read_card(path) for name, path in models.items()}
    for slot, card in cards.items():
        if card.stream == BOTH:
            raise ValueError(f"{models[slot]} is a network of both streams. Pass it as --model, not as --{slot}.")
        if slot in SLOTS and card.stream in SLOTS and card.stream != slot:
            raise ValueError(
                f"{models[slot]} is a {card.stream} model (its input is {card.input_kind}), not a {slot} one. "
                f"Pass it as --{card.stream}."
            )
    (first, ours), *others = cards.items()
    for name, card in others:
        if card.classes != ours.classes:
            raise ValueError(
                f"The streams must have the same classes in the same order. {models[first]} and {models[name]} "
                f"differ: {first_difference(ours.classes, card.classes, 'class')}. "
                "Name two models that were trained on one data set."
            )
