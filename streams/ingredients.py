"""What a stream gives to its training: a network, batches of clips of a data set, and what is to be said of them."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from data.catalog import DataSet, Video
from data.ready import flow_description, frame_description
from pipelines.inputs import Input
from streams.modelfile import ModelCard, lessons_in

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pipelines.drawing import Skipped

Videos = Sequence[Video]


def _as_they_are(clips: Any) -> Any:
    return clips


@dataclass(frozen=True)
class Ingredients:
    """What a stream gives to its training."""

    network: Callable[[], "keras.Model"]
    # Called with `start_step`, gives the endless stream from there; `shard` says which of how many equal parts of
    # each batch, as each of several machines makes its own.
    batches: Callable[..., "tf.data.Dataset"]
    validation: "tf.data.Dataset | None"  # Batches in a fixed order; None where nothing is chosen.
    card: ModelCard
    videos: Callable[[int], Sequence[str]] | None = None  # The names of the videos in the batch of a step.
    broken: Callable[[int], str] | None = None  # What of the batch of a step can't be read, and what to do; or "".
    skipped: "Skipped | None" = None  # Clips that could not be read and were left out; see `pipelines.drawing`.
    cut: Callable[[Any], Any] = _as_they_are  # Makes clips of what batches hold, where the network runs.
    tasks: tuple[int, ...] = ()  # Where scores are of several data sets side by side, how many are of each.
    saved: Callable[["keras.Model"], "keras.Model"] = lambda network: network  # What of a trained network is kept.

    def num_skipped(self, steps: int) -> dict[str, int]:
        """Returns how many clips of each video were left out of so many steps and of validation, the most first."""
        return dict(Counter(video for video, step, _ in list(self.skipped or ()) if step < steps).most_common())


def of_dataset(
    stream: str,
    config: Any,
    dataset: DataSet,
    lists: tuple[Videos, Videos],
    fresh: Callable[[Any, Input, DataSet], "keras.Model"],
) -> Ingredients:
    """Returns the ingredients of a stream on `(training, validation)` videos.

    `fresh(config, clip, dataset)` makes its network; where weights come from and what learns is decided here.
    """
    from pipelines.drawing import batch_videos, draw_rows
    from pipelines.failures import explain_failure, readable_views
    from streams.bottleneck import on_features

    clip, (training, validation) = Input(config.input, config.length, config.segments), lists
    on_device = crops_on_device(config, dataset)
    drawing = dataclasses.replace(drawing_of(config), device_crop=on_device)
    drawn: dict[str, Any] = {"batch_size": config.batch_size, "seed": config.seed, "drawing": drawing}
    given = Ingredients(
        network=partial(_started, config, clip, dataset, fresh),
        batches=partial(batches_of, dataset, training, clip, config, drawing),
        validation=validation_of(dataset, validation, clip, config, drawing.skipped),
        card=card_of(stream, config, dataset, clip),
        videos=lambda step: batch_videos(training, step=step, **drawn),
        broken=lambda step: explain_failure(
            dataset, training, clip, step=step, validation=validation, crop_size=config.crop_size, **drawn
        ),
        skipped=drawing.skipped,
        cut=partial(_cut, config, clip, dataset) if on_device else _as_they_are,
    )
    if config.keeps_features:
        draw = draw_rows(training, config.batch_size, config.seed, drawing)
        return on_features(given, config, partial(readable_views, dataset, clip=clip), draw, training, validation)
    return given


def card_of(stream: str, config: Any, dataset: DataSet, clip: Input) -> ModelCard:
    """Returns what the model of a stream will say of itself."""
    card = ModelCard(
        stream,
        clip.kind,
        clip.length,
        dataset.classes,
        dataset.name,
        config.split,
        config.protocol,
        flow_description(dataset.root) if clip.is_flow else {},
        dataset.multi_label,
        frame_description(dataset.root),
    )
    return card.having_learnt(lessons_in(config.weights))


def drawing_of(config: Any) -> Any:
    """Returns how the clips of a training are drawn and cut, as its options say."""
    from pipelines.drawing import Drawing

    return Drawing(config.augment, config.balance, skipped=set() if config.skip_broken else None)


def crops_on_device(config: Any, dataset: DataSet) -> bool:
    """Tells whether whole fields are shipped to be cut where the network runs, which frees the host of the work."""
    if config.crop_on != "auto":
        return bool(config.crop_on == "device")
    import tensorflow as tf

    if not config.can_cut_on_device or not tf.config.list_physical_devices("GPU"):
        return False
    return frame_description(dataset.root).get("short_side") is not None


def _cut(config: Any, clip: Input, dataset: DataSet, fields: Any) -> Any:
    from pipelines.device import crop
    from pipelines.source import level_rule

    return crop(fields, clip, config.crop_size, config.augment, level_rule(dataset, clip))


def batches_of(
    dataset: DataSet,
    videos: Videos,
    clip: Input,
    config: Any,
    drawing: Any,
    *,
    start_step: int,
    shard: tuple[int, int] = (0, 1),
    share: int = 1,
) -> "tf.data.Dataset":
    """Returns the endless stream of a training's batches, or of a machine's part of each.

    `share` is how many data sets share a batch equally.
    """
    from pipelines.clips import train_batches

    return train_batches(
        dataset,
        videos,
        clip,
        batch_size=config.batch_size // share,
        crop_size=config.crop_size,
        seed=config.seed,
        start_step=start_step,
        drawing=dataclasses.replace(drawing, shard=shard),
    )


def validation_of(
    dataset: DataSet, videos: Videos, clip: Input, config: Any, skipped: "Skipped | None" = None
) -> "tf.data.Dataset | None":
    """Returns batches of the videos that weights are chosen by, where there are any."""
    from pipelines.clips import validation_batches

    if not videos:
        return None
    sizes = {"batch_size": config.batch_size, "crop_size": config.crop_size}
    return validation_batches(dataset, videos, clip, **sizes, skipped=skipped)


def _started(
    config: Any, clip: Input, dataset: DataSet, fresh: Callable[[Any, Input, DataSet], "keras.Model"]
) -> "keras.Model":
    """Returns a network with the weights that it starts from: on flow random ones unless the options say else."""
    from streams.starting import started

    default = "none" if clip.is_flow else "imagenet"
    return started(fresh(config, clip, dataset), config, default=default, clip=clip, classes=dataset.classes)
