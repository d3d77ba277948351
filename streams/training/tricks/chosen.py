"""Sets up a training with the options of the group tricks. A training without them never imports this."""

import dataclasses
from collections import Counter
from functools import partial

from pipelines.clip_stream import Clips
from pipelines.variations.clips import Varied
from pipelines.variations.mirrored_classes import MirroredClasses, classes_in_mirror
from streams.config import TrainConfig
from streams.runs.model_file import ModelCard
from streams.training.fit import Learner, building
from streams.training.tricks.drop_path import with_drop_path
from streams.training.tricks.step import Averages, TrickedTrainee
from streams.training.tricks.teaching import Teacher, with_teachers
from streams.tricks import amounts_of


def with_tricks(learner: Learner, clips: Clips, config: TrainConfig) -> tuple[Learner, Clips]:
    """Returns a learner and clips with these options."""
    card, network = learner.card, learner.network
    if card.multi_label and config.loss != "plain":
        raise ValueError(
            f"--loss {config.loss} is for videos of one class each, but those of {card.data_set} have several. Drop it."
        )
    teachers: list[Teacher] = []
    with building(config, network.distribute_strategy):
        averages = Averages(network, config.ema) if config.ema else None
        saved = averages.network if averages else learner.saved or network
        if config.drop_path:
            network = with_drop_path(network, config.drop_path)
        if config.teacher:
            clips, teachers, card = with_teachers(clips, config, card)
    number_of = Counter(video.labels[0] for video in clips.videos)
    counts = [number_of[label] for label in range(len(card.classes))]
    trainee = partial(TrickedTrainee, averages=averages, counts=counts, teachers=teachers)
    clips, card = _varied(clips, config, card)
    return Learner(network, card, saved, trainee), clips


def _varied(clips: Clips, config: TrainConfig, card: ModelCard) -> tuple[Clips, ModelCard]:
    """Returns clips whose labels follow the mirror, and that are varied; the card says what classes are in a mirror."""
    if config.mirror_classes:
        in_mirror = classes_in_mirror(config.mirror_classes, card.classes)
        clips = clips.changed(partial(MirroredClasses.of, in_mirror=in_mirror))
        card = dataclasses.replace(card, in_mirror=in_mirror)
    if config.vary:
        clips = Varied(clips, amounts_of(config), len(card.classes), config.seed)
    return clips, card
