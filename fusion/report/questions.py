"""States the answers to three questions: would more clips help, does the scene decide, what of unknown classes?

The answers need kept features and folds, so they exist only for networks whose last layer was solved.
"""

from typing import TypedDict

from fusion.report.more_clips import MoreClips, Outside
from fusion.report.scene import Scene


class Questions(TypedDict):
    """The answers. Each may be None; then its reason is given."""

    more_clips: MoreClips | None
    outside: Outside | None
    scene: Scene | None
    doubt: dict[str, float] | None
    why_not: dict[str, str]


def sentences(found: Questions) -> list[str]:
    """Returns the answers, a sentence or two each."""
    return [*_about_more(found), *_about_the_scene(found), *_about_others(found)]


def _about_more(found: Questions) -> list[str]:
    more = found["more_clips"]
    if not more:
        return []
    low, high = more["gain_interval"]
    gain = f"about {100 * more['gain']:+.1f} percentage points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    lines = [f"Twice as many clips would change the accuracy by {gain}."]
    if more["classes"] and more["classes"][0]["interval"][0] > 0:
        best = more["classes"][0]
        lines.append(
            f"More clips of {best['name']} would help most: twice as many would change it by "
            f"{100 * best['gain']:+.1f} percentage points."
        )
    else:
        lines.append("No single class needs more clips than the others.")
    return lines


def _about_the_scene(found: Questions) -> list[str]:
    scene = found["scene"]
    if not scene:
        return []
    normal, frozen = scene["accuracy"]["as they are"]["fused"], scene["accuracy"]["frozen"]["fused"]
    words = "motion decides" if scene["interval"]["frozen"][0] > 0 else "the scene alone may decide"
    return [f"Of {scene['videos']} test videos {normal:.1%} are right, and {frozen:.1%} if they are frozen: {words}."]


def _about_others(found: Questions) -> list[str]:
    outside = found["outside"]
    if not outside:
        return []
    return [
        f"Of clips of an unknown class, {outside['false_alarms']:.0%} get an answer at the threshold that "
        f"{outside['kept']:.0%} of the other clips pass (area under the ROC curve {outside['auroc']:.2f})."
    ]
