"""Collects the results of an evaluation as numbers and names for JSON. fusion/report/page.py draws them."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import numpy as np

from fusion.methods import by_groups, measures
from fusion.methods.by_groups import Interval, Part
from fusion.methods.evidence import Evidence
from fusion.methods.fixed import probabilities
from fusion.methods.kept import as_probabilities
from fusion.report.expected import Expectation
from fusion.report.questions import Questions
from fusion.report.rare_classes import Band
from streams.runs.score_file import Scores

# The scores of these methods are probabilities or logits, so their calibration can be measured.
_CALIBRATED = ("average", "average-views", "weighted", "calibrated", "weighted-logits")


class Network(TypedDict):
    """The origin of one network's scores."""

    protocol: str
    selection: str
    model_hash: str
    looked_at: NotRequired[str]  # The protocol in words. Only models have it, not score files.
    made: NotRequired[dict[str, str]]  # How the model was trained, as rows of a table. Only models have it.


class Baselines(TypedDict):
    """Video accuracies that need no network: a random guess, and the commonest class for every video."""

    chance: float
    commonest_class: str
    commonest_share: float


class Suspect(TypedDict):
    """A training video whose label is probably wrong: all streams agree on another class, without having learnt it."""

    video: str
    label: str
    seen: str
    probability: float  # Of the class that they see; the lowest of the streams.


class Gain(TypedDict):
    """The gain of the first fusion method over the best stream, as a difference of shares."""

    stream: str
    method: str
    difference: float
    interval: Interval


class Calibration(TypedDict):
    """The bins of a reliability diagram, and the expected calibration error."""

    bins: list[dict[str, float]]
    error: float


class ComparedRow(TypedDict):
    """Two results for the same videos: accuracies, videos that only one has right, and the p-value by groups."""

    ours: float
    theirs: float
    only_ours: int
    only_theirs: int
    p_value: float


Comparison = TypedDict("Comparison", {"with": str, "rows": dict[str, ComparedRow]})


class Report(TypedDict):
    """The report of one split, as in `report.json`. The keys of dictionaries are streams and methods."""

    data_set: str
    split: int
    num_videos: int
    num_groups: int
    classes: list[str]
    streams: dict[str, Network]
    joint: dict[str, Network]
    methods: list[str]
    video_accuracy: dict[str, float]
    interval: dict[str, Interval]
    frame_accuracy: dict[str, float]
    top: int  # A video counts for the next measure if one of its labels is among this many top classes.
    top_accuracy: dict[str, float]
    baselines: Baselines
    gain: Gain | None
    flow_gain: NotRequired[Gain | None]  # The gain of fusion over the spatial stream alone.
    agreement: dict[str, int]
    reliability: dict[str, Calibration]
    videos: list[str]
    groups: list[str]
    labels: list[int] | list[list[int]]
    decisions: dict[str, list[int]]
    # If each video shows one class.
    mean_class_accuracy: NotRequired[dict[str, float]]
    class_accuracy: NotRequired[dict[str, list[float | None]]]
    confusion: NotRequired[dict[str, list[list[int]]]]
    # If a video may show several classes, or none.
    mean_average_precision: NotRequired[dict[str, float]]
    precision_interval: NotRequired[dict[str, Interval]]
    class_precision: NotRequired[dict[str, list[float | None]]]
    # Added by fusion/evaluate.py.
    chosen: NotRequired[str]  # The method that was the best in validation. predict, serve and export use it.
    expected: NotRequired[Expectation | None]  # The figures of the recipe beside the measured ones.
    learned: NotRequired[dict[str, str]]
    learned_from: NotRequired[str]
    missing: NotRequired[dict[str, str]]
    warnings: NotRequired[list[str]]
    suspects: NotRequired[list[Suspect]]
    bands: NotRequired[list[Band]]
    questions: NotRequired[Questions]
    options: NotRequired[dict[str, object]]
    evaluated: NotRequired[dict[str, str]]
    comparison: NotRequired[Comparison | None]


def build_report(
    streams: Sequence[Scores],
    fused: Mapping[str, np.ndarray],
    evidence: Evidence,
    joint: Scores | None = None,
    top: int = 5,
) -> Report:
    """Returns the report of all streams and fusions. `fused` has the scores [V, C] of each method."""
    first, labels = streams[0], evidence.labels
    results = results_of(evidence, fused)
    method = next(iter(fused), "")
    report: Report = {
        "data_set": first.data_set,
        "split": first.split,
        "num_videos": len(first.videos),
        "num_groups": len(set(evidence.groups)),
        "classes": list(first.classes),
        "streams": {scores.stream: _origin(scores) for scores in streams},
        "joint": {joint.stream: _origin(joint)} if joint else {},
        "methods": list(fused),
        "video_accuracy": {name: measures.video_accuracy(scores, labels) for name, scores in results.items()},
        "interval": {name: by_groups.accuracy_interval(part) for name, part in parts_of(results, evidence).items()},
        "frame_accuracy": {scores.stream: measures.frame_accuracy(scores.view_logits, labels) for scores in streams},
        "top": top,
        "top_accuracy": {name: measures.top_accuracy(scores, labels, top) for name, scores in results.items()},
        "baselines": _baselines(labels, first.classes),
        "gain": _gain(results, evidence, method),
        "flow_gain": _gain(results, evidence, method, over="spatial") if "spatial" in evidence.streams else None,
        "agreement": measures.agreement(evidence.logits, labels),
        "reliability": _reliability(evidence, fused),
        "videos": list(first.videos),
        "groups": evidence.groups.tolist(),
        "labels": labels.tolist(),
        "decisions": {name: scores.argmax(axis=1).tolist() for name, scores in results.items()},
    }
    (_add_several_labels if evidence.is_multi_label else _add_one_label)(report, results, evidence)
    return report


