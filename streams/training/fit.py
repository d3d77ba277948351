"""Trains one network. This is the only place with `compile` and `fit`."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import tensorflow as tf

from commands.files import write_json
from pipelines.clip_stream import Clips
from streams.config import TrainConfig
from streams.runs.model_file import ModelCard, save_model
from streams.runs.run_folder import Run, is_finished, say_skipped
from streams.training.around_steps import Keeper, KeeperOfCompiled, Stop, StoppedError, listening_for_stop, same_command
from streams.training.devices import Alone, synchronise_batch_norm, whole_batches
from streams.training.explaining import EXPLICABLE, explain
from streams.training.first_batch import look_at_first_batch
from streams.training.machines import Together
from streams.training.progress import Course
from streams.training.records import (
    HAS_TENSORBOARD,
    Display,
    TensorBoard,
    described_training,
    draw_curves,
    write_history,
)
from streams.training.schedules import best_epoch, make_optimizer
from streams.training.step import Trainee

_SAVED = "Stopped after the last step; the model is saved. {} goes on with what is left, or prints the result."


@dataclass(frozen=True)
class Learner:
    """A network to train, built inside `building`, and the card for its file."""

    network: keras.Model
    card: ModelCard
    saved: keras.Model | None = None  # The network to save, if it is another one that shares the trained weights.
    trainee: Callable[..., Trainee] = Trainee  # The class that trains it.


@contextlib.contextmanager
def building(config: TrainConfig, strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Sets the seed, precision and devices of a training for networks that are built inside the block."""
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with _machines(strategy).answering(), strategy.scope():
        yield


def train(
    learner: Learner, clips: Clips, config: TrainConfig, run: Run, watch: keras.callbacks.Callback | None = None
) -> dict[str, float]:
    """Trains a network, from its last checkpoint if there is one. Returns the metrics of its best epoch."""
    strategy = learner.network.distribute_strategy
    together = _machines(strategy)
    with run.locked() if together.is_chief else contextlib.nullcontext(), listening_for_stop() as stop:
        if together.is_chief and is_finished(config, run):  # Another process had the lock and finished the training.
            return run.entry("result")
        course = Course.of(config, run, clips.steps_per_epoch, together)
        with together.answering():
            model = _compiled(learner, clips, course)
        try:
            with strategy.scope():
                validation = clips.validation()
                whole = None if validation is None else whole_batches(validation, config.batch_size)
                keeper, display, *others = _callbacks(learner, model, clips, validation, course, stop)
                callbacks = [keeper, *([display, *others] if together.is_chief else []), *([watch] if watch else [])]
                with display.bar:
                    while not course.is_done:
                        if course.step_of_epoch == course.steps_per_epoch:
                            _validate(model, whole, keras.callbacks.CallbackList(callbacks, model=model), course.epoch)
                            continue
                        # Keras uses one iterator for all epochs of a call, so the stream of clips never starts anew.
                        batches = display.watched(clips.batches(course.progress.step, together.part))
                        model.fit(
                            together.dealt(batches, config.batch_size),
                            initial_epoch=course.epoch,
                            epochs=course.epoch + 1 if course.step_of_epoch else course.epochs,
                            steps_per_epoch=course.steps_per_epoch - course.step_of_epoch,
                            validation_data=whole,
                            callbacks=callbacks,
                            shuffle=False,
                            verbose=0,
                        )
                return _finish(learner, model, clips, keeper)
        except EXPLICABLE as error:
            explain(error, course, clips, model)
            raise


def _machines(strategy: tf.distribute.Strategy) -> Alone:
    """Returns what coordinates the machines of a training."""
    return Together(strategy) if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) else Alone()


def _compiled(learner: Learner, clips: Clips, course: Course) -> Trainee:
    """Returns the model that is trained, which wraps the network that is saved."""
    if course.config.sync_batch_norm:
        synchronise_batch_norm(learner.network)
    # Outside the scope: a model that is made inside fails on several machines (Keras 3.15).
    model = learner.trainee(learner.network, clips, course.config, multi_label=learner.card.multi_label)
    with learner.network.distribute_strategy.scope():
        model.compile(optimizer=make_optimizer(course.config, course.rate), jit_compile=course.config.jit)
        # Variables that are created in a step would make its graph conditional, which fails on several devices.
        model.optimizer.build(model.trainable_variables)
    return model


def _callbacks(
    learner: Learner, model: Trainee, clips: Clips, validation: tf.data.Dataset | None, course: Course, stop: Stop
) -> tuple[Keeper, Display, *tuple[keras.callbacks.Callback, ...]]:
    """Restores the last checkpoint, checks the first batch, and returns the callbacks for the following steps."""
    course.start(model, clips.skipped)
    sheets = look_at_first_batch(model, clips, validation, course, is_flow=bool(learner.card.flow))
    # Keras prints this once if it must find out the length of validation data.
    warnings.filterwarnings("ignore", "Your input ran out of data")
    described = described_training(course.config, course.run, learner.card, begun=course.progress.step > 0)
    display = Display(course)
    keeper = (KeeperOfCompiled if course.config.jit else Keeper)(course, stop, described)
    return keeper, display, *([TensorBoard(course, display, sheets)] if HAS_TENSORBOARD else [])


def _validate(
    model: Trainee, validation: tf.data.Dataset | None, callbacks: keras.callbacks.CallbackList, epoch: int
) -> None:
    """Ends an epoch, as `fit` does after its last step."""
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(epoch)
    numbers = model.get_metrics_result()
    found = model.evaluate(validation, callbacks=callbacks, return_dict=True, verbose=0)
    callbacks.on_epoch_end(epoch, {**numbers, **{f"val_{name}": value for name, value in found.items()}})


def _finish(learner: Learner, model: Trainee, clips: Clips, keeper: Keeper) -> dict[str, float]:
    """Saves the weights of the best epoch. The result is written last, because it marks the run as finished."""
    course, run, history = keeper.course, keeper.course.run, keeper.course.progress.history
    best = best_epoch(history)
    result = {"epoch": best, "epochs": len(history), **history[best - 1]}
    if course.together.is_chief:  # The other machines need no best weights, and these lines delete them.
        if best < len(history):  # If not, the network has them already.
            course.checkpoints.restore_best(model, course.progress)
        save_model(learner.saved or learner.network, learner.card, run.model)
        write_history(run.history, history)
        draw_curves(run.curves, history, best, course.config.protocol)
        skipped, seconds = clips.num_skipped(course.progress.step), course.progress.seconds
        write_json(run.config, {**keeper.described, "result": result, "skipped": skipped, "seconds": seconds})
        run.clear_checkpoints()
        if skipped:
            say_skipped(skipped)
    # Here the other machines wait for the model, because the next stage may start from it.
    (stopped,) = course.together.any(keeper.stop.requested)
    course.together.take_leave()
    if stopped:
        raise StoppedError(_SAVED.format(same_command(course.config)))
    return result
