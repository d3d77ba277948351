"""Describes the models of the service: what they look at, their classes, and the results of their evaluation."""

from pathlib import Path
from typing import TypedDict

from commands.schema import read_json
from fusion.prediction.chosen_fusion import FUSION_FILE, sentence
from fusion.prediction.prediction import FUSED, Json
from fusion.two_stream import TwoStream

# The content of a clip in words, by the kind of input and its length.
CLIPS = {
    "rgb": "single frames",
    "grey": "{} grey frames in a row",
    "sg3i": "three grey frames at once",
    "rgb_difference": "{} differences between frames",
    "rgb_spread": "{} frames over the whole video",
    "flow": "{} fields of flow in a row",
    "trajectory": "{} fields of flow along the motion",
    "bidirectional": "{} fields of flow, forward and backward",
    "warped": "{} fields of flow without that of the camera",
    "flow_spread": "{} fields of flow over the whole video",
    "flow_stacks": "{} stacks of flow over the whole video",
}


class _Report(TypedDict):
    """The entries of an evaluation's report that are needed."""

    num_videos: int
    video_accuracy: dict[str, float]
    interval: dict[str, list[float]]


def described(two_stream: TwoStream) -> Json:
    """Returns the description of the models for the start page."""
    is_fused, report, method = len(two_stream.scorers) > 1, _report(two_stream), two_stream.fusion.method
    accuracy: dict[str, float | None] = {}
    if report:
        accuracy = {name: report["video_accuracy"].get(name) for name in two_stream.cards}
    if is_fused and report:
        accuracy[FUSED] = report["video_accuracy"].get(method)
    return {
        "streams": [
            {
                "name": name,
                "looks_at": CLIPS[card.input_kind].format(card.length),
                "data_set": card.data_set,
                "split": card.split,
            }
            for name, card in two_stream.cards.items()
        ],
        "classes": list(two_stream.classes),
        "method": method if is_fused else "",
        "fusion": sentence(two_stream.fusion) if is_fused else "",
        "accuracy": accuracy,
        "judged": _judged(report, method) if report else "",
    }


def _report(two_stream: TwoStream) -> _Report | None:
    """Returns the report of the evaluation that chose the fusion, or None if there is none beside the models."""
    source = Path(two_stream.fusion.source)
    if source.name != FUSION_FILE or not (path := source.with_name("report.json")).is_file():
        return None
    try:
        report = read_json(path, _Report)
        return report if report["interval"][two_stream.fusion.method] else None
    except (ValueError, KeyError):
        return None


def _judged(report: _Report, method: str) -> str:
    low, high = report["interval"][method]
    return (
        f"{report['video_accuracy'][method]:.1%} of {report['num_videos']:,} test videos were right (95 % interval "
        f"{low:.1%} to {high:.1%}, over groups of videos)."
    )
