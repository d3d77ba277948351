"""One stage of a training, from a fresh network to its best weights: what the training commands are made of."""

from pipelines.clip_stream import Clips, ClipStream
from streams.config import TrainConfig
from streams.runs.costs import Cost
from streams.runs.run_folder import Run, say_skipped
from streams.training.clips import clips_of
from streams.training.devices import strategy_for
from streams.training.fit import Learner, building, train
from streams.training.kept_features import on_features
from streams.training.rehearsal import rehearse

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
