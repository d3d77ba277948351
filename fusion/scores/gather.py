"""Collects the scores to fuse, and the scores to learn from, of saved models or of score files."""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

import numpy as np

from commands.schema import checked
from data.catalog import DataSet, Video
from data.sets.lists import training_lists
from fusion.methods.evidence import Evidence
from fusion.scores.of_files import parted, read_score_file
from fusion.scores.of_models import score_part, stream_scores
from fusion.scores.protocol import Scoring
from fusion.scores.truth import columns_of, rows_of, truth_of
from streams.runs.model_file import BOTH, file_hash
from streams.runs.run_folder import Run
from streams.runs.score_file import FEATURES, Scores, read_scores

# The videos that methods learn from. validation: groups on which the streams were not trained. train: the streams' own
# training list, as for the paper's SVM. folds: the other folds of the evaluated videos, by cross-validation. Streams
# are more confident on their training list than on new videos, which misleads every method that learns from it.
FITS = ("validation", "train", "folds")
_APART = "videos that were kept apart from training"
_BY_FOLDS = "training videos, each scored by a fold that was not trained on its group"


class _Options(TypedDict, total=False):
    """The options of a training that say which videos it was validated on."""

    protocol: Literal["validation", "paper", "test-selected", "folds"]
    validation: float
    seed: int


class Gathered(NamedTuple):
    """The scores of all streams for the videos to evaluate, and for the videos to learn from, if there are any."""

    streams: list[Scores]
    unseen: Evidence
    known: Evidence | None
    why_not: str  # The reason, if there are no videos to learn from.
    learns_from: str
    joint: Scores | None = None  # Scores of a network of both streams, for the videos to evaluate.
    is_held_out: bool = False  # Whether the videos to learn from are new to the streams.
    others: Mapping[str, np.ndarray] | None = None  # By stream: the logits of clips of other classes.
    held_out: tuple[str, ...] = ()  # Training videos to learn from, each scored by a fold that was not trained on it.


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
    """Returns the scores of saved models. `fit` is empty if no method learns."""

    def scores_of(part: str, videos: Sequence[Video], how: Scoring) -> list[Scores]:
        return [stream_scores(dataset, split, part, videos, stream, how) for stream in streams]

    def evidence_of(part: str, videos: Sequence[Video], scores: list[Scores], joint: Scores | None = None) -> Evidence:
        kept = dataclasses.replace(scoring, layer=FEATURES, crops="1")
        features = scores_of(part, videos, kept) if with_features else []
        return Evidence.of(scores, [video.group for video in videos], features, joint)

    test = dataset.part(split, "test")
    scores = scores_of("test", test, scoring)
    with_joint = with_joint and _has_joint(dataset, split, scoring)
    joint = stream_scores(dataset, split, "test", test, BOTH, scoring) if with_joint else None
    unseen = evidence_of("test", test, scores, joint)
    held_out, trained, videos, why_not = _lessons(dataset, split, streams, scoring, fit)
    if held_out and (videos or not trained):
        of_trained = [stream_scores(dataset, split, fit, videos, stream, scoring) for stream in trained]
        found = {each.stream: each for each in (*of_trained, *held_out.values())}
        shared = _shared([found[stream] for stream in streams])
        known = Evidence.of(shared, [dataset.videos[name].group for name in shared[0].videos])
        said, names = (_APART, ()) if trained else (_BY_FOLDS, shared[0].videos)
        return Gathered(scores, unseen, known, "", f"{known.num_videos} {said}", joint, True, held_out=names)
    if not videos:
        itself = f"the other folds, by group, of these {len(test)} videos" if fit == "folds" else ""
        return Gathered(scores, unseen, None, why_not, itself, joint)
    known = evidence_of(fit, videos, scores_of(fit, videos, scoring))
    said = f"the {fit} list, {len(videos)} videos"
    return Gathered(scores, unseen, known, "", said, joint, is_held_out=fit == "validation")


