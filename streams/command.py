"""What the commands of all streams do alike, once they have said what their options and ingredients are."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from commands.options import parse
from commands.running import quiet_tensorflow, write_json
from data.catalog import DataSet, Video
from data.index import index_path, read_index
from data.ready import flow_description, frame_description, ready_dataset
from data.selection import training_lists
from pipelines.inputs import Input
from streams.config import TrainConfig
from streams.finetuning import parse_stage
from streams.ingredients import Ingredients
from streams.recipes import recipe_presets
from streams.runs import Run, is_finished, say_result, skipped_in, threads_before


def train_stream(
    stream: str,
    options: type[TrainConfig],
    argv: Sequence[str] | None,
    description: str,
    ingredients: Callable[..., Ingredients],
) -> None:
    """Trains a stream as the command line says, unless that is done already, and says what came out.

    `ingredients(config, dataset=, training=, validation=)` is called once TensorFlow may be imported.
    """
    presets = recipe_presets(argv, stream)
    if presets is None:  # All recipes were asked for, and shown.
        return
    config = parse(options, argv, description, **presets)
    with _telling_what_is_lost(config):
        _train_as_told(stream, config, ingredients)


def _train_as_told(stream: str, config: TrainConfig, ingredients: Callable[..., Ingredients]) -> None:
    dataset = ready_dataset(config.dataset, config.root)
    training, validation = training_lists(dataset, config.split, config.protocol, config.validation, config.seed)
    run = Run.of(config.runs, dataset.name, stream, config.split)
    others = ((each, tuple(each.videos.values())) for each in config.others)
    data_hash = _data_hash(config, (dataset, training, validation), *others)
    planned = stages(config, run)
    unfinished = [(each, place) for each, place in planned if not is_finished(each, place, data_hash)]
    for place in {place for _, place in planned} - {place for _, place in unfinished}:
        place.forget_checkpoints()
    if unfinished:
        _check_lists(config, dataset, training)
        quiet_tensorflow()
        from streams.distribution import strategy_for

        made = partial(ingredients, dataset=dataset, training=training, validation=validation)
        work: dict[str, Any] = {"steps_per_epoch": len(training) // config.batch_size}
        work["strategy"] = strategy_for(config, threads_before(config, [place for _, place in planned]))
        if config.dry_run:
            from streams.rehearsal import rehearse

            _report(config, rehearse(partial(stages, config), made, **work))
            return
        _train(unfinished, made, data_hash=data_hash, **work)
    _report(config, say_result(run))


def stages(config: TrainConfig, run: Run) -> list[tuple[TrainConfig, Run]]:
    """Returns the trainings that one consists of, each from the best weights of the one before, and their places."""
    found, weights = [], config.weights
    places = [*(Run(run.folder / f"stage{number}") for number in range(1, len(config.stage))), run]
    for number, text in enumerate(config.stage, 1):
        stage, place = parse_stage(text), dataclasses.replace(places[number - 1], later=tuple(places[number:]))
        changes: dict[str, Any] = {
            "train": stage.place,
            "epochs": stage.epochs,
            "steps": None,
            "optimizer": stage.optimizer,
        }
        changes |= {"learning_rate": stage.learning_rate, "weights": weights}
        found.append((dataclasses.replace(config, **changes), place))
        weights = str(place.model)
    return found or [(config, run)]


@contextlib.contextmanager
def _telling_what_is_lost(config: TrainConfig) -> Iterator[None]:
    """Says so where Ctrl-C stops a training at once, during imports for instance, or by the second one."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        if str(interruption):  # It stopped gently, and has said what is next.
            raise
        words = (
            "Stopped at once; what was not saved is lost. The same command goes on from the last checkpoint, if any."
        )
        if config.again:
            words = (
                "Stopped at once; what was not saved is lost. If the new training has a checkpoint, the same command "
                "without --again goes on from it; if not, nothing was changed."
            )
        raise KeyboardInterrupt("Stopped at once. Nothing was kept." if config.dry_run else words) from None


def _train(
    unfinished: Sequence[tuple[TrainConfig, Run]], ingredients: Callable[[TrainConfig], Ingredients], **work: Any
) -> None:
    """Takes one stage after the other, and says which clips were left out."""
    from streams.training import train

    for config, run in unfinished:
        train(ingredients(config), config=config, run=run, **work)
        skipped = skipped_in(run)
        if skipped:
            count, worst = sum(skipped.values()), ", ".join([*skipped][:5])
            print(f"{count} clips of {len(skipped)} videos could not be read and were left out: {worst}.")


def _report(config: TrainConfig, result: dict[str, Any]) -> None:
    if config.json:
        write_json(config.json, result)


def _check_lists(config: TrainConfig, dataset: DataSet, training: Sequence[Video]) -> None:
    """Refuses lists that nothing can be learnt from."""
    if len(training) < config.batch_size:
        raise ValueError(
            f"Split {config.split} has {len(training)} videos to train on, fewer than a batch of {config.batch_size}. "
            f"Pass --batch-size {max(1, len(training))} or less."
        )
    rows = read_index(index_path(dataset.root))
    sides = [(min(rows[video.name].width, rows[video.name].height), video.name) for video in training]
    smallest, name = min((side for side in sides if side[0]), default=(config.crop_size, ""))
    if smallest < config.crop_size and config.augment != "corners":
        raise ValueError(
            f"--crop-size is {config.crop_size}, and the smaller side of the frames of {name} is {smallest}. "
            f"Pass --crop-size {smallest} or less, or prepare larger frames: data/prepare.py --short-side."
        )
    shown = {label for video in training for label in video.labels}
    missing = [name for label, name in enumerate(dataset.classes) if label not in shown]
    if missing:
        raise ValueError(
            f"Split {config.split} has no video to train on of {len(missing)} of {len(dataset.classes)} classes, "
            f"{missing[0]!r} among them. Add videos of it, or take it off the list of classes."
        )


def _data_hash(config: Any, *data: Any) -> str:
    """Returns what changes with the videos that are read and with how these were made, without reading their pixels.

    Each of `data` is a data set and lists of its videos. Flow that nobody reads may be made anew.
    """
    reads_flow = Input(config.input, config.length).is_flow
    described = []
    for dataset, *lists in data:
        made = flow_description(dataset.root) if reads_flow else frame_description(dataset.root)
        rows = [
            [(each.name, each.labels, each.num_frames, reads_flow and each.num_flows) for each in videos]
            for videos in lists
        ]
        described.append([dataset.name, dataset.classes, made, rows])
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
