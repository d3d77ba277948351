"""Scores both streams on the test list, fuses their scores by every method, and writes a report.

./run evaluate --dataset ucf101 --split 1
./run evaluate --scores scores.npz:spatial --scores scores.npz:temporal
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.files import RUNS, write_json
from commands.help_page import Layout
from commands.options import as_dictionary, check_part, option, parse, part_of
from commands.running import origin, quiet_tensorflow, run
from commands.waiting import Now
from data.catalog import DataSet
from data.ready import home_of, open_dataset, ready_dataset
from fusion.methods.sequences import SEQUENCES
from fusion.methods.table import LEARNED, METHODS, SAME, check_method
from fusion.prediction.chosen_fusion import sentence
from fusion.report.all_splits import MeanReport, mean_report, write_mean
from fusion.report.compare import compare
from fusion.report.expected import expectation
from fusion.report.how_made import how_made
from fusion.report.numbers import Report
from fusion.report.one_split import Evaluation, evaluate, write_report
from fusion.report.printed import print_expected, print_mean, print_report
from fusion.report.questions import sentences
from fusion.report.rare_classes import bands_of, training_counts
from fusion.report.rare_classes import in_words as of_bands
from fusion.scores.gather import FITS, Gathered, from_files, from_models, of_split, score_parts, splits_of_files
from fusion.scores.of_models import logits_of_clips
from fusion.scores.protocol import Scoring, in_words
from pipelines.inputs import SAMPLINGS
from streams.runs.model_file import BOTH, read_card

_PLACES = ("root", "runs", "json", "devices", "cluster", "tls", "shard", "merge")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """The options of `evaluate`."""

    layout: ClassVar = Layout(
        groups={
            "data and models": ("dataset", "root", "split", "stream", "spatial", "temporal", "two_stream", "runs"),
            "views": ("views", "sampling", "crops", "precision", "features", "rescore"),
            "fusion": ("method", "fit", "nothing", "scores", "names"),
            "several devices and machines": ("devices", "cluster", "tls", "shard", "merge"),
            "output": ("top", "questions", "compare", "json"),
        },
        first=(
            *("dataset", "split", "spatial", "temporal", "method", "fit", "views", "crops", "scores", "compare"),
            *("rescore", "json"),
        ),
    )
    dataset: str | None = option(None, "name of the data set (default: shapes, the built-in one)", metavar="NAME")
    root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="FOLDER")
    split: str = option("1", "the split to test on, or all for the mean over all splits", metavar="N")
    stream: tuple[str, ...] = option(
        (), "a stream to fuse; can be repeated (default: spatial and temporal)", repeat=True, metavar="NAME[=FILE]"
    )
    spatial: Path | None = option(None, "the spatial model, instead of the one trained here", metavar="FILE")
    temporal: Path | None = option(None, "the temporal model, instead of the one trained here", metavar="FILE")
    two_stream: Path | None = option(
        None, "the network of both streams that conv needs, instead of the one trained here", metavar="FILE"
    )
    method: tuple[str, ...] = option(
        (),
        f"a fusion method; can be repeated: {', '.join(METHODS)} or weighted:1,1.5 (default: all)",
        repeat=True,
        metavar="NAME",
    )
    fit: str = option("validation", "videos that fusion methods learn from, if they learn", choices=FITS)
    nothing: Path | None = option(
        None, "clips of other classes, used to set the threshold below which answers are unsure", metavar="FOLDER"
    )
    views: int = option(25, "frames or stacks of each video, evenly spaced", metavar="N")
    sampling: str = option(
        "ends",
        "positions of views: ends: from the first clip to the last; middles: in the middle of equal parts, as in TSN",
        choices=SAMPLINGS,
    )
    crops: str = option(
        "10",
        "1: the centre; 5: and the corners; 10: and all of them mirrored; full: whole frames",
        choices=("1", "5", "10", "full"),
    )
    precision: str = option("float32", "precision of the networks", choices=("float32", "bfloat16"))
    features: bool = option(False, f"keep each view's features, which {', '.join(SEQUENCES)} need")
    top: int = option(5, "count a video for the top-N accuracy if its class is among the N likeliest", metavar="N")
    scores: tuple[str, ...] = option(
        (),
        "fuse the scores in this file, not those of models; one per stream; {split} stands for the number of the split",
        repeat=True,
        metavar="FILE[:ARRAY]",
    )
    questions: bool = option(
        True, "add analyses to the report, such as the learning curve and the scene test, for solved last layers"
    )
    names: Path | None = option(
        None, "names of the videos, one per line, for score files without names", metavar="FILE"
    )
    compare: str | None = option(
        None,
        "compare with this: the report.json of another evaluation of the same videos, or a stream or method by name",
        metavar="NAME|FILE",
    )
    rescore: bool = option(False, "score again even if there are score files")
    devices: int | None = option(None, "number of devices of this machine that score, instead of all", metavar="N")
    cluster: str = option("", "let the workers of this Dask scheduler score, like tls://host:8786", metavar="ADDRESS")
    tls: Path | None = option(None, "the scheduler's certificate and key, cert.pem and key.pem", metavar="FOLDER")
    shard: str = option("", "score only this part of each list, as in 1/4, and stop", metavar="N/N")
    merge: bool = option(False, "merge the scores of all parts, then go on")
    runs: Path = option(RUNS, "where runs are kept", metavar="FOLDER")
    json: Path | None = option(None, "also write the results to this file", metavar="FILE")

    def __post_init__(self) -> None:
        """Refuses methods that do not exist."""
        for method in self.method:
            check_method(method)
        if self.views < 1:
            raise ValueError(f"--views must be at least 1. Received {self.views}.")
        if self.nothing and self.scores:
            raise ValueError("--nothing needs models to score its clips, but --scores names score files. Drop one.")
        if self.split != "all" and not self.split.isdigit():
            raise ValueError(f"--split must be a number, or all. Received {self.split!r}.")
        if self.devices is not None and self.devices < 1:
            raise ValueError(f"--devices must be at least 1. Received {self.devices}.")
        if (self.shard or self.merge) and (self.scores or self.nothing or self.split == "all"):
            raise ValueError(
                "--shard and --merge score one split by models. Leave out --scores, --nothing and --split all."
            )
        if self.shard:
            check_part("--shard", self.shard)
        if self.shard and self.merge:
            raise ValueError("--merge comes after all parts are scored: pass --shard or --merge.")
        if self.top < 1:
            raise ValueError(f"--top must be at least 1. Received {self.top}.")
        if self.split == "all" and not all("{split}" in source for source in self.scores):
            raise ValueError(
                "--split all reads one file of scores per split: write {split} where its number stands, like "
                "--scores rgb_split{split}.npz:rgb."
            )


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluates the models, or the score files, that the command line names."""
    config = parse(EvaluateConfig, argv, __doc__)
    if config.shard:
        _score_part(config)
        return
    report, page = (_evaluate_files if config.scores else _evaluate_models)(config)
    if config.json:
        write_json(config.json, report)
    print(f"Report: {page}")
    print("Video accuracy: " + ", ".join(f"{name} {share:.2%}" for name, share in report["video_accuracy"].items()))


