"""The clips of a training, as its options say."""

from collections.abc import Sequence

import tensorflow as tf

from data.catalog import DataSet, Video
from data.ready import frame_description
from pipelines.clip_stream import ClipStream
from pipelines.inputs import Input
from streams.config import TrainConfig


def clips_of(
    config: TrainConfig, dataset: DataSet, clip: Input, training: Sequence[Video], validation: Sequence[Video] = ()
) -> ClipStream:
    """Returns the stream of clips that the options describe."""
    return ClipStream(
        dataset,
        training,
        clip,
        config.batch_size,
        config.crop_size,
        seed=config.seed,
        augment=config.augment,
        balance=config.balance,
        on_device=_cuts_on_device(config, dataset),
        held_out=validation,
        skipped=set() if config.skip_broken else None,
    )


def _cuts_on_device(config: TrainConfig, dataset: DataSet) -> bool:
    """Tells whether whole frames are shipped to be cut where the network runs, which frees the host of the work."""
    if config.crop_on != "auto":
        return config.crop_on == "device"
    if not config.can_cut_on_device or not tf.config.list_physical_devices("GPU"):
        return False
    return frame_description(dataset.root).get("short_side") is not None
