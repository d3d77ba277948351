"""Collects the scores to fuse, and those to learn from, either of saved models or of score files."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

import numpy as np

from commands.schema import checked
from data.catalog import DataSet, Video
from data.sets.lists import training_lists
from fusion.methods.evidence import Evidence
from fusion.scores.of_files import NamedScores, in_order, read_score_file
from fusion.scores.of_models import labels_of, stream_scores
from fusion.scores.protocol import Scoring
from streams.runs.model_file import BOTH, file_hash
from streams.runs.run_folder import Run
from streams.runs.score_file import Scores, read_scores

# The videos that methods learn from: the validation groups that the streams were not trained on; the streams' own
# training list, as for the paper's SVM; or, by cross-validation, the other folds of the evaluated videos. Streams are
# more confident on their training list than on other videos, which misleads every method that learns from it.
FITS = ("validation", "train", "folds")
_APART = "videos that were kept apart from training"
_BY_FOLDS = "training videos, each scored by a fold that had not seen its group"


class _Options(TypedDict, total=False):
    """The options of a training that say what it was validated on."""

    protocol: Literal["validation", "paper", "test-selected", "folds"]
    validation: float
    seed: int


class Gathered(NamedTuple):
    """The scores of every stream for the videos to evaluate, and for the videos to learn from, if there are any."""

    streams: list[Scores]
    unseen: Evidence
    known: Evidence | None
    why_not: str  # The reason if there are no videos to learn from.
    learns_from: str
    joint: Scores | None = None  # Scores of a network of both streams, for the videos to evaluate.
    is_held_out: bool = False  # Whether the videos to learn from are new to the streams.
    held_out: tuple[str, ...] = ()  # Training videos to learn from, if each was scored by a fold that had not seen it.


def from_models(
    dataset: DataSet,
    split: int,
    streams: Sequence[str],
    scoring: Scoring,
    fit: str,
    *,
    with_features: bool = False,
    with_joint: bool = False,
) -> Gathered:
    """Returns the scores of saved models; `fit` is empty if no method learns."""

    def scores_of(part: str, videos: Sequence[Video], how: Scoring) -> list[Scores]:
        return [stream_scores(dataset, split, part, videos, stream, how) for stream in streams]

    def evidence_of(part: str, videos: Sequence[Video], scores: list[Scores], joint: Scores | None = None) -> Evidence:
        kept = dataclasses.replace(scoring, layer="features", crops="1")
        features = scores_of(part, videos, kept) if with_features else []
        return Evidence.of(scores, [video.group for video in videos], features, joint)

    test = dataset.part(split, "test")
    scores = scores_of("test", test, scoring)
    with_joint = with_joint and (BOTH in scoring.models or scoring.model(dataset, split, BOTH).is_file())
    joint = stream_scores(dataset, split, "test", test, BOTH, scoring) if with_joint else None
    unseen = evidence_of("test", test, scores, joint)
    held_out = _held_out(dataset, split, streams, scoring) if fit == "validation" else {}
    trained = [stream for stream in streams if stream not in held_out]
    videos, why_not = _to_learn_from(dataset, split, trained, scoring, fit) if trained else ((), "")
    if held_out and (videos or not trained):
        of_trained = [stream_scores(dataset, split, fit, videos, stream, scoring) for stream in trained]
        found = {each.stream: each for each in (*of_trained, *held_out.values())}
        shared = _shared([found[stream] for stream in streams])
        known = Evidence.of(shared, [dataset.videos[name].group for name in shared[0].videos])
        said, names = (_APART, ()) if trained else (_BY_FOLDS, shared[0].videos)
        return Gathered(scores, unseen, known, "", f"{known.num_videos} {said}", joint, True, names)
    if not videos:
        itself = f"the other folds, by group, of these {len(test)} videos" if fit == "folds" else ""
        return Gathered(scores, unseen, None, why_not, itself, joint)
    known = evidence_of(fit, videos, scores_of(fit, videos, scoring))
    said = f"the {fit} list, {len(videos)} videos"
    return Gathered(scores, unseen, known, "", said, joint, is_held_out=fit == "validation")


def from_files(sources: Sequence[str], dataset: DataSet | None, split: int, names: Path | None) -> Gathered:
    """Returns the scores of files; labels come from the data set, or from UCF-101's file names if none is given."""
    files = [read_score_file(source, names) for source in sources]
    videos = files[0].videos
    classes, labels, groups = _from_lists(dataset, files[0]) if dataset else _from_names(files[0])
    repeated = len({each.stream for each in files}) < len(files)
    scores = []
    for place, (file, source) in enumerate(zip(files, sources, strict=True), 1):
        if file.view_logits.shape[2] != len(classes):
            raise ValueError(
                f"{source} has scores for {file.view_logits.shape[2]} classes, but "
                f"{dataset.name if dataset else 'the names of its videos'} has {len(classes)}."
            )
        scores.append(
            Scores(
                stream=f"{file.stream}_{place}" if repeated else file.stream,
                data_set=dataset.name if dataset else "clips",
                split=split,
                part="test",
                protocol=f"{file.view_logits.shape[1]}, from a file",
                model_hash="",
                data_hash="",
                selection="unknown: scores from a file",
                classes=classes,
                videos=videos,
                labels=labels,
                view_logits=in_order(file, videos),
            )
        )
    return Gathered(
        scores, Evidence.of(scores, groups), None, "", f"the other folds, by group, of these {len(videos)} videos"
    )


