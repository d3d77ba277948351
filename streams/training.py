"""Training of one stream: the only `compile` and `fit`."""

import importlib.metadata
import warnings
from typing import Any

import keras
import tensorflow as tf

from commands.running import write_json
from streams.config import TrainConfig
from streams.display import Display
from streams.distribution import num_threads, synchronise_batch_norm, whole_batches
from streams.failures import all_answering, check_memory, clips_at_once, explained
from streams.ingredients import Ingredients
from streams.inspection import by_name, caveats, check_inputs, contact_sheet, estimate_memory, memory_words
from streams.interruption import StoppedError, listening_for_stop, same_command
from streams.loop import Loop
from streams.machines import dealt_batches, dealt_parts, is_chief, this_part
from streams.modelfile import save_model
from streams.recipes import departures
from streams.records import draw_curves, write_history
from streams.runs import CHOSEN_BY, Run, is_finished, result_of
from streams.schedules import Rate, best_epoch, make_optimizer
from streams.step import Trainee
from streams.waiting import Waiting


def train(
    ingredients: Ingredients,
    *,
    steps_per_epoch: int,
    config: TrainConfig,
    run: Run,
    strategy: tf.distribute.Strategy,
    data_hash: str = "",
    watch: keras.callbacks.Callback | None = None,
) -> dict[str, float]:
    """Trains a network, from a checkpoint where there is one to go on from; returns its best epoch's numbers.

    The strategy is `strategy_for(config)`, made before anything else of TensorFlow, the ingredients among it.
    """
    epochs, steps_per_epoch = config.extent(steps_per_epoch)
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(config.precision)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    with run.locked(writes=is_chief()), listening_for_stop() as stop:
        if is_chief() and is_finished(config, run, data_hash):  # By a process that held the lock until now.
            return result_of(run)
        rate = Rate(config, steps_per_epoch, config.steps or epochs * steps_per_epoch)
        with all_answering():
            model, network = _compiled(ingredients, config, rate, strategy)
        with strategy.scope():
            loop = Loop(config, run, rate=rate, steps_per_epoch=steps_per_epoch, writes=is_chief())
            loop.stop, loop.description = stop, _description(config, data_hash, ingredients.card.stream)
            with explained(loop, ingredients, model):
                loop.start(model, ingredients.skipped)
                _look(model, ingredients, loop)
                _fit(model, ingredients, loop, epochs, watch)
                return _finish(network, model, ingredients, loop)


def _compiled(
    ingredients: Ingredients, config: TrainConfig, rate: Rate, strategy: tf.distribute.Strategy
) -> tuple[Trainee, keras.Model]:
    """Returns the model that is trained and the network inside it, which is what is saved."""
    with strategy.scope():
        network = ingredients.network()
        means = keras.metrics.Mean("loss"), keras.metrics.Mean("accuracy")
    if config.sync_batch_norm:
        synchronise_batch_norm(network)
    # Outside the scope: a model made inside is built in a way that fails on several machines (Keras 3.15).
    model = Trainee(
        network,
        means,
        accumulate=config.accumulate,
        clip_norm=config.clip_norm,
        multi_label=ingredients.card.multi_label,
        tasks=ingredients.tasks,
        cut=ingredients.cut,
    )
    with strategy.scope():
        model.compile(optimizer=make_optimizer(config, rate), jit_compile=config.jit)
        # Variables that a step made would make its graph conditional, which fails on several devices.
        model.optimizer.build(model.trainable_variables)
    return model, network


def _look(model: Trainee, ingredients: Ingredients, loop: Loop) -> None:
    """Says what goes in and what it needs, before the first step."""
    config, replicas = loop.config, tf.distribute.get_strategy().num_replicas_in_sync
    fixed, per_clip = estimate_memory(model, model.optimizer, config, ingredients.validation)
    warnings_of_memory = check_memory(config, fixed, per_clip)
    if not loop.checkpoints.writes:
        return
    needed = fixed + per_clip * clips_at_once(config)
    parts = f" in {config.accumulate} parts" if config.accumulate > 1 else ""
    print(
        f"{model.count_params():,} weights, batches of {config.batch_size}{parts} on {replicas} device"
        f"{'s' if replicas > 1 else ''}, about {memory_words(needed)} of memory on each."
    )
    for line in (*warnings_of_memory, *caveats(model, config, replicas)):
        print(line)
    clips = ingredients.cut(next(iter(ingredients.batches(start_step=loop.progress.step)))[0])
    for name, images in by_name(clips, is_flow=bool(ingredients.card.flow)).items():
        loop.sheets[name] = contact_sheet(images, is_flow=name == "flow")
        print(*check_inputs(images, is_flow=name == "flow"), sep="\n", flush=True)


