"""One step of training and one of validation, alike on one device, on several, and on several machines."""

from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from pipelines.clip_stream import Tensors
from streams.networks.two_tasks import own_task_only
from streams.training.devices import is_of_several


class Trainee(keras.Model):
    """A network while it is trained: the layers are the network's own, the steps are ours.

    Keras' own step clips and accumulates gradients on each device by itself, and takes the mean over the clips of
    a device; here a step means the same on any number of devices: one update by the mean over all its clips.
    """

    train_function: Callable[[Iterator[tf.Tensor]], dict[str, tf.Tensor]] | None

    def __init__(
        self,
        network: keras.Model,
        means: tuple[keras.metrics.Mean, keras.metrics.Mean],
        *,
        accumulate: int = 1,
        clip_norm: float | None = None,
        multi_label: bool = False,
        tasks: tuple[int, ...] = (),
        cut: Callable[[Tensors], Tensors] = lambda clips: clips,
    ):
        super().__init__(network.input, network.output)
        self.mean_loss, self.frame_accuracy = means
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.multi_label = multi_label
        self.tasks = tasks
        self.cut = cut

    def make_train_function(self, force: bool = False) -> None:
        """Makes a step one graph: the three that Keras nests cost a millisecond more, and XLA needs two of them."""
        if self.jit_compile or self.run_eagerly:
            super().make_train_function(force)
            return
        if self.train_function is not None and not force:
            return
        strategy = self.distribute_strategy

        @tf.function(reduce_retracing=True)
        def step(iterator: Iterator[tf.Tensor]) -> dict[str, tf.Tensor]:
            numbers = strategy.run(self.train_step, args=(next(iterator),))
            # Means over all devices are in the metrics, which Keras reads at the end of an epoch.
            return {
                name: tf.reshape(strategy.experimental_local_results(each)[0], []) for name, each in numbers.items()
            }

        self.train_function = step

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Changes the weights by the clips of one batch and returns the numbers of the epoch so far."""
        clips, labels = data
        total: list[tf.Tensor] = []
        for part_clips, part_labels in self._parts(clips, labels, total):
            gradients = self._gradients(self.cut(part_clips), part_labels)
            total[:] = [a + b for a, b in zip(total, gradients, strict=True)] if total else gradients
        self.optimizer.apply(self._clipped(total), self.trainable_variables)
        return self._numbers()

    def test_step(self, data: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Counts a validation batch, whose last one may be filled up with clips of weight 0."""
        clips, labels, weights = data
        self._loss_of_each(labels, self._consensus(clips, training=False), weights)
        return self._numbers()

    def _parts(
        self, clips: tf.Tensor, labels: tf.Tensor, previous: Sequence[tf.Tensor]
    ) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yields the parts that a batch is computed in, each once `previous` is done, so that one is in memory."""
        for part in range(self.accumulate):
            with tf.control_dependencies(list(previous)):
                yield tf.nest.map_structure(lambda values, part=part: values[part :: self.accumulate], (clips, labels))

    def _gradients(self, clips: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        """Returns what this device's part adds to the gradient of the mean loss over all clips of a step."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            losses = self._loss_of_each(labels, self._consensus(clips, training=True))
            loss = tf.reduce_mean(losses) + tf.add_n([tf.cast(each, tf.float32) for each in [0.0, *self.losses]])
            scaled = self.optimizer.scale_loss(loss / (replicas * self.accumulate))
        gradients: list[tf.Tensor] = tape.gradient(scaled, [variable.value for variable in self.trainable_variables])
        return gradients

    def _consensus(self, clips: tf.Tensor, *, training: bool) -> tf.Tensor:
        """Returns the logits of clips; where an example has several segments, the mean of theirs (TSN, Sec. 3.2)."""
        shape = tf.nest.flatten(clips)[0].shape  # A network of both streams is given clips of each.
        if shape.rank < 5:
            return self(clips, training=training)
        single = tf.nest.map_structure(lambda values: tf.reshape(values, [-1, *values.shape[2:]]), clips)
        logits = self(single, training=training)
        return tf.reduce_mean(tf.reshape(logits, [-1, shape[1], logits.shape[-1]]), axis=1)

    def _loss_of_each(self, labels: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
        """Returns the loss of each clip, and counts it."""
        if self.multi_label:
            losses = keras.losses.binary_crossentropy(labels, logits, from_logits=True)
            right = tf.gather(labels, tf.argmax(logits, axis=-1), axis=-1, batch_dims=1)
        else:
            logits = own_task_only(logits, labels, self.tasks) if self.tasks else logits
            losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            right = tf.equal(tf.cast(labels, tf.int64), tf.argmax(logits, axis=-1))
        losses = tf.debugging.check_numerics(losses, NON_FINITE)
        self.mean_loss.update_state(losses, weights)
        self.frame_accuracy.update_state(tf.cast(right, tf.float32), weights)
        return losses

    def _clipped(self, gradients: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """Shortens a gradient that is longer than `clip_norm`, after the parts of all devices are summed."""
        if self.clip_norm is None:
            return gradients
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas > 1:
            gradients = tf.distribute.get_replica_context().all_reduce("SUM", list(gradients))
        # With loss scaling, gradients are that many times as long here. The optimizer sums over devices once more.
        limit = self.clip_norm * getattr(self.optimizer, "dynamic_scale", 1.0)
        clipped, _ = tf.clip_by_global_norm(gradients, limit)
        return [each / replicas for each in clipped]

    def _numbers(self) -> dict[str, tf.Tensor]:
        numbers: dict[str, tf.Tensor] = self.get_metrics_result()
        if is_of_several(tf.distribute.get_strategy()):
            # Keras 3.15 reduces these over axis 0, which scalars lack.
            return {name: tf.reshape(value, [1]) for name, value in numbers.items()}
        return numbers


# What the error of a non-finite loss is known by.
NON_FINITE = "The loss is not finite"