def _score_part(config: EvaluateConfig) -> None:
    """Scores one part of the lists that an evaluation looks at."""
    dataset = ready_dataset(config.dataset or "shapes", config.root)
    streams, scoring, methods, fit = _what_is_scored(config)
    paths = score_parts(dataset, int(config.split), streams, scoring, fit, **_beside(config, methods))
    if config.json:
        write_json(config.json, {"scores": [str(path) for path in paths]})
    print(f"Part {config.shard} is scored: {', '.join(path.name for path in paths)}, in {paths[0].parent}.")
    print("Once all parts are scored, the same command with --merge in place of --shard goes on with them.")


def _what_is_scored(config: EvaluateConfig) -> tuple[list[str], Scoring, Sequence[str], str]:
    """Returns the streams, how they score, the methods of fusion, and what these learn from; nothing if none does."""
    streams, models = _streams(config)
    scoring = Scoring(
        runs=config.runs,
        views=config.views,
        crops=config.crops,
        sampling=config.sampling,
        precision=config.precision,
        rescore=config.rescore,
        devices=config.devices,
        cluster=config.cluster,
        tls=config.tls,
        shard=part_of(config.shard) if config.shard else (1, 1),
        merge=config.merge,
        models=models,
    )
    methods = [SAME.get(method, method) for method in config.method] or METHODS
    return streams, scoring, methods, config.fit if any(method in LEARNED for method in methods) else ""


def _beside(config: EvaluateConfig, methods: Sequence[str]) -> dict[str, bool]:
    """Returns what is scored beside logits: features, and the network of both streams."""
    with_features = config.features or any(method in SEQUENCES for method in config.method)
    return {"with_features": with_features, "with_joint": "conv" in methods}


def _evaluate_models(config: EvaluateConfig) -> tuple[Report | MeanReport, Path]:
    dataset = ready_dataset(config.dataset or "shapes", config.root)
    if config.split != "all":
        found, page = _evaluate_split(config, dataset, int(config.split))
        return found.report, page
    evaluations = [_evaluate_split(config, dataset, split)[0] for split in sorted(dataset.splits)]
    return _mean(config, evaluations, config.runs / dataset.name / "fusion" / "all")


