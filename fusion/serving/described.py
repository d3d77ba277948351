"""Says which models the service uses, which classes they know, and how well they were judged."""

from pathlib import Path
from typing import TypedDict

from commands.schema import read_json
from fusion.prediction.chosen_fusion import FUSION_FILE, sentence
from fusion.prediction.prediction import Json
from fusion.two_stream import TwoStream


class _Report(TypedDict):
    """What is needed of the report of an evaluation."""

    num_videos: int
    video_accuracy: dict[str, float]
    interval: dict[str, list[float]]


def described(two_stream: TwoStream) -> Json:
    """Returns what the start page shows of the models."""
    networks = len(two_stream.scorers)
    return {
        "streams": [
            {
                "name": name,
                "looks_at": card.input_kind.replace("_", " "),
                "data_set": card.data_set,
                "split": card.split,
            }
            for name, card in two_stream.cards.items()
        ],
        "classes": list(two_stream.classes),
        "fusion": sentence(two_stream.fusion) if networks > 1 else "",
        "judged": _judged(two_stream),
    }


def _judged(two_stream: TwoStream) -> str:
    """Returns what the evaluation said that chose the fusion; nothing is known of models that only a file names."""
    fusion = two_stream.fusion
    source = Path(fusion.source)
    if source.name != FUSION_FILE or not (path := source.with_name("report.json")).is_file():
        return ""
    try:
        report = read_json(path, _Report)
        accuracy, (low, high) = report["video_accuracy"][fusion.method], report["interval"][fusion.method]
    except (ValueError, KeyError):
        return ""
    return (
        f"{accuracy:.1%} of {report['num_videos']:,} test videos were right (95 % interval {low:.1%} to {high:.1%}, "
        "over groups of videos)."
    )