def results_of(evidence: Evidence, fused: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the scores [V, C] of each stream and method, by name."""
    return dict(zip(evidence.streams, evidence.logits, strict=True)) | dict(fused)


def parts_of(results: Mapping[str, np.ndarray], evidence: Evidence) -> dict[str, Part]:
    """Returns the scores of each stream and method, with the labels and groups of their videos."""
    return {name: Part(scores, evidence.labels, evidence.groups) for name, scores in results.items()}


def _add_one_label(report: Report, results: Mapping[str, np.ndarray], evidence: Evidence) -> None:
    """Adds the measures for videos with one class each. Means leave out classes without videos."""
    of_class = {name: measures.class_accuracy(scores, evidence.labels) for name, scores in results.items()}
    report["mean_class_accuracy"] = {name: float(np.nanmean(shares)) for name, shares in of_class.items()}
    report["class_accuracy"] = {name: _with_gaps(shares) for name, shares in of_class.items()}
    report["confusion"] = {
        name: measures.confusion(scores, evidence.labels).tolist() for name, scores in results.items()
    }


def _add_several_labels(report: Report, results: Mapping[str, np.ndarray], evidence: Evidence) -> None:
    """Adds the measures for videos with several classes, or none."""
    of_class = {name: measures.class_precision(scores, evidence.labels) for name, scores in results.items()}
    report["mean_average_precision"] = {name: float(np.nanmean(shares)) for name, shares in of_class.items()}
    report["precision_interval"] = {
        name: by_groups.precision_interval(part) for name, part in parts_of(results, evidence).items()
    }
    report["class_precision"] = {name: _with_gaps(shares) for name, shares in of_class.items()}


def warnings_of(report: Report) -> list[str]:
    """Returns warnings: if fusion is worse than its best stream, or if results are hardly better than chance."""
    baselines, found = report["baselines"], []
    gain = report["gain"]
    if gain and gain["difference"] < 0:
        words = "by more than chance" if gain["interval"][1] < 0 else "maybe by chance: the interval includes zero"
        lost = f"{-100 * gain['difference']:.1f} percentage points below {gain['stream']} alone"
        found.append(
            f"Fusing by {gain['method']} is {lost}, {words}. "
            f"To use that stream alone, pass its model only: --{gain['stream']} FILE."
        )
    for name, (low, _) in report["interval"].items():
        if low <= baselines["commonest_share"]:
            found.append(
                f"{name} reaches {report['video_accuracy'][name]:.1%} (its interval begins at {low:.1%}). That is not "
                f"clearly better than answering {baselines['commonest_class']} for every video: "
                f"{baselines['commonest_share']:.1%}."
            )
    return found


# The most labels that are listed, and the lowest probability of another class that casts doubt on a label.
MOST_SUSPECTS, DOUBT = 20, 0.6


def suspects_of(known: Evidence, videos: Sequence[str], classes: Sequence[str]) -> list[Suspect]:
    """Returns the videos whose label every stream doubts, in folds that had not seen them; most confident first."""
    if known.is_multi_label:
        return []
    shares = np.stack(probabilities(known))
    seen = shares.argmax(axis=2)
    found: list[Suspect] = []
    for place in np.flatnonzero((seen == seen[0]).all(axis=0) & (seen[0] != known.labels)).tolist():
        other = int(seen[0, place])
        probability = float(shares[:, place, other].min())
        if probability >= DOUBT:
            label = classes[int(known.labels[place])]
            found.append({"video": videos[place], "label": label, "seen": classes[other], "probability": probability})
    return sorted(found, key=lambda each: -each["probability"])[:MOST_SUSPECTS]


def _baselines(labels: np.ndarray, classes: Sequence[str]) -> Baselines:
    shares = measures.label_shares(labels, len(classes))
    commonest = classes[int(shares.argmax())]
    return {"chance": float(shares.mean()), "commonest_class": commonest, "commonest_share": float(shares.max())}


def _gain(results: Mapping[str, np.ndarray], evidence: Evidence, method: str, *, over: str = "") -> Gain | None:
    """Returns the gain of `method` over a stream, by default the best one; None if there is nothing to fuse."""
    if len(evidence.streams) < 2 or not method:
        return None
    several = evidence.is_multi_label
    measure = measures.mean_average_precision if several else measures.video_accuracy
    draw = by_groups.drawn_precisions if several else by_groups.drawn_accuracies
    values = {name: measure(results[name], evidence.labels) for name in (*evidence.streams, method)}
    best = over or max(evidence.streams, key=values.__getitem__)
    parts = parts_of(results, evidence)
    interval = by_groups.interval(draw(parts[method]) - draw(parts[best]))
    return {"stream": best, "method": method, "difference": values[method] - values[best], "interval": interval}


def _reliability(evidence: Evidence, fused: Mapping[str, np.ndarray]) -> dict[str, Calibration]:
    shares = dict(zip(evidence.streams, probabilities(evidence), strict=True))
    shares |= {
        name: as_probabilities(name, scores, multi_label=evidence.is_multi_label)
        for name, scores in fused.items()
        if name.partition(":")[0] in _CALIBRATED
    }
    bins = {name: measures.reliability(of_method, evidence.labels) for name, of_method in shares.items()}
    return {name: {"bins": each, "error": measures.calibration_error(each)} for name, each in bins.items()}


def _with_gaps(values: np.ndarray) -> list[float | None]:
    """Returns numbers for JSON, with null for NaN."""
    return [None if np.isnan(value) else float(value) for value in values]


def _origin(scores: Scores) -> Network:
    return {"protocol": scores.protocol, "selection": scores.selection, "model_hash": scores.model_hash}
