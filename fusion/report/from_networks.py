"""Makes the parts of a report that need networks, and so TensorFlow: pictures of examples, and questions."""

import dataclasses
from pathlib import Path

import h5py
import numpy as np

from commands.schema import checked
from data.catalog import DataSet
from fusion.explaining.moments import heat_pictures
from fusion.methods.kept import Doubt, Fusion
from fusion.report.examples import Example, choose_examples, picture
from fusion.report.more_clips import more_clips_of, outside_of
from fusion.report.questions import Questions
from fusion.report.scene import scene_of
from fusion.scores.gather import Gathered
from fusion.scores.protocol import Scoring
from streams.last_layer.subsets import Subsets
from streams.networks.frames_in_time import parts_of
from streams.runs.model_file import load_model
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores

# The most seconds of processor time for solving last layers again.
_SECONDS = 60.0


def examples_of(gathered: Gathered, fused: np.ndarray, dataset: DataSet, scoring: Scoring) -> list[Example]:
    """Returns examples for the report: pictures of what they show and of where each stream looks."""
    streams, split = gathered.streams, gathered.streams[0].split
    chosen = choose_examples(gathered.unseen.logits, fused, gathered.unseen.labels)
    videos = [dataset.videos[streams[0].videos[place]] for place, _ in chosen]
    examples = [picture(dataset, video, *why) for video, why in zip(videos, chosen, strict=True)]
    shown = [place for place, video in enumerate(videos) if video.labels]
    labelled = [(videos[place], videos[place].labels[0]) for place in shown]
    models = {each.stream: scoring.model(dataset, split, each.stream) for each in streams}
    heat = {stream: heat_pictures(dataset, model, labelled) for stream, model in models.items()}
    for number, place in enumerate(shown):
        seen = {stream: drawn[number] for stream, drawn in heat.items() if drawn}
        examples[place] = dataclasses.replace(examples[place], looks=seen)
    return examples


def questions_of(gathered: Gathered, dataset: DataSet, scoring: Scoring, fusion: Fusion) -> Questions:
    """Returns the analyses of models whose last layers were solved by folds: learning curve, scene, unknown classes."""
    answers: Questions = {"more_clips": None, "outside": None, "scene": None, "doubt": _doubt(fusion), "why_not": {}}
    answers["scene"] = scene_of(gathered, dataset, scoring, fusion)
    assert gathered.known is not None
    try:
        parts = [
            part
            for each in gathered.streams
            for part in kept_parts(scoring.model(dataset, each.split, each.stream), gathered.held_out)
        ]
    except (OSError, KeyError, ValueError) as error:
        answers["why_not"] = dict.fromkeys(
            ("more_clips", "outside"), f"features that training kept are missing: {error}"
        )
        return answers

    subsets = Subsets(parts, gathered.known.labels, gathered.known.groups.tolist(), seconds=_SECONDS)
    answers["outside"] = outside_of(subsets, dataset.classes)
    answers["more_clips"] = more_clips_of(subsets, dataset.classes)
    if not answers["outside"]:
        few = len(np.unique(subsets.labels)) < 3
        reason = "leaving a class out needs at least three classes" if few else "there was no time for it"
        answers["why_not"]["outside"] = reason
    return answers


def _doubt(fusion: Fusion) -> dict[str, float] | None:
    doubt: Doubt | None = fusion.doubt
    return {"below": doubt.below, "kept": doubt.kept} if doubt else None


def kept_parts(model: Path, names: tuple[str, ...]) -> list[np.ndarray]:
    """Returns the features [V, D] of each part that a model uses, for the named videos."""
    run = Run(model.parent)
    of_file = read_scores(run.held_out).videos
    with h5py.File(run.features("train")) as file:
        features = file["features"][()].mean(axis=1)
    if len(features) != len(of_file):
        raise ValueError(f"{run.features('train')} holds {len(features)} videos instead of {len(of_file)}")
    place = {name: row for row, name in enumerate(of_file)}
    rows = [place[name] for name in names]
    weights = checked(run.described().get("parts"), dict[str, float])
    sizes = parts_of(load_model(model)[0])
    edges = np.cumsum([0, *sizes.values()])
    return [
        features[rows, start:end]
        for name, start, end in zip(sizes, edges[:-1], edges[1:], strict=True)
        if weights.get(name, 0.0) > 0
    ]
