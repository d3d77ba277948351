"""Finds the videos, labels and groups of score files, from the lists of a data set or from the videos' names."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.catalog import DataSet
from data.sets.hmdb51 import group_of
from fusion.scores.of_files import NamedScores, plain_name
from fusion.scores.of_models import labels_of

# UCF-101's names: v_<Class>_g<group>_c<clip>, often without the v_.
_LIKE_UCF101 = re.compile(r"(?:v_)?(.+)_(g\d+)_c\d+")


class Truth(NamedTuple):
    """The videos of score files in order, with their labels and groups."""

    classes: tuple[str, ...]
    videos: tuple[str, ...]
    labels: np.ndarray
    groups: list[str]


def truth_of(scores: NamedScores, dataset: DataSet | None) -> Truth:
    """Returns the labels and groups of the videos in a score file, in its order."""
    return _from_lists(dataset, scores) if dataset else _from_names(scores)


def rows_of(scores: NamedScores, videos: Sequence[str]) -> list[int]:
    """Returns the rows of `videos` in a score file. Raises ValueError unless it has exactly these videos."""
    keys, wanted = _keys(scores.videos), _keys(videos)
    place, asked = {key: row for row, key in enumerate(keys)}, set(wanted)
    different = [name for name, key in zip(videos, wanted, strict=True) if key not in place]
    different += [name for name, key in zip(scores.videos, keys, strict=True) if key not in asked]
    if different:
        raise ValueError(
            f"All streams must have scored the same videos. {scores.stream} has {len(scores.videos)}, the first stream "
            f"has {len(videos)}; the first video that only one of them has is {different[0]}."
        )
    return [place[key] for key in wanted]


def columns_of(scores: NamedScores, rows: Sequence[int], truth: Truth) -> list[int]:
    """Returns the column of a score file for each class, found by the file's own classes or labels."""
    count = len(truth.classes)
    if scores.view_logits.shape[2] != count:
        raise ValueError(
            f"{scores.stream} has scores for {scores.view_logits.shape[2]} classes, but its videos are of {count}."
        )
    if scores.classes:
        if set(scores.classes) != set(truth.classes):
            other = min(set(scores.classes) ^ set(truth.classes))
            raise ValueError(f"The classes of {scores.stream} are not those of the data set; one of them is {other}.")
        return [scores.classes.index(name) for name in truth.classes]
    if scores.labels is None or truth.labels.ndim == 2:
        return list(range(count))
    own = scores.labels[list(rows)]
    column_of = dict(zip(truth.labels.tolist(), own.tolist(), strict=True))
    wrong = [row for row, label in enumerate(truth.labels.tolist()) if column_of[label] != own[row]]
    if wrong or len(set(column_of.values())) < len(column_of):
        raise ValueError(
            f"The labels in the file of {scores.stream} contradict the classes of its videos, for example for "
            f"{truth.videos[wrong[0] if wrong else 0]}."
        )
    # Classes without videos get the remaining columns, in order.
    left = iter(sorted(set(range(count)) - set(column_of.values())))
    return [column_of[label] if label in column_of else next(left) for label in range(count)]


def key_of(name: str) -> str:
    """Returns a name in a form for comparison, without its folder, extension and UCF-101's v_, in lower case.

    UCF-101's own lists spell some classes in two ways.
    """
    return plain_name(name).removeprefix("v_").casefold()


def _keys(names: Sequence[str]) -> list[str]:
    """Returns the names for comparison, with folders and extensions only if they would be ambiguous without."""
    keys = [key_of(name) for name in names]
    return keys if len(set(keys)) == len(keys) else list(names)


def _from_lists(dataset: DataSet, scores: NamedScores) -> Truth:
    known = {key_of(name): video for name, video in dataset.videos.items()}
    unknown = [name for name in scores.videos if key_of(name) not in known]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(scores.videos)} videos of {scores.stream} are not in {dataset.name}, for example "
            f"{unknown[0]}. Name the data set that was scored with --dataset."
        )
    videos = [known[key_of(name)] for name in scores.videos]
    names, groups = tuple(video.name for video in videos), [video.group for video in videos]
    return Truth(dataset.classes, names, labels_of(dataset, videos), groups)


def _from_names(scores: NamedScores) -> Truth:
    """Reads class and group from names like UCF-101's, or takes the folder as class. Sorts classes if not given."""
    described = [_described(name) for name in scores.videos]
    strange = [name for name, found in zip(scores.videos, described, strict=True) if not found[0]]
    if strange:
        raise ValueError(
            f"The class of {strange[0]} is unknown: its name is not like v_Archery_g01_c01. "
            "Name its data set with --dataset."
        )
    plain = tuple(plain_name(name) for name in scores.videos)
    names = plain if len(set(plain)) == len(plain) else scores.videos
    classes = scores.classes or tuple(sorted({found[0] for found in described}, key=str.casefold))
    place = {name: number for number, name in enumerate(classes)}
    return Truth(classes, names, np.array([place[found[0]] for found in described]), [found[1] for found in described])


def _described(entry: str) -> tuple[str, str]:
    """Returns the class and the group that a name contains, or empty strings."""
    name, folder = plain_name(entry), Path(entry).parent.name
    if found := _LIKE_UCF101.fullmatch(name):
        return found[1], f"{found[1]}_{found[2]}"
    return (folder, group_of(name, folder)) if folder else ("", "")