def _held_out(dataset: DataSet, split: int, streams: Sequence[str], scoring: Scoring) -> dict[str, Scores]:
    """Returns held-out scores of the training videos, by stream, for models that were solved by folds."""
    found = {}
    for stream in streams:
        model = scoring.model(dataset, split, stream)
        path = Run(model.parent).held_out
        scores = read_scores(path) if path.is_file() else None
        if scores is None or scores.model_hash != file_hash(model) or scores.classes != dataset.classes:
            continue
        if set(scores.videos) <= dataset.videos.keys():
            found[stream] = scores
    return found


def _shared(streams: Sequence[Scores]) -> list[Scores]:
    """Returns the scores of the videos that all streams have scored, in the order of the first, as of one part."""
    names = set(streams[0].videos).intersection(*(scores.videos for scores in streams[1:]))
    videos = tuple(name for name in streams[0].videos if name in names)
    found = []
    for scores in streams:
        place = {name: row for row, name in enumerate(scores.videos)}
        rows = [place[name] for name in videos]
        labels, logits = scores.labels[rows], scores.view_logits[rows]
        found.append(dataclasses.replace(scores, part="held-out", videos=videos, labels=labels, view_logits=logits))
    return found


def _to_learn_from(
    dataset: DataSet, split: int, streams: Sequence[str], scoring: Scoring, fit: str
) -> tuple[tuple[Video, ...], str]:
    if fit == "train":
        return dataset.part(split, "train"), ""
    if fit != "validation":
        return (), ""
    lists = []
    for stream in streams:
        config = scoring.model(dataset, split, stream).parent / "config.json"
        if not config.is_file():
            return (
                (),
                f"{config} is missing, so the validation videos of {stream} are unknown. Pass --fit train or folds.",
            )
        try:
            options = checked(Run(config.parent).entry("options"), _Options)
            chosen_by, share, seed = options.get("protocol", "validation"), options["validation"], options["seed"]
        except (ValueError, KeyError):
            return (), f"{config} does not say what {stream} was validated on. Pass --fit train or folds."
        if chosen_by == "folds":
            return (), (
                f"{stream} was trained by the protocol folds, but its held-out scores are missing or from another "
                f"model. Train it again with --again, or pass --fit folds."
            )
        if chosen_by != "validation":
            return (), f"{stream} was trained by the protocol {chosen_by}, without validation videos. Pass --fit train."
        lists.append(training_lists(dataset, split, chosen_by, share, seed)[1])
    shared = set(lists[0]).intersection(*lists[1:])
    if not shared:
        return (), "the streams were validated on different videos. Train them with one --seed, or pass --fit folds."
    return tuple(video for video in lists[0] if video in shared), ""


def _from_lists(dataset: DataSet, scores: NamedScores) -> tuple[tuple[str, ...], np.ndarray, list[str]]:
    """Returns the classes, labels and groups of the videos from the lists of a data set."""
    known = {_key(name): video for name, video in dataset.videos.items()}
    unknown = [name for name in scores.videos if _key(name) not in known]
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(scores.videos)} videos of {scores.stream} are not in {dataset.name}, for example "
            f"{unknown[0]}. Name the data set that was scored with --dataset."
        )
    if scores.classes and scores.classes != dataset.classes:
        raise ValueError(
            f"The classes of {scores.stream} differ from those of {dataset.name}, or are in another order."
        )
    videos = [known[_key(name)] for name in scores.videos]
    return dataset.classes, labels_of(dataset, videos), [video.group for video in videos]


def _from_names(scores: NamedScores) -> tuple[tuple[str, ...], np.ndarray, list[str]]:
    """Returns classes, labels and groups from names like UCF-101's, v_<Class>_g<group>_c<clip>; classes are sorted."""
    parts = [name.removeprefix("v_").rsplit("_", 2) for name in scores.videos]
    strange = [name for name, part in zip(scores.videos, parts, strict=True) if len(part) != 3 or part[1][:1] != "g"]
    if strange:
        raise ValueError(
            f"The class of {strange[0]} is unknown: its name is not like v_Archery_g01_c01. "
            "Name its data set with --dataset."
        )
    classes = scores.classes or tuple(sorted({part[0] for part in parts}, key=str.casefold))
    place = {name: number for number, name in enumerate(classes)}
    return classes, np.array([place[part[0]] for part in parts]), [f"{part[0]}_{part[1]}" for part in parts]


def _key(name: str) -> str:
    """Returns a name in lower case for comparison, since UCF-101's own lists spell some classes in two ways."""
    return name.removeprefix("v_").casefold()
