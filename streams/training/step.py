"""Defines a step of training and one of validation, the same for one device, several devices and several machines."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import keras
import tensorflow as tf

from pipelines.clip_stream import Clips, Tensors
from streams.config import TrainConfig
from streams.networks.two_tasks import own_task_only
from streams.training.consensus import agreed

# The error message for a loss that is not finite starts with this.
NON_FINITE = "The loss is not finite"


class Trainee(keras.Model):
    """A network during its training. The layers are the network's own, and the steps are ours.

    Keras' own step clips and accumulates gradients on each device separately, and averages over the clips of a device.
    Here a step means the same on any number of devices: one update by the mean over all its clips.
    """

    train_function: Callable[[Iterator[tf.Tensor]], dict[str, tf.Tensor]] | None

    def __init__(self, network: keras.Model, clips: Clips, config: TrainConfig, *, multi_label: bool = False):
        super().__init__(network.input, network.output)
        self.clips, self.config, self.multi_label = clips, config, multi_label
        self.validating = False
        with network.distribute_strategy.scope():
            self.training_means = keras.metrics.Mean("loss"), keras.metrics.Mean("accuracy")
            self.validation_means = keras.metrics.Mean("loss"), keras.metrics.Mean("accuracy")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics that steps update now. Validation has its own, so those of the epoch stay unchanged."""
        if self.validating:
            return list(self.validation_means)
        # Keras adds its own loss metric, which stays zero. All checkpoints contain it, so it remains.
        own = {*self.training_means, *self.validation_means}
        return [*(each for each in super().metrics if each not in own), *self.training_means]

    def reset_metrics(self) -> None:
        """Resets the metrics of validation. Those of training may belong to an epoch that goes on."""
        if self.validating:
            super().reset_metrics()

    def make_train_function(self, force: bool = False) -> None:
        """Makes each step one graph. Keras nests three, which costs a millisecond. XLA needs two of them."""
        if self.jit_compile or self.run_eagerly:
            super().make_train_function(force)
        elif force or self.train_function is None:
            # Nothing in a step depends on a tensor's value, so AutoGraph would rewrite it without benefit.
            self.train_function = tf.function(self._next_step, reduce_retracing=True, autograph=False)

    def _next_step(self, iterator: Iterator[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Trains on the next batch on all devices of this machine."""
        strategy = self.distribute_strategy
        numbers = strategy.run(self.train_step, args=(next(iterator),))
        # The metrics have the means over all devices. Keras reads them at the end of an epoch.
        return {name: strategy.experimental_local_results(each)[0] for name, each in numbers.items()}

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Updates the weights by the clips of one batch, and returns the metrics of the epoch so far."""
        gradients = self._gradients(*data) if self.config.accumulate == 1 else self._accumulated(data)
        if self.config.clip_norm:
            gradients = self._clipped(gradients, self.config.clip_norm)
        self.optimizer.apply(gradients, self.trainable_variables)
        return self.get_metrics_result()

    def test_step(self, data: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Evaluates a validation batch. The last one may be filled up with clips of weight 0."""
        clips, labels, weights = data
        self._count_losses(clips, labels, weights, training=False)
        # Keras 3.15 reduces the metrics of several machines over axis 0, which scalars lack.
        return {mean.name: tf.reshape(mean.result(), [1]) for mean in self.validation_means}

    def _accumulated(self, data: tuple[tf.Tensor, tf.Tensor]) -> list[tf.Tensor]:
        """Returns the gradients of a batch that is computed in parts."""
        total: list[tf.Tensor] = []
        for part in range(self.config.accumulate):
            # Each part waits for the one before it, so that only one at a time is in memory.
            with tf.control_dependencies(total):
                of_part = tf.nest.map_structure(lambda values, part=part: values[part :: self.config.accumulate], data)
                gradients = self._gradients(*of_part)
                total = [a + b for a, b in zip(total, gradients, strict=True)] if total else gradients
        return total

    def _gradients(self, clips: Tensors, labels: tf.Tensor) -> list[tf.Tensor]:
        """Returns this device's part of the gradient of the mean loss over all clips of a step."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            losses = self._count_losses(*self.clips.cut(clips, labels), training=True)
            loss = tf.reduce_mean(losses) + tf.add_n([tf.cast(each, tf.float32) for each in [0.0, *self.losses]])
            scaled = self.optimizer.scale_loss(loss / (replicas * self.config.accumulate))
        return tape.gradient(scaled, [variable.value for variable in self.trainable_variables])

    def _count_losses(self, clips: Tensors, labels: tf.Tensor, *weights: tf.Tensor, training: bool) -> tf.Tensor:
        """Returns the loss of each clip, and adds it to the metrics."""
        losses, right = self.judged(clips, labels, training=training)
        losses = tf.debugging.check_numerics(losses, NON_FINITE)
        loss, accuracy = self.training_means if training else self.validation_means
        loss.update_state(losses, *weights)
        accuracy.update_state(tf.cast(right, tf.float32), *weights)
        return losses

    def judged(self, clips: Tensors, labels: tf.Tensor, *, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the loss of each clip, and whether its top-scoring class is right."""
        logits = (self if self.config.segments == 1 else partial(self.consensus, self))(clips, training=training)
        if self.multi_label:
            losses = keras.losses.binary_crossentropy(labels, logits, from_logits=True)
            return losses, tf.gather(labels, tf.argmax(logits, axis=-1), axis=-1, batch_dims=1)
        logits = own_task_only(logits, labels, self.clips.tasks) if self.clips.tasks else logits
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return losses, tf.equal(tf.cast(labels, tf.int64), tf.argmax(logits, axis=-1))

    def consensus(self, network: keras.Model, clips: Tensors, *, training: bool) -> tf.Tensor:
        """Returns the consensus of a network's logits over the segments of each example (TSN, Sec. 3.2)."""
        segments = self.config.segments  # A network of both streams has clips of each.
        single = tf.nest.map_structure(lambda values: tf.reshape(values, [-1, *values.shape[2:]]), clips)
        logits = network(single, training=training)
        return agreed(tf.reshape(logits, [-1, segments, logits.shape[-1]]), self.config.consensus)

    def _clipped(self, gradients: Sequence[tf.Tensor], longest: float) -> list[tf.Tensor]:
        """Scales down a gradient that is longer than `longest`, after the parts of all devices are summed."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1:
            gradients = tf.distribute.get_replica_context().all_reduce("SUM", list(gradients))
        # With loss scaling, gradients are longer by that factor here. The optimizer sums over devices once more.
        limit = longest * getattr(self.optimizer, "dynamic_scale", 1.0)
        clipped, _ = tf.clip_by_global_norm(gradients, limit)
        return [each / replicas for each in clipped]
