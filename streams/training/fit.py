"""Training of one network: the only `compile` and `fit`."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import tensorflow as tf

from commands.files import write_json
from pipelines.clip_stream import Clips
from streams.config import TrainConfig
from streams.runs.model_file import ModelCard, save_model
from streams.runs.run_folder import Run, is_finished
from streams.training.around_steps import Keeper, Steering
from streams.training.devices import (
    Together,
    dealt_batches,
    dealt_parts,
    is_chief,
    synchronise_batch_norm,
    this_part,
    whole_batches,
)
from streams.training.display import Display
from streams.training.progress import Checkpoints, Course
from streams.training.records import Records, description, draw_curves, look_at_first_batch, write_history
from streams.training.schedules import best_epoch, make_optimizer
from streams.training.step import Trainee
from streams.training.stopping import Stop, StoppedError, all_answering, explained, listening_for_stop, same_command


@dataclass(frozen=True)
class Learner:
    """A network that is trained, and what its file will say and hold."""

    network: keras.Model
    card: ModelCard
    saved: keras.Model | None = None  # Shares the trained weights, if it is another network that is saved.


@contextlib.contextmanager
def building(config: TrainConfig, strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Lets networks be built from the seed, in the precision and on the devices of a training."""
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with all_answering(), strategy.scope():
        yield


def train(
    learner: Learner, clips: Clips, config: TrainConfig, run: Run, watch: keras.callbacks.Callback | None = None
) -> dict[str, float]:
    """Trains a network, from a checkpoint if there is one to go on from; returns its best epoch's numbers.

    The network is made while `building(config, strategy)`.
    """
    with run.locked(writes=is_chief()), listening_for_stop() as stop:
        if is_chief() and is_finished(config, run):  # By a process that held the lock until now.
            return run.entry("result")
        course = Course.of(config, run, clips.steps_per_epoch)
        with all_answering():
            model = _compiled(learner, clips, course)
        with learner.network.distribute_strategy.scope(), explained(course, clips, model):
            validation = clips.validation()
            keeper = _keeper(learner, model, clips, validation, course, stop)
            shown = [keeper.display, keeper.records] if is_chief() else []
            callbacks = [keeper, Steering(course), *shown, *([watch] if watch else [])]
            whole = None if validation is None else dealt_batches(whole_batches(validation, config.batch_size))
            with keeper.display.shown():
                while not course.is_done:
                    if course.is_within_validation:
                        _validate(model, whole, keras.callbacks.CallbackList(callbacks, model=model), course.epoch)
                        continue
                    # Keras goes on with one iterator over all epochs of a call, so the stream is never begun again.
                    batches = keeper.display.waiting.watch(clips.batches(course.progress.step, this_part()))
                    model.fit(
                        dealt_parts(batches, config.batch_size),
                        initial_epoch=course.epoch,
                        epochs=course.epoch + 1 if course.step_of_epoch else course.epochs,
                        steps_per_epoch=course.steps_per_epoch - course.step_of_epoch,
                        validation_data=whole,
                        callbacks=callbacks,
                        shuffle=False,
                        verbose=0,
                    )
            return _finish(learner, model, clips, keeper)


def _compiled(learner: Learner, clips: Clips, course: Course) -> Trainee:
    """Returns the model that is trained, around the network that is saved."""
    strategy, config = learner.network.distribute_strategy, course.config
    with strategy.scope():
        means = keras.metrics.Mean("loss"), keras.metrics.Mean("accuracy")
    if config.sync_batch_norm:
        synchronise_batch_norm(learner.network)
    # Outside the scope: a model made inside is built in a way that fails on several machines (Keras 3.15).
    model = Trainee(
        learner.network,
        means,
        accumulate=config.accumulate,
        clip_norm=config.clip_norm,
        multi_label=learner.card.multi_label,
        tasks=clips.tasks,
        cut=clips.cut,
    )
    with strategy.scope():
        model.compile(optimizer=make_optimizer(config, course.rate), jit_compile=config.jit)
        # Variables that a step made would make its graph conditional, which fails on several devices.
        model.optimizer.build(model.trainable_variables)
    return model


def _keeper(
    learner: Learner,
    model: Trainee,
    clips: Clips,
    validation: tf.data.Dataset | None,
    course: Course,
    stop: Stop,
) -> Keeper:
    """Goes on from the newest checkpoint, looks at the first batch, and returns what keeps the course from here on."""
    together = Together(tf.distribute.get_strategy())
    checkpoints = Checkpoints(course.run.checkpoints, writes=is_chief())
    course.start(checkpoints, together, model, clips.skipped)
    sheets = look_at_first_batch(model, clips, validation, course, is_flow=bool(learner.card.flow))
    display = Display(course)
    # Keras says so once for validation data whose length it has to find out.
    warnings.filterwarnings("ignore", "Your input ran out of data")
    said = description(course.config, course.run, learner.card.stream, begun=course.progress.step > 0)
    return Keeper(course, checkpoints, together, stop, display, Records(course, display, said, sheets))


def _validate(
    model: Trainee, validation: tf.data.Dataset | None, callbacks: keras.callbacks.CallbackList, epoch: int
) -> None:
    """Ends an epoch as `fit` does after its last step."""
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(epoch)
    numbers = model.get_metrics_result()
    found = model.evaluate(validation, callbacks=callbacks, return_dict=True, verbose=0)
    callbacks.on_epoch_end(epoch, {**numbers, **{f"val_{name}": value for name, value in found.items()}})


def _finish(learner: Learner, model: Trainee, clips: Clips, keeper: Keeper) -> dict[str, float]:
    """Saves the best epoch's weights; what marks the run as finished is written last."""
    course = keeper.course
    run, history = course.run, course.progress.history
    best = best_epoch(history)
    result = {"epoch": best, "epochs": len(history), **history[best - 1]}
    if is_chief():  # The others need no best weights, which are gone once these lines are through.
        if "val_loss" in history[-1]:
            keeper.checkpoints.restore_best(model, course.progress)
        save_model(learner.saved or learner.network, learner.card, run.model)
        write_history(run.history, history)
        draw_curves(run.curves, history, best)
        skipped = clips.num_skipped(course.progress.step)
        write_json(run.config, {**keeper.records.description, "result": result, "skipped": skipped})
        run.clear_checkpoints()
    # The other machines wait here until the model is there: it may be what they go on with.
    (stopped,) = keeper.together.any(keeper.stop.requested)
    keeper.together.take_leave()
    if stopped:
        words = "Stopped after the last step; the model is saved."
        raise StoppedError(f"{words} {same_command(course.config)} goes on with what is left, or says what came out.")
    return result
