"""What the commands of both streams do alike, once they have said which videos and which network."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from commands.running import quiet_tensorflow, write_json
from streams.config import TrainConfig
from streams.runs import Run, is_finished, say_result

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from streams.modelfile import ModelCard


@dataclass(frozen=True)
class Ingredients:
    """What a stream gives to its training."""

    network: Callable[[], "keras.Model"]
    batches: Callable[
        ..., "tf.data.Dataset"
    ]  # Called with `start_step`, gives the endless stream of batches from there.
    validation: "tf.data.Dataset | None"  # Batches in a fixed order; None where nothing is chosen.
    card: "ModelCard"
    videos: Callable[[int], Sequence[str]] | None = None  # The names of the videos in the batch of a step.


def train_stream(
    stream: str,
    config: TrainConfig,
    dataset: Any,
    lists: tuple[Sequence[Any], Sequence[Any]],
    ingredients: Callable[..., Ingredients],
) -> None:
    """Trains a stream on `(training, validation)` videos, unless that is done already, and says what came out.

    `ingredients(config, dataset, training, validation)` is called once TensorFlow may be imported.
    """
    run, (training, validation) = Run.of(config.runs, dataset.name, stream, config.split), lists
    data_hash = _data_hash(dataset, training, validation)
    if not is_finished(config, run, data_hash):
        _check_lists(config, dataset, training)
        quiet_tensorflow()
        from streams.distribution import set_threads

        set_threads(config.threads)
        given = ingredients(config, dataset, training, validation)
        steps_per_epoch = len(training) // config.batch_size
        if config.dry_run:
            from streams.rehearsal import rehearse

            _report(config, rehearse(given, steps_per_epoch=steps_per_epoch, config=config))
            return
        from streams.training import train

        train(given, steps_per_epoch=steps_per_epoch, config=config, run=run, data_hash=data_hash)
    _report(config, say_result(run))


def _report(config: TrainConfig, result: dict[str, Any]) -> None:
    if config.json:
        write_json(config.json, result)


def _check_lists(config: TrainConfig, dataset: Any, training: Sequence[Any]) -> None:
    """Refuses lists that nothing can be learnt from."""
    if len(training) < config.batch_size:
        raise ValueError(
            f"Split {config.split} has {len(training)} videos to train on, fewer than a batch of {config.batch_size}. "
            f"Pass --batch-size {max(1, len(training))} or less."
        )
    shown = {label for video in training for label in video.labels}
    missing = [name for label, name in enumerate(dataset.classes) if label not in shown]
    if missing:
        raise ValueError(
            f"Split {config.split} has no video to train on of {len(missing)} of {len(dataset.classes)} classes, "
            f"{missing[0]!r} among them. Add videos of it, or take it off the list of classes."
        )


def _data_hash(dataset: Any, *lists: Sequence[Any]) -> str:
    """Returns what tells one set of training and validation videos from another, without reading their pixels."""
    described = [
        [(video.name, video.labels, video.num_frames, video.num_flows) for video in videos] for videos in lists
    ]
    text = json.dumps([dataset.name, dataset.classes, described])
    return hashlib.sha256(text.encode()).hexdigest()