def score_parts(
    dataset: DataSet,
    split: int,
    streams: Sequence[str],
    scoring: Scoring,
    fit: str,
    *,
    with_features: bool = False,
    with_joint: bool = False,
) -> list[Path]:
    """Scores one of `scoring.shard`'s parts of each list that `from_models` needs; returns the files of the scores."""
    kept = [dataclasses.replace(scoring, layer=FEATURES, crops="1")] if with_features else []
    test = dataset.part(split, "test")
    work = [("test", test, stream, how) for how in (scoring, *kept) for stream in streams]
    if with_joint and _has_joint(dataset, split, scoring):
        work.append(("test", test, BOTH, scoring))
    held_out, trained, videos, _ = _lessons(dataset, split, streams, scoring, fit)
    hows = (scoring, *([] if held_out else kept)) if videos else ()
    work += [(fit, videos, stream, how) for how in hows for stream in trained]
    return [score_part(dataset, split, part, listed, stream, how) for part, listed, stream, how in work]


def _lessons(
    dataset: DataSet, split: int, streams: Sequence[str], scoring: Scoring, fit: str
) -> tuple[dict[str, Scores], list[str], Sequence[Video], str]:
    """Returns what fusion may learn from: held-out scores by stream, the other streams, their videos, or why none."""
    held_out = _held_out(dataset, split, streams, scoring) if fit == "validation" else {}
    trained = [stream for stream in streams if stream not in held_out]
    return held_out, trained, *(_to_learn_from(dataset, split, trained, scoring, fit) if trained else ((), ""))


def _has_joint(dataset: DataSet, split: int, scoring: Scoring) -> bool:
    return BOTH in scoring.models or scoring.model(dataset, split, BOTH).is_file()


def from_files(sources: Sequence[str], dataset: DataSet | None, split: int, names: Path | None) -> Gathered:
    """Returns the scores in files. Labels come from the data set, the first file, or the videos' names."""
    files = [read_score_file(source, names) for source in sources]
    truth = truth_of(files[0], dataset)
    repeated = len({each.stream for each in files}) < len(files)
    scores = []
    for place, file in enumerate(files, 1):
        rows = rows_of(file, files[0].videos)
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
                classes=truth.classes,
                videos=truth.videos,
                labels=truth.labels,
                view_logits=file.view_logits[rows][..., columns_of(file, rows, truth)],
            )
        )
    itself = f"the other folds, by group, of these {len(truth.videos)} videos"
    return Gathered(scores, Evidence.of(scores, truth.groups), None, "", itself)


def of_split(source: str, split: int) -> str:
    """Returns the score file of a split: its number replaces `{split}` in the name."""
    return source.replace("{split}", str(split))


def splits_of_files(sources: Sequence[str], dataset: DataSet | None) -> list[int]:
    """Returns the splits of score files: those of the data set, or all numbers for which there is a file."""
    if dataset:
        return sorted(dataset.splits)
    numbers = range(1, 1000)
    found = list(takewhile(lambda split: parted(of_split(sources[0], split))[0].is_file(), numbers))
    if not found:
        raise FileNotFoundError(f"There is no score file {parted(of_split(sources[0], 1))[0]}.")
    return found


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
    """Returns the scores of the videos that all streams have scored, in the order of the first, as one part."""
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
) -> tuple[Sequence[Video], str]:
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
            return (), f"{config} does not say on which videos {stream} was validated. Pass --fit train or folds."
        if chosen_by == "folds":
            return (), (
                f"{stream} was trained by the protocol folds, but its held-out scores are missing or of another "
                f"model. Train it again with --again, or pass --fit folds."
            )
        if chosen_by != "validation":
            return (), f"{stream} was trained by the protocol {chosen_by}, without validation videos. Pass --fit train."
        lists.append(training_lists(dataset, split, chosen_by, share, seed)[1])
    shared = set(lists[0]).intersection(*lists[1:])
    if not shared:
        return (), "the streams were validated on different videos. Train them with one --seed, or pass --fit folds."
    return tuple(video for video in lists[0] if video in shared), ""
