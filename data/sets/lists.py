"""Reads published lists of videos, and divides the training list into training and validation."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatch
from pathlib import Path

import numpy as np

from commands.text import is_printable
from data.catalog import DataSet, Video
from data.store.columns import mixed
from data.store.mapped_index import VideoRows

# The selection of weights: on groups cut from the training list; none, after a fixed schedule on the whole list; on the
# test list, as in much published code, which gives too good results; or by folds over the groups of the list.
PROTOCOLS = ("validation", "paper", "test-selected", "folds")


def find_lists(root: Path, landmark: str, folders: Sequence[str], source: str, *, can_be_fetched: bool = True) -> Path:
    """Returns the folder below `root` with the published lists, found by the file or pattern `landmark`."""
    places = [root / "annotations", *(root / above / folder for above in ("annotations", ".") for folder in folders)]
    for place in places:
        if any(place.glob(landmark)):
            return place
    fetch = ", or let --download fetch them" if can_be_fetched else ""
    raise _no_lists(root / "annotations", landmark, source, fetch)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the number and the text of each line of a list that is not empty."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the other lists of the data set are in that folder.")
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.isprintable() and not is_printable(line, keep="\t"):
            raise ValueError(f"Line {number} of {path} holds control characters. Get the published list again.")
        if line.strip():
            yield number, line.strip()


def bad_line(path: Path, number: int, line: str, expected: str) -> ValueError:
    """Returns the error for a line that is not of the form that the data set's authors publish."""
    return ValueError(f"Line {number} of {path} is {line!r}. Expected {expected}. Get the published list again.")


def training_lists(
    dataset: DataSet, split: int, protocol: str, share: float, seed: int
) -> tuple[Sequence[Video], Sequence[Video]]:
    """Returns `(training, validation)` of a split under a protocol; `paper` and `folds` have no validation videos."""
    listed = dataset.part(split, "train")
    if protocol == "validation":
        return named_parts(dataset, split) if dataset.splits[split].validation else cut_validation(listed, share, seed)
    return listed, dataset.part(split, "test") if protocol == "test-selected" else ()


def named_parts(dataset: DataSet, split: int) -> tuple[Sequence[Video], Sequence[Video]]:
    """Returns `(training, validation)` as the data set's own list names them."""
    count = len(dataset.splits[split].validation)
    print(f"The list of {dataset.name} names {count} validation videos, so no others are cut.", flush=True)
    listed, held_out = dataset.part(split, "train"), dataset.part(split, "validation")
    if isinstance(listed, VideoRows) and isinstance(held_out, VideoRows):
        return listed.without(held_out), held_out
    named = set(dataset.splits[split].validation)
    return tuple(video for video in listed if video.name not in named), held_out


@singledispatch
def cut_validation(
    videos: Sequence[Video], fraction: float = 0.1, seed: int = 0
) -> tuple[Sequence[Video], Sequence[Video]]:
    """Cuts whole random groups off a training list, some of every class: `(training, validation)`."""
    groups: dict[str, list[Video]] = {}
    for video in videos:
        groups.setdefault(video.group, []).append(video)
    drawn = sorted(groups)
    random.Random(seed).shuffle(drawn)
    total, taken, chosen = _count_labels(videos), Counter[int](), set[str]()
    for group in drawn:  # A group is taken if that brings the classes nearer to the wanted share.
        counts = _count_labels(groups[group])
        # The gain of classes that still need validation videos, minus the loss of those that have enough.
        gain = sum(min(count, max(0.0, fraction * total[label] - taken[label])) for label, count in counts.items())
        if gain > sum(counts.values()) / 2 and all(taken[label] + counts[label] < total[label] for label in counts):
            chosen.add(group)
            taken.update(counts)
    if len(taken) < len(total):  # A class that still has none gives its smallest group, if it can spare one.
        chosen |= _spared([groups[name] for name in drawn], total, taken)
    if not chosen:
        raise _no_validation(len(videos), len(groups))
    training = tuple(video for video in videos if video.group not in chosen)
    return training, tuple(video for video in videos if video.group in chosen)


@cut_validation.register
def _cut_by_keys(videos: VideoRows, fraction: float = 0.1, seed: int = 0) -> tuple[VideoRows, VideoRows]:
    """Cuts groups off a list of very many videos: each with the probability `fraction`, by a number made of its key."""
    salt = mixed(np.array([seed + 1], np.uint64))
    chosen = np.empty(len(videos), bool)
    total = taken = np.zeros(len(videos.whole.about["classes"]), np.int64)
    for places, numbers in videos.blocks():
        chosen[places] = _numbers_of_groups(videos, numbers, salt) < fraction * 2**32
        labels = videos.table.numbers("label", numbers)
        total = total + np.bincount(labels, minlength=len(total))
        taken = taken + np.bincount(labels[chosen[places]], minlength=len(total))
    lacking = np.flatnonzero((total > 0) & ((taken == 0) | (taken == total)))
    if len(lacking) and not videos.whole.about["multi_label"]:
        drawn = np.concatenate([_numbers_of_groups(videos, numbers, salt) for _, numbers in videos.blocks()])
        _some_of_each(lacking, videos.column("label"), drawn, chosen)
    if not chosen.any() or chosen.all():
        raise _no_validation(len(videos), len(np.unique(videos.column("group_key"))))
    return videos.chosen(~chosen), videos.chosen(chosen)


def _numbers_of_groups(videos: VideoRows, numbers: np.ndarray, salt: np.ndarray) -> np.ndarray:
    """Returns a random number for the group of each row, uint32."""
    return (mixed(videos.table.numbers("group_key", numbers) ^ salt) >> np.uint64(32)).astype(np.uint32)


def _some_of_each(lacking: np.ndarray, labels: np.ndarray, drawn: np.ndarray, chosen: np.ndarray) -> None:
    """Gives each class that has no validation videos, or no others, one group of them, if it has two groups."""
    for label in lacking:
        first, *others = np.unique(drawn[labels == label])
        if others:
            chosen[np.isin(drawn, others)] = False
            chosen[drawn == first] = True


def _spared(drawn: Sequence[Sequence[Video]], total: Counter[int], taken: Counter[int]) -> set[str]:
    """Returns the smallest group that each class without validation videos can spare; adds its videos to `taken`."""
    by_label: dict[int, list[Sequence[Video]]] = {}
    for group in sorted(drawn, key=len):  # Sorting keeps the order of those of one size.
        for label in _count_labels(group):
            by_label.setdefault(label, []).append(group)
    chosen = set()
    for label in sorted(total.keys() - taken.keys()):
        for group in by_label[label] if label not in taken else ():
            counts = _count_labels(group)
            if all(taken[each] + count < total[each] for each, count in counts.items()):
                chosen.add(group[0].group)
                taken.update(counts)
                break
    return chosen


def _no_lists(folder: Path, landmark: str, source: str, fetch: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"{landmark} is not in {folder}: the lists of this data set are not there. "
        f"Get {source} and put its files there, or name their folder with --annotations{fetch}."
    )


def _no_validation(num_videos: int, num_groups: int) -> ValueError:
    return ValueError(
        f"No validation part can be cut from {num_videos} videos in {num_groups} groups: no class has a group to "
        "spare, and a group is never divided. Add videos of other groups, or pass --protocol paper to train on all."
    )


def _count_labels(videos: Iterable[Video]) -> Counter[int]:
    return Counter(label for video in videos for label in video.labels)
