"""The data sets that are known by name, and how each is opened; any other name is a folder of own videos."""

import dataclasses
import difflib
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from commands.files import DATASETS
from data.catalog import Archive, DataSet
from data.sets import ccv, folders, hmdb51, shapes, ucf101


class KnownSet(NamedTuple):
    """How to open a data set, what can be downloaded of it, and whose folder it shares where it has none."""

    open: Callable[[Path], DataSet]
    archives: tuple[Archive, ...] = ()
    shares: str = ""


BUILT_IN = "shapes"
OWN = "folder"
KNOWN = {
    BUILT_IN: KnownSet(shapes.open_dataset),
    "ucf101": KnownSet(ucf101.open_dataset, ucf101.ARCHIVES),
    "hmdb51": KnownSet(hmdb51.open_dataset, hmdb51.ARCHIVES),
    "ccv": KnownSet(ccv.open_dataset),
    "ccv-single": KnownSet(ccv.open_single, shares="ccv"),
    OWN: KnownSet(folders.open_dataset),
}


def open_dataset(name: str, root: Path) -> DataSet:
    """Returns the data set of this name that lies in `root`, from its lists alone: no video is opened."""
    if name not in KNOWN and not root.is_dir():
        guess = difflib.get_close_matches(name, KNOWN, n=1)
        raise ValueError(
            f"There is no data set named {name!r}"
            + (f"; did you mean {guess[0]!r}? " if guess else ". ")
            + f"Those known are {', '.join(sorted(KNOWN))}. A folder of own videos, one folder a class, "
            f"becomes one by: python data/prepare.py {shlex.quote(name)} --videos FOLDER"
        )
    opened = KNOWN.get(name, KNOWN[OWN]).open(root)
    # The name that was asked for is the one that runs and score files carry.
    return dataclasses.replace(opened, name=name)


def home_of(name: str) -> Path:
    """Returns the folder of a data set where none is named."""
    known = KNOWN.get(name)
    return DATASETS / (known.shares if known and known.shares else name)


def is_own(name: str) -> bool:
    """Tells whether a name is that of a folder of own videos rather than of a published data set."""
    return name not in KNOWN or name == OWN
