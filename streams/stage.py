"""One stage of a training, from a fresh network to its best weights: what the training commands are made of."""

from pipelines.clip_stream import Clips, ClipStream
from streams.bottleneck import on_features
from streams.clips import clips_of
from streams.config import TrainConfig
from streams.costs import Cost
from streams.distribution import strategy_for
from streams.rehearsal import rehearse
from streams.runs import Run, say_skipped
from streams.training import Learner, building, train

__all__ = ["Learner", "building", "clips_of", "strategy_for", "train_stage"]


def train_stage(learner: Learner, clips: Clips, config: TrainConfig, run: Run) -> Cost | None:
    """Trains one stage, on kept features if only the last layer learns; with `--dry-run` it is only rehearsed."""
    if config.keeps_features and isinstance(clips, ClipStream):
        learner, clips = on_features(learner, clips, config)
    if config.dry_run:
        return rehearse(learner, clips, config, run)
    train(learner, clips, config, run)
    say_skipped(run)
    return None
