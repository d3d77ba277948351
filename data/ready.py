"""Opens a data set by its name, either from its lists only or with the prepared files of each video."""

import dataclasses
import difflib
import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, cast

from commands.files import DATASETS, share
from commands.running import usable_processors
from data.catalog import Archive, DataSet, Split, in_words, read_layout
from data.extraction.all_videos import prepare
from data.sets import ccv, folders, hmdb51, shapes, ucf101
from data.store.index import (
    READY,
    Description,
    find_description,
    index_file,
    index_path,
    is_indexed,
    is_table,
    read_description,
    read_index,
    with_counts,
)
from data.store.mapped_index import MappedDataSet, mapped_index, open_mapped


class KnownSet(NamedTuple):
    """The function that opens a data set, its downloads, and the data set whose folder it shares, if any."""

    open: Callable[[Path], DataSet]
    archives: tuple[Archive, ...] = ()
    shares: str = ""
    how_to_get: str = ""  # Instructions if nothing can be downloaded; {root} is its folder.


BUILT_IN = "shapes"
OWN = "folder"
KNOWN = {
    BUILT_IN: KnownSet(shapes.open_dataset),
    "ucf101": KnownSet(ucf101.open_dataset, ucf101.ARCHIVES),
    "hmdb51": KnownSet(hmdb51.open_dataset, hmdb51.ARCHIVES),
    "ccv": KnownSet(ccv.open_dataset, how_to_get=ccv.HOW_TO_GET),
    "ccv-all": KnownSet(ccv.open_all, shares="ccv", how_to_get=ccv.HOW_TO_GET),
    "ccv-single": KnownSet(ccv.open_single, shares="ccv", how_to_get=ccv.HOW_TO_GET),
    OWN: KnownSet(folders.open_dataset),
}


# The entries of `flow.json` about frames.
_OF_FRAMES = ("short_side", "enlarge", "size", "fps", "every")
_NOT_PREPARED = "{} is not prepared in {}. Run: ./run prepare {}"


def open_dataset(name: str, root: Path) -> DataSet:
    """Returns the data set of this name in `root`, from its lists only: no video is opened."""
    if name not in KNOWN and not root.is_dir():
        raise _unknown(name)
    opened = KNOWN.get(name, KNOWN[OWN]).open(root)
    # Runs and score files use the name that was asked for.
    return dataclasses.replace(opened, name=name)


def home_of(name: str) -> Path:
    """Returns the default folder of a data set."""
    known = KNOWN.get(name)
    return DATASETS / (known.shares if known and known.shares else name)


def is_own(name: str) -> bool:
    """Tells whether a name means the user's own videos instead of a published data set."""
    return name not in KNOWN or name == OWN


def ready_dataset(name: str, root: Path | None) -> DataSet:
    """Returns a prepared data set with its counts. Prepares the built-in one first if necessary, with a message."""
    if is_table(root or home_of(name)) and (mapped := open_mapped(name, root or home_of(name))):
        return _mapped(mapped)
    dataset = open_dataset(name, root or home_of(name))
    if dataset.make_videos:
        _prepare_built_in(dataset)
    if not is_indexed(dataset.root):
        raise FileNotFoundError(_NOT_PREPARED.format(name, dataset.root, in_words(name, dataset.root)))
    share(dataset.root)
    if read_layout(dataset.root) != dataset.layout:  # It was packed or unpacked after it was opened.
        dataset = open_dataset(name, dataset.root)
    rows = read_index(index_path(dataset.root))
    states = Counter(rows[name].state if name in rows else "not prepared" for name in dataset.videos)
    counted = with_counts(dataset, rows)
    return counted if states.keys() <= {READY} else _without_unusable(counted, states)


def _mapped(dataset: MappedDataSet) -> DataSet:
    """Returns a data set whose index is a table; its lists name only videos that are ready."""
    share(dataset.root)
    states = Counter(dataset.videos.about["states"])
    if states.keys() > {READY} or not states[READY]:
        _say_unusable(dataset, states)
    return dataset


def _prepare_built_in(dataset: DataSet) -> None:
    print(f"Using the built-in data set {dataset.name} in {dataset.root} (--dataset names another).", flush=True)
    try:
        if not _is_indexed(dataset):
            prepare(dataset, usable_processors())
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Stopped while the data set {dataset.name} was being prepared in {dataset.root}. Nothing else had begun. "
            "The same command first prepares the remaining videos."
        ) from None


def flow_description(root: Path) -> Description:
    """Returns the description of the flow in `root` by its `flow.json`."""
    description = find_description(root)
    if "method" not in description:
        raise _no_flow(root)
    return description


def _no_flow(root: Path) -> ValueError:
    read_description(root)  # Raises an error if nothing is prepared at all.
    return ValueError(f"{root} holds frames but no flow. Run: ./run prepare {in_words(root.name, root)} --only flow")


def _unknown(name: str) -> ValueError:
    guess = difflib.get_close_matches(name, KNOWN, n=1)
    meant = f"; did you mean {guess[0]!r}?" if guess else "."
    return ValueError(
        f"There is no data set named {name!r}{meant} Known ones are {', '.join(sorted(KNOWN))}. To make one of your "
        f"own videos, with one folder per class, run: ./run prepare {shlex.quote(name)} --videos FOLDER"
    )


def _is_indexed(dataset: DataSet) -> bool:
    return is_indexed(dataset.root) and read_index(index_path(dataset.root)).keys() >= dataset.videos.keys()


def _say_unusable(dataset: DataSet, states: Counter[str]) -> None:
    """Prints how many videos are not ready; refuses a data set of which none is."""
    total, ready = states.total(), states.pop(READY, 0)
    if not ready:
        raise ValueError(
            f"None of the {total:,} videos of {dataset.name} is ready. "
            f"See {index_file(dataset.root)} for the reasons, and type ./run prepare again."
        )
    counts = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    print(f"{ready:,} of {total:,} videos are used: {counts} (see {index_file(dataset.root)}).", flush=True)


def _without_unusable(dataset: DataSet, states: Counter[str]) -> DataSet:
    """Returns the data set without the videos that are not ready, and prints how many there are."""
    _say_unusable(dataset, states)
    videos = {name: video for name, video in dataset.videos.items() if video.num_frames or video.num_flows}
    splits = {
        number: Split(*(tuple(name for name in part if name in videos) for part in vars(split).values()))
        for number, split in dataset.splits.items()
    }
    return dataclasses.replace(dataset, videos=videos, splits=splits)


def frame_description(root: Path) -> Description:
    """Returns how the frames in `root` were made, and the size of most of them, for use on other videos."""
    made: Mapping[str, object] = find_description(root)
    described = cast(Description, {name: made[name] for name in _OF_FRAMES if name in made})
    if made.get("jpeg_quality", 0) is None:  # Left out otherwise: frames are JPEGs nearly always.
        described["jpeg_quality"] = None
    usual = mapped_index(root).usual_size if is_table(root) else _usual_size(root)
    return cast(Description, {**described, "usual_size": usual}) if usual else described


def _usual_size(root: Path) -> list[int] | None:
    rows = read_index(index_path(root)).values()
    sizes = Counter((row.width, row.height) for row in rows if row.state == READY and row.width)
    return list(sizes.most_common(1)[0][0]) if sizes else None
