"""What people ask of a model of their own clips: would more clips help, does the scene decide, what of other things.

Answers rest on features that training kept and on folds, so only networks whose last layer was solved have them.
"""

import json
from pathlib import Path
from typing import TypedDict

import h5py
import numpy as np

from commands.running import quiet_tensorflow
from data.catalog import DataSet
from fusion.methods.kept import Doubt, Fusion
from fusion.report.more_clips import MoreClips, Outside, more_clips_of, outside_of
from fusion.report.scene import Scene, scene_of
from fusion.scores.gather import Gathered
from fusion.scores.protocol import Scoring
from streams.runs.model_file import load_model
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores

# Seconds that solving last layers again may take.
_SECONDS = 45.0


class Questions(TypedDict):
    """The answers; None where there is none, and then why."""

    more_clips: MoreClips | None
    outside: Outside | None
    scene: Scene | None
    doubt: dict[str, float] | None
    why_not: dict[str, str]


def questions_of(gathered: Gathered, dataset: DataSet, scoring: Scoring, fusion: Fusion) -> Questions:
    """Returns answers about models whose last layers were solved by folds."""
    quiet_tensorflow()
    answers: Questions = {"more_clips": None, "outside": None, "scene": None, "doubt": _doubt(fusion), "why_not": {}}
    answers["scene"] = scene_of(gathered, dataset, scoring, fusion)
    assert gathered.known is not None
    try:
        parts = [
            part
            for each in gathered.streams
            for part in _kept_parts(scoring.model(dataset, each.split, each.stream), gathered.held_out, dataset)
        ]
    except (OSError, KeyError, ValueError) as error:
        answers["why_not"] = dict.fromkeys(
            ("more_clips", "outside"), f"features that training kept are missing: {error}"
        )
        return answers
    from streams.last_layer.subsets import Subsets  # Brings scikit-learn and Keras.

    subsets = Subsets(parts, gathered.known.labels, gathered.known.groups.tolist(), seconds=_SECONDS)
    answers["more_clips"] = more_clips_of(subsets, dataset.classes)
    answers["outside"] = outside_of(subsets, dataset.classes)
    if not answers["outside"]:
        answers["why_not"]["outside"] = "leaving a class out takes three classes at least"
    return answers


def sentences(found: Questions) -> list[str]:
    """Returns the answers, one sentence each."""
    return [*_about_more(found), *_about_the_scene(found), *_about_others(found)]


def _about_more(found: Questions) -> list[str]:
    more = found["more_clips"]
    if not more:
        return []
    low, high = more["gain_interval"]
    gain = f"about {100 * more['gain']:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    lines = [f"With twice as many clips: {gain}."]
    if more["classes"] and more["classes"][0]["interval"][0] > 0:
        best = more["classes"][0]
        lines.append(
            f"More clips of {best['name']} would help most: with twice as many, {100 * best['gain']:+.1f} points."
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


def _doubt(fusion: Fusion) -> dict[str, float] | None:
    doubt: Doubt | None = fusion.doubt
    return {"below": doubt.below, "kept": doubt.kept} if doubt else None


def _kept_parts(model: Path, names: tuple[str, ...], dataset: DataSet) -> list[np.ndarray]:
    """Returns the features [V, D] of each part that a model uses, of the videos that are named."""
    from streams.networks.frames_in_time import parts_of  # Brings Keras.

    run = Run(model.parent)
    of_file = read_scores(run.held_out).videos
    with h5py.File(run.features("train")) as file:
        features = file["features"][()].mean(axis=1)
    if len(features) != len(of_file):
        raise ValueError(f"{run.features('train')} holds {len(features)} videos, not {len(of_file)}")
    place = {name: row for row, name in enumerate(of_file)}
    rows = [place[name] for name in names]
    weights = json.loads(run.config.read_text(encoding="utf-8"))["parts"]
    sizes = parts_of(load_model(model)[0])
    edges = np.cumsum([0, *sizes.values()])
    return [
        features[rows, start:end]
        for name, start, end in zip(sizes, edges[:-1], edges[1:], strict=True)
        if weights.get(name, 0.0) > 0
    ]