def _fit(
    model: Trainee, ingredients: Ingredients, loop: Loop, epochs: int, watch: keras.callbacks.Callback | None
) -> None:
    """Trains from where the progress is to the last epoch: the rest of an epoch first, then whole ones."""
    config, steps = loop.config, loop.steps_per_epoch
    validation = None
    if ingredients.validation is not None:
        validation = dealt_batches(whole_batches(ingredients.validation, config.batch_size))
    waiting = Waiting()
    display = Display(
        epochs=epochs,
        steps_per_epoch=steps,
        batch_size=config.batch_size,
        waiting=waiting,
        chosen_by=CHOSEN_BY[config.protocol],
    )
    loop.display = display
    display.start(loop.progress.step, len(loop.progress.history))
    callbacks = [display, loop, *([watch] if watch else [])]
    # Keras says so once for validation data whose length it has to find out.
    warnings.filterwarnings("ignore", "Your input ran out of data")
    try:
        while not loop.is_done(epochs):
            epoch = len(loop.progress.history)
            done = loop.progress.step - epoch * steps
            if done == steps:  # It was left within its validation.
                _validate(model, validation, keras.callbacks.CallbackList(callbacks, model=model), epoch)
                continue
            # Keras goes on with one iterator over all epochs of a call, so the stream is never begun again.
            parts = ingredients.batches(start_step=loop.progress.step, shard=this_part())
            batches = dealt_parts(waiting.watch(parts), config.batch_size)
            model.fit(
                batches,
                initial_epoch=epoch,
                epochs=epoch + 1 if done else epochs,
                steps_per_epoch=steps - done,
                validation_data=validation,
                callbacks=callbacks,
                shuffle=False,
                verbose=0,
            )
    finally:
        display.stop()


def _validate(model: Trainee, validation: tf.data.Dataset, callbacks: keras.callbacks.CallbackList, epoch: int) -> None:
    """Ends an epoch as `fit` does after its last step."""
    callbacks.on_epoch_begin(epoch)
    numbers = model.get_metrics_result()
    found = model.evaluate(validation, callbacks=callbacks, return_dict=True, verbose=0)
    callbacks.on_epoch_end(epoch, {**numbers, **{f"val_{name}": value for name, value in found.items()}})


def _finish(network: keras.Model, model: Trainee, ingredients: Ingredients, loop: Loop) -> dict[str, float]:
    """Saves the best epoch's weights; what marks the run as finished is written last."""
    run, history = loop.run, loop.progress.history
    best = best_epoch(history)
    result = {"epoch": best, "epochs": len(history), **history[best - 1]}
    if loop.checkpoints.writes:  # The others need no best weights, which are gone once these lines are through.
        if "val_loss" in history[-1]:
            loop.checkpoints.restore_best(model, loop.progress)
        save_model(ingredients.saved(network), ingredients.card, run.model)
        write_history(run.history, history)
        draw_curves(run.curves, history, best)
        skipped = ingredients.num_skipped(loop.progress.step)
        write_json(run.config, {**loop.description, "result": result, "skipped": skipped})
        loop.checkpoints.clear()
    # The other machines wait here until the model is there: it may be what they go on with.
    (stopped,) = loop.together.any(loop.stop.requested)
    loop.together.take_leave()
    if stopped:
        words = "Stopped after the last step; the model is saved."
        raise StoppedError(f"{words} {same_command(loop.config)} goes on with what is left, or says what came out.")
    return result


def _description(config: TrainConfig, data_hash: str, stream: str) -> dict[str, Any]:
    """Returns all that decides the result, for config.json."""
    packages = ("tensorflow", "keras", "numpy")
    return {
        "options": config.identity(),
        "recipe_says": departures(config.recipe, stream, config.identity()),
        "data_hash": data_hash,
        "threads": num_threads(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