def _evaluate_files(config: EvaluateConfig) -> tuple[Report | MeanReport, Path]:
    lists = open_dataset(config.dataset, config.root or home_of(config.dataset)) if config.dataset else None
    folder = config.runs / (lists.name if lists else "clips") / "fusion" / "files"
    if config.split != "all":
        found = _evaluate_scores(config, lists, int(config.split))
        return found.report, write_report(folder, found, [], config.runs)
    evaluations = []
    for split in splits_of_files(config.scores, lists):
        found = _evaluate_scores(config, lists, split)
        write_report(folder / f"split{split}", found, [], config.runs)
        evaluations.append(found)
    return _mean(config, evaluations, folder / "all")


def _evaluate_split(config: EvaluateConfig, dataset: DataSet, split: int) -> tuple[Evaluation, Path]:
    """Scores and fuses saved models on one split. Returns the evaluation and the path of its page."""
    streams, scoring, methods, fit = _what_is_scored(config)
    gathered = from_models(dataset, split, streams, scoring, fit, **_beside(config, methods))
    if config.nothing:
        models = {each.stream: scoring.model(dataset, split, each.stream) for each in gathered.streams}
        gathered = gathered._replace(others=logits_of_clips(config.nothing, models, scoring))
    found = _finish(config, gathered, methods)
    made = [scoring.model(dataset, split, stream) for stream in streams]
    found.report["expected"] = expectation(dataset.name, split, found.report["video_accuracy"], made)
    print_expected(found.report["expected"])
    return found, _with_pictures(config, found, dataset, split, scoring)


def _with_pictures(config: EvaluateConfig, found: Evaluation, dataset: DataSet, split: int, scoring: Scoring) -> Path:
    """Adds what can only be told with the networks at hand, and writes the page; returns its path."""
    gathered = found.gathered
    quiet_tensorflow()
    from fusion.report import from_networks  # Brings TensorFlow, which reports of score files do without.

    for each in (*gathered.streams, *([gathered.joint] if gathered.joint else [])):
        looked = in_words(each.protocol, read_card(scoring.model(dataset, split, each.stream)))
        network = found.report["streams" if each is not gathered.joint else "joint"][each.stream]
        network |= {"looked_at": looked, "made": how_made(scoring.model(dataset, split, each.stream), dataset)}
    if not dataset.multi_label:
        counts = training_counts(dataset, split)
        found.report["bands"] = bands_of(counts, found.report["labels"], found.report["decisions"])
        print(*(of_bands(found.report["bands"], each) for each in found.report["methods"][:1]), end="")
    if config.questions and found.kept and gathered.held_out and not dataset.multi_label:
        Now.doing = "Computing the learning curve and the scene test"
        fusion = found.kept.named(found.kept.chosen)
        found.report["questions"] = from_networks.questions_of(gathered, dataset, scoring, fusion)
        for line in sentences(found.report["questions"]):
            print(line)
    folder = config.runs / dataset.name / "fusion" / f"split{split}"
    Now.doing = "Drawing examples for the report"
    examples = from_networks.examples_of(gathered, found.shown, dataset, scoring)
    return write_report(folder, found, examples, config.runs)


def _evaluate_scores(config: EvaluateConfig, lists: DataSet | None, split: int) -> Evaluation:
    """Fuses the score files of one split."""
    gathered = from_files([of_split(source, split) for source in config.scores], lists, split, config.names)
    return _finish(config, gathered, [SAME.get(method, method) for method in config.method] or METHODS)


def _finish(config: EvaluateConfig, gathered: Gathered, methods: Sequence[str]) -> Evaluation:
    found = evaluate(gathered, methods, config.top)
    report = found.report
    # Paths and devices don't change the result, and don't concern readers of the report.
    report["options"] = {name: value for name, value in as_dictionary(config).items() if name not in _PLACES}
    report["evaluated"] = origin()
    # With several splits, only their mean is compared.
    is_compared = config.compare and config.split != "all"
    report["comparison"] = compare(report, config.compare or "") if is_compared else None
    print_report(report)
    if found.kept:
        print(sentence(found.kept.named(found.kept.chosen), "Predict and export will fuse both streams"))
    return found


def _mean(config: EvaluateConfig, evaluations: Sequence[Evaluation], folder: Path) -> tuple[MeanReport, Path]:
    report = mean_report(evaluations)
    report["options"] = as_dictionary(config)
    report["comparison"] = compare(report, config.compare) if config.compare else None
    print_mean(report)
    return report, write_mean(folder, report)


def _streams(config: EvaluateConfig) -> tuple[list[str], dict[str, Path]]:
    """Returns the names of the streams, and the model files that the options name for them."""
    named = {"spatial": config.spatial, "temporal": config.temporal, BOTH: config.two_stream}
    models = {name: file for name, file in named.items() if file}
    streams = []
    for entry in config.stream or ("spatial", "temporal"):
        stream, _, file = entry.partition("=")
        streams.append(stream)
        if file:
            models[stream] = Path(file)
    return streams, models


if __name__ == "__main__":
    run(main)
