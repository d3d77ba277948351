"""Answers questions about a model of own clips: would more clips help, does it rely on the scene, what of other things.

Answers need kept features and folds, so they exist only for networks whose last layer was solved.
"""

from typing import TypedDict

from fusion.report.more_clips import MoreClips, Outside
from fusion.report.scene import Scene


class Questions(TypedDict):
    """The answers; each may be None, with the reason."""

    more_clips: MoreClips | None
    outside: Outside | None
    scene: Scene | None
    doubt: dict[str, float] | None
    why_not: dict[str, str]


def sentences(found: Questions) -> list[str]:
    """Returns the answers, one sentence each."""
    return [*_about_more(found), *_about_the_scene(found), *_about_others(found)]


def _about_more(found: Questions) -> list[str]:
    more = found["more_clips"]
    if not more:
        return []
    low, high = more["gain_interval"]
    gain = f"about {100 * more['gain']:+.1f} percentage points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    lines = [f"With twice as many clips: {gain}."]
    if more["classes"] and more["classes"][0]["interval"][0] > 0:
        best = more["classes"][0]
        lines.append(
            f"More clips of {best['name']} would help most: with twice as many, "
            f"{100 * best['gain']:+.1f} percentage points."
        )
    else:
        lines.append("No class stands out that more clips would be needed of.")
    return lines


def _about_the_scene(found: Questions) -> list[str]:
    scene = found["scene"]
    if not scene:
        return []
    normal, frozen = scene["accuracy"]["as they are"]["fused"], scene["accuracy"]["frozen"]["fused"]
    words = "it needs motion" if scene["interval"]["frozen"][0] > 0 else "it may well look at the scene alone"
    return [f"Of {scene['videos']} test videos {normal:.1%} are right, {frozen:.1%} if they stand still: {words}."]


def _about_others(found: Questions) -> list[str]:
    outside = found["outside"]
    if not outside:
        return []
    return [
        f"Of clips of a class that it does not know, {outside['false_alarms']:.0%} get an answer where "
        f"{outside['kept']:.0%} of the others do (area under the ROC {outside['auroc']:.2f})."
    ]
