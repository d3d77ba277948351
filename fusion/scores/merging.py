"""Merges the score files of the parts of a list into one. It is the same as that of a single process."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from streams.runs.score_file import Scores, read_scores

_PART = re.compile(r"\.(\d+)-of-(\d+)\.h5$")


def part_path(path: Path, number: int, count: int) -> Path:
    """Returns the path of the scores of one of `count` parts, which are there until they are merged."""
    return path.with_name(f"{path.stem}.{number}-of-{count}.h5")


def parts_of(path: Path) -> list[Path]:
    """Returns the existing score files of parts."""
    found = (each for each in path.parent.glob("*-of-*.h5") if _PART.search(each.name))
    return sorted(each for each in found if _PART.sub("", each.name) == path.stem)


def merged(path: Path, wanted: Scores) -> Scores:
    """Returns the scores of all parts. Raises ValueError if a video is in none or in two, or if models differ."""
    paths = parts_of(path)
    numbers = [match.groups() for each in paths if (match := _PART.search(each.name))]
    counts = {int(count) for _, count in numbers}
    if len(counts) != 1 or {int(number) for number, _ in numbers} != set(range(1, 1 + max(counts))):
        names = ", ".join(each.name for each in paths) or "none"
        raise ValueError(
            f"Merging the scores of {wanted.stream} on the {wanted.part} list needs those of all parts 1/N to N/N, "
            f"with one N, in {path.parent}. Found: {names}. Score the missing parts with --shard, and delete those of "
            "another N."
        )
    rows: dict[str, np.ndarray] = {}
    for each in paths:
        scores = read_scores(each)
        if not scores.has_origin_of(wanted):
            raise ValueError(f"{each} is of another model, other data or another protocol. Score that part again.")
        for video, logits in zip(scores.videos, scores.view_logits, strict=True):
            if video in rows:
                raise ValueError(f"{video} is in two parts; the second is {each.name}. Score that part again.")
            rows[video] = logits
    absent = [video for video in wanted.videos if video not in rows]
    if absent or len(rows) > len(wanted.videos):
        example = absent[0] if absent else next(iter(rows.keys() - set(wanted.videos)))
        what = f"{len(absent):,} videos are in no part" if absent else "Parts hold videos that are not in the list"
        raise ValueError(f"{what}, for example {example}. Score the parts again with --rescore.")
    return replace(wanted, view_logits=np.stack([rows[video] for video in wanted.videos]))
