"""Compares found segments with labelled ones by average precision, as in temporal action localisation."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from data.sets.segments import Segment
from fusion.prediction.over_time.segments import is_decided

# A segment counts as found from this overlap on: temporal intersection over union.
OVERLAP = 0.5


def average_precisions(
    found: Sequence[Segment], labelled: Sequence[Segment], overlap: float = OVERLAP
) -> Mapping[str, float]:
    """Returns the average precision of each labelled class.

    The segments of a class are taken in the order of falling confidence. Each claims the free labelled segment of its
    video and class that it overlaps most. It is wrong if no overlap is large enough. The precision at a recall is the
    best one at that recall or a higher one, as in the evaluations of PASCAL VOC and ActivityNet.
    """
    return {
        label: _average_precision(
            sorted((each for each in found if each.label == label), key=lambda each: -each.confidence),
            [each for each in labelled if each.label == label],
            overlap,
        )
        for label in sorted({each.label for each in labelled})
    }


class Judgement(TypedDict):
    """The quality of found segments."""

    overlap: float
    mean_average_precision: float
    average_precision: dict[str, float]
    videos: int
    segments: int


def judged(found: Sequence[Segment], labelled: Sequence[Segment], overlap: float = OVERLAP) -> Judgement:
    """Returns the average precision of each class and their mean, over the videos that have labels."""
    videos = {each.video for each in labelled}
    counted = [each for each in found if each.video in videos and is_decided(each)]
    of_class = average_precisions(counted, labelled, overlap)
    return Judgement(
        overlap=overlap,
        mean_average_precision=float(np.mean(list(of_class.values()))),
        average_precision=dict(of_class),
        videos=len(videos),
        segments=len(labelled),
    )


def _average_precision(found: Sequence[Segment], labelled: Sequence[Segment], overlap: float) -> float:
    free, right = list(labelled), np.zeros(len(found), bool)
    for place, each in enumerate(found):
        best = max(free, key=each.overlap, default=None)
        if best is not None and each.overlap(best) >= overlap:
            free.remove(best)
            right[place] = True
    recall = np.cumsum(right) / len(labelled)
    precision = np.cumsum(right) / np.arange(1, len(found) + 1)
    best_from_here_on = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    return float((steps * best_from_here_on).sum())


def as_text(found: Judgement) -> str:
    """Returns this quality as a sentence."""
    return (
        f"Mean average precision {found['mean_average_precision']:.1%} at a temporal overlap of {found['overlap']}, "
        f"for {found['segments']} labelled segments of {found['videos']} videos."
    )
