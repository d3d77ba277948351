"""The steps that all training commands share: options, the run's folder, checks of the lists, and the result."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch
from typing import TypeAlias, TypeVar

import numpy as np

from commands.files import scratch_folder, write_json
from commands.options import parse
from commands.running import quiet_tensorflow
from data.catalog import DataSet, Video
from data.ready import flow_description, frame_description
from data.store.index import index_path, read_index
from data.store.mapped_index import VideoRows
from pipelines.inputs import SCALED, Input
from streams.config import EXACT, TrainConfig
from streams.hosts.rejoining import rejoining
from streams.recipes.chosen import recipe_presets
from streams.runs.costs import Cost, say_costs
from streams.runs.run_folder import Run, say_result

Options = TypeVar("Options", bound=TrainConfig)
# A data set, and the lists of its videos that are used.
Data: TypeAlias = tuple[DataSet, Sequence[Sequence[Video]]]
_TOO_FEW = (
    "Split {split} has only {count} videos to train on, less than a batch of {batch_size}. "
    "Pass --batch-size {most} or less."
)
_NO_VIDEO = (
    "Split {3} has no training videos for {1} of {2} classes, such as {0!r}. Add videos of it, or remove it from the "
    "list of classes."
)
_TOO_SMALL = (
    "--crop-size is {0}, but the smaller side of the frames of {1} is {2}. Pass --crop-size {2} or less, or prepare "
    "larger frames: ./run prepare --short-side."
)


def training_options(kind: type[Options], argv: Sequence[str] | None, description: str, stream: str) -> Options:
    """Parses the options of a training. Those of its recipe are the defaults. `--recipe list` ends the command."""
    presets = recipe_presets(argv, stream)
    return parse(kind, argv, description, **{name: presets[name] for name in presets if hasattr(kind, name)})


@contextlib.contextmanager
def run_folder(config: TrainConfig, stream: str, clip: Input, *data: Data) -> Iterator[Run]:
    """Yields the folder of a training of `data`, or a temporary one for a rehearsal. On Ctrl-C, says what is lost."""
    data_hash = hash_of_data(clip, *data)
    try:
        if config.dry_run:
            with scratch_folder() as folder:
                yield Run(folder, data_hash=data_hash)
        else:
            run = Run.of(config.runs, data[0][0].name, stream, config.split, data_hash)
            with rejoining(config, run.folder) if config.rejoin_seconds else contextlib.nullcontext():
                yield run
    except KeyboardInterrupt as said:  # A training that stopped after a step has already said what to type next.
        raise said if str(said) else KeyboardInterrupt(_what_is_lost(config)) from None


def import_tensorflow(config: TrainConfig, dataset: DataSet, training: Sequence[Video]) -> None:
    """Imports TensorFlow, which takes seconds, once the lists of videos are known to be good."""
    _check_lists(config, dataset, training)
    if config.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    quiet_tensorflow()


def report(config: TrainConfig, run: Run, costs: Sequence[Cost | None]) -> None:
    """Prints the result of a training or the costs of a rehearsal, and writes them to the file of `--json`."""
    rehearsed = [cost for cost in costs if cost]
    result = say_costs(rehearsed) if config.dry_run else say_result(run)
    if config.json:
        write_json(config.json, result)


def _what_is_lost(config: TrainConfig) -> str:
    if config.dry_run:
        return "Stopped at once. Nothing was saved."
    lost = "Stopped at once; what was not saved is lost."
    if config.again:
        return (
            f"{lost} If the new training has a checkpoint, the same command without --again goes on from it. If not, "
            "nothing was changed."
        )
    return f"{lost} The same command goes on from the last checkpoint, if any."


def _check_lists(config: TrainConfig, dataset: DataSet, training: Sequence[Video]) -> None:
    """Raises ValueError for lists from which a network can't learn."""
    if len(training) < config.batch_size and config.optimizer != EXACT:  # The exact solution uses all videos at once.
        raise ValueError(_TOO_FEW.format(count=len(training), most=max(1, len(training)), **vars(config)))
    shown = _labels_of(training)
    missing = [name for label, name in enumerate(dataset.classes) if label not in shown]
    if missing:
        raise ValueError(_NO_VIDEO.format(missing[0], len(missing), len(dataset.classes), config.split))
    if config.augment not in SCALED and config.shown == "pixels":
        _check_crop(config.crop_size, dataset, training)


@singledispatch
def _labels_of(videos: Sequence[Video]) -> set[int]:
    return {label for video in videos for label in video.labels}


@_labels_of.register
def _(videos: VideoRows) -> set[int]:
    if videos.whole.about["multi_label"]:
        return {label for video in videos for label in video.labels}
    return set(np.unique(videos.column("label")).tolist())


def _check_crop(crop_size: int, dataset: DataSet, training: Sequence[Video]) -> None:
    rows = read_index(index_path(dataset.root))
    sides = [(min(rows[video.name].width, rows[video.name].height), video.name) for video in _with_smallest(training)]
    smallest, name = min((side for side in sides if side[0]), default=(crop_size, ""))
    if smallest < crop_size:
        raise ValueError(_TOO_SMALL.format(crop_size, name, smallest))


@singledispatch
def _with_smallest(training: Sequence[Video]) -> Sequence[Video]:
    return training


@_with_smallest.register
def _(training: VideoRows) -> Sequence[Video]:  # Only the smallest is looked up.
    of_video = np.minimum(training.column("width"), training.column("height"))
    return [training[int(np.where(of_video > 0, of_video, 2**30).argmin())]]


def hash_of_data(clip: Input, *data: Data) -> str:
    """Returns a hash of the lists of videos and of their preparation, without reading pixels."""
    described: list[object] = []
    for dataset, lists in data:
        made: Mapping[str, object] = (flow_description if clip.is_flow else frame_description)(dataset.root)
        rows = [_described(videos, clip) for videos in lists]
        described.append([dataset.name, dataset.classes, made, rows])
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


@singledispatch
def _described(videos: Sequence[Video], clip: Input) -> object:
    return [(each.name, each.labels, each.num_frames, clip.is_flow and each.num_flows) for each in videos]


@_described.register
def _(videos: VideoRows, clip: Input) -> object:
    return videos.digest()
