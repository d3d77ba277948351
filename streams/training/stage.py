"""Runs one stage of a training, from an untrained network to its best weights, for the training commands."""

from collections.abc import Sequence

import tensorflow as tf

from data.catalog import DataSet, Video
from data.ready import frame_description
from pipelines.clip_stream import Clips, ClipStream
from pipelines.inputs import Input
from streams.config import EXACT, TrainConfig
from streams.runs.costs import Cost
from streams.runs.run_folder import Run
from streams.training.devices import strategy_for
from streams.training.fit import Learner, building, train
from streams.training.kept_features import on_features
from streams.training.rehearsal import rehearse
from streams.training.solve_stage import solve_stage
from streams.training.tricks.chosen import with_tricks

__all__ = ["Learner", "building", "clips_of", "strategy_for", "train_stage"]


def train_stage(learner: Learner, clips: Clips, config: TrainConfig, run: Run) -> Cost | None:
    """Trains one stage; on kept features if only the last layer is trained. With `--dry-run`, it only rehearses."""
    if config.optimizer == EXACT and isinstance(clips, ClipStream):
        return solve_stage(learner, clips, config, run)
    if config.keeps_features and isinstance(clips, ClipStream):
        learner, clips = on_features(learner, clips, config, run)
    if config.tricks:
        learner, clips = with_tricks(learner, clips, config)
    if config.dry_run:
        return rehearse(learner, clips, config, run)
    train(learner, clips, config, run)
    return None


def clips_of(
    config: TrainConfig, dataset: DataSet, clip: Input, training: Sequence[Video], validation: Sequence[Video] = ()
) -> ClipStream:
    """Returns the stream of clips that the options describe."""
    auto = config.crop_on == "auto" and tf.config.list_physical_devices("GPU") and _suits_device(config, dataset)
    return ClipStream(
        dataset,
        training,
        clip,
        config.batch_size,
        config.crop_size,
        seed=config.seed,
        augment=config.augment,
        balance=config.balance,
        shown=config.shown,
        on_device=config.shown != "whole" and bool(config.crop_on == "device" or auto),
        held_out=validation,
        skipped=set() if config.skip_broken else None,
    )


def _suits_device(config: TrainConfig, dataset: DataSet) -> bool:
    """Tells whether whole frames can be cut where the network runs, which saves the host this work."""
    made = frame_description(dataset.root)
    has_one_short_side = made.get("short_side") is not None and bool(made.get("enlarge", True))
    return config.can_cut_on_device and has_one_short_side
