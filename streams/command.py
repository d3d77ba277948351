"""What the commands of both streams do alike, once they have said which videos and which network."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from commands.running import quiet_tensorflow, write_json
from streams.config import TrainConfig
from streams.runs import Run, is_finished, say_result

if TYPE_CHECKING:
    import keras

    from streams.modelfile import ModelCard


@dataclass(frozen=True)
class Ingredients:
    """What a stream gives to its training."""

    network: Callable[[], "keras.Model"]
    batches: Callable[..., Iterable[Any]]  # Called with `start_step`, gives the endless stream of batches from there.
    validation: Iterable[Any] | None  # Batches in a fixed order; None where nothing is chosen.
    card: "ModelCard"


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
    run = Run.of(config.runs, dataset.name, stream, config.split)
    if not is_finished(config, run):
        training, validation = lists
        quiet_tensorflow()
        from streams.training import train

        train(
            ingredients(config, dataset, training, validation),
            steps_per_epoch=max(1, len(training) // config.batch_size),
            config=config,
            run=run,
            data_hash=_data_hash(dataset, training, validation),
        )
    result = say_result(run)
    if config.json:
        write_json(config.json, result)


def _data_hash(dataset: Any, *lists: Sequence[Any]) -> str:
    """Returns what tells one set of training and validation videos from another, without reading their pixels."""
    described = [
        [(video.name, video.labels, video.num_frames, video.num_flows) for video in videos] for videos in lists
    ]
    text = json.dumps([dataset.name, dataset.classes, described])
    return hashlib.sha256(text.encode()).hexdigest()
