"""Which models a command uses: those that are named, or those trained on a data set."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from commands.files import RUNS
from data.flow import METHODS
from fusion.cards import SLOTS
from streams.modelfile import BOTH
from streams.runs import Run

if TYPE_CHECKING:
    from fusion.two_stream import TwoStream


def add_model_options(parser: argparse.ArgumentParser, *, with_method: bool = True) -> None:
    """Adds the options that say which models are used, for every command that uses both streams."""
    parser.add_argument("--spatial", type=Path, metavar="FILE", help="a saved spatial model")
    parser.add_argument("--temporal", type=Path, metavar="FILE", help="a saved temporal model")
    parser.add_argument("--model", type=Path, metavar="FILE", help="both in one file: exported, or trained as one")
    parser.add_argument("--dataset", default="shapes", metavar="NAME", help="without models: those trained on it")
    parser.add_argument("--split", type=int, default=1, metavar="N", help="without models: those of this split")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="where runs are kept")
    if with_method:
        parser.add_argument("--method", choices=METHODS, help="compute flow by this method, not by the training's")


def model_files(options: argparse.Namespace, say: Callable[[str], None] = print) -> dict[str, Path]:
    """Returns the model files that the options name, by stream; says so where they name none."""
    named = {"spatial": options.spatial, "temporal": options.temporal}
    if options.model and any(named.values()):
        raise ValueError("--model holds both streams: pass it alone, or --spatial and --temporal without it.")
    if options.model:
        return {BOTH: options.model}
    if any(named.values()):
        return {name: path for name, path in named.items() if path}
    folder = options.runs / options.dataset
    models = trained_models(folder, options.split)
    say(f"Using the models of {options.dataset} in {folder} (--spatial and --temporal name others).")
    return models


def trained_models(folder: Path, split: int) -> dict[str, Path]:
    """Returns the models trained on one data set, as in `runs/ucf101`, of one split."""
    found = {name: Run.of(folder.parent, folder.name, name, split).model for name in SLOTS}
    models = {name: path for name, path in found.items() if path.exists()}
    if not models:
        raise FileNotFoundError(
            f"There are no trained models of split {split} in {folder}. Train them: python spatial/train.py --dataset "
            f"{folder.name} --split {split}, and temporal/train.py likewise; or name some: --spatial FILE "
            "--temporal FILE."
        )
    return models


def load_streams(options: argparse.Namespace, say: Callable[[str], None] = print) -> "TwoStream":
    """Loads the models that the options name, or else those of the data set that they name."""
    from fusion.two_stream import TwoStream

    two_stream = TwoStream(model_files(options, say))
    if options.method and (note := two_stream.use_flow(options.method)):
        say(f"Note: {note}.")
    return two_stream
