"""A training step with other losses and averaged weights. A plain training never imports this."""

from collections.abc import Sequence
from functools import partial

import keras
import numpy as np
import tensorflow as tf

from pipelines.clip_stream import Clips, Tensors
from streams.config import TrainConfig
from streams.training.step import Trainee
from streams.training.tricks.teaching import Teacher, lesson


class Averages:
    """Running means of a network's weights, including the statistics of its normalisations, in a copy of it."""

    def __init__(self, network: keras.Model, decay: float):
        self.network = keras.models.clone_model(network)
        self.network.set_weights(network.get_weights())
        for weight in self.network.weights:  # Not of its layers, whose settings are saved.
            weight.trainable = False
        self.decay, self.pairs = decay, list(zip(self.network.weights, network.weights, strict=True))

    def update(self, steps: tf.Tensor) -> None:
        """Moves the means towards the weights, on each device separately, because all devices have the same weights."""
        # Otherwise the first weights would count for long in early means. So the decay rises to its value.
        done = tf.cast(steps, tf.float32)
        decay = tf.minimum(self.decay, (1.0 + done) / (10.0 + done))

        def update_all(strategy: tf.distribute.Strategy, decay: tf.Tensor) -> None:
            for mean, weight in self.pairs:
                strategy.extended.update(mean.value, _moved, args=(weight.value, decay), group=False)

        tf.distribute.get_replica_context().merge_call(update_all, args=(decay,))


class TrickedTrainee(Trainee):
    """A network during its training with the options of the group tricks."""

    def __init__(
        self,
        network: keras.Model,
        clips: Clips,
        config: TrainConfig,
        *,
        multi_label: bool = False,
        averages: Averages | None = None,
        counts: Sequence[int] = (),
        teachers: Sequence[Teacher] = (),
    ):
        super().__init__(network, clips, config, multi_label=multi_label)
        self.averages = averages
        self.teachers = tuple(teachers)
        shares = np.asarray(counts, np.float32) / max(1, sum(counts))
        # A class of average frequency has weight 1.
        self.class_weights = 1 / (len(counts) * shares) if config.loss == "class-weighted" else None
        self.priors = np.log(shares) if config.loss == "logit-adjusted" else 0.0

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables of the network in checkpoints, including the means of its weights."""
        return [*super().variables, *(self.averages.network.weights if self.averages else ())]

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Updates the weights, and then their means."""
        numbers = super().train_step(data)
        if self.averages:
            self.averages.update(self.optimizer.iterations)
        return numbers

    def scores(self, network: keras.Model, clips: Tensors, *, training: bool) -> tf.Tensor:
        """Returns the logits of a network for examples: the consensus of their segments, if they have several."""
        return (network if self.config.segments == 1 else partial(self.consensus, network))(clips, training=training)

    def judged(self, clips: Tensors, labels: tf.Tensor, *, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of each clip, and the share of its target that its top-scoring class has.

        Validation uses the averaged weights, because these are saved, and the loss without smoothing.
        """
        network = self.averages.network if self.averages and not training else self
        is_taught = self.teachers and training
        own = clips[self.inputs[0].name] if is_taught else clips
        logits = self.scores(network, own, training=training)
        classes = logits.shape[-1]
        targets = labels if len(labels.shape) > 1 else tf.one_hot(labels, classes)
        right = tf.gather(targets, tf.argmax(logits, axis=-1), axis=-1, batch_dims=1)
        smoothing = self.config.label_smoothing if training else 0.0
        smooth = (1 - smoothing) * targets + smoothing / (2 if self.multi_label else classes)
        if self.multi_label:
            return keras.losses.binary_crossentropy(smooth, logits, from_logits=True), right
        # Menon et al. 2021, Sec. 5: then the result does not depend on the frequencies of classes.
        losses = keras.losses.categorical_crossentropy(smooth, logits + self.priors, from_logits=True)
        if self.class_weights is not None:
            losses *= tf.linalg.matvec(targets, self.class_weights)
        if is_taught:
            weight = self.config.teacher_weight
            answers = [teacher.scores(clips, self.scores) for teacher in self.teachers]
            losses = (1 - weight) * losses + weight * lesson(logits, answers)
        return losses, right


def _moved(mean: tf.Variable, weight: tf.Tensor, decay: tf.Tensor) -> tf.Tensor:
    return mean.assign(decay * mean + (1 - decay) * weight)
