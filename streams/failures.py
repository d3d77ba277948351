"""What goes wrong inside a step, in words: what happened, where, and what to try."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from commands.running import first_line
from streams.config import TrainConfig
from streams.ingredients import Ingredients
from streams.inspection import estimate_memory, largest_batch, memory_words
from streams.interruption import same_command
from streams.loop import Loop
from streams.machines import this_part
from streams.memory import free_memory
from streams.step import NON_FINITE, Trainee

NO_ROOM = "No space left"
_ALONE = tf.errors.UnavailableError | tf.errors.AbortedError | tf.errors.CancelledError
_ALL_AGAIN = "Start the same command again on all of them."
# Where the estimate is so many times what is free it can't be the estimate that errs: a third at most, as measured.
_HOPELESS = 1.5


@contextlib.contextmanager
def explained(loop: Loop, ingredients: Ingredients, model: Trainee) -> Iterator[None]:
    """Turns what goes wrong in a training into an error that a user can act on."""
    try:
        yield
    except (tf.errors.OpError, MemoryError, FloatingPointError) as error:
        raise _in_words(error, loop, ingredients, model) from error
    except OSError as error:
        if NO_ROOM not in str(error):
            raise
        raise _in_words(error, loop, ingredients, model) from error


@contextlib.contextmanager
def all_answering() -> Iterator[None]:
    """Says in words that another machine has died, which is noticed as soon as weights are made together."""
    try:
        yield
    except tf.errors.OpError as error:
        if not _tells_of_another(error):
            raise
        raise RuntimeError(_another_is_gone(error, _ALL_AGAIN)) from error


def _tells_of_another(error: Exception) -> bool:
    return isinstance(error, _ALONE) or "Collective ops is aborted" in str(error)


def _another_is_gone(error: Exception, remedy: str) -> str:
    return f"Another machine of this training stopped answering ({first_line(error).rstrip('.:')}). {remedy}"


def _in_words(error: Exception, loop: Loop, ingredients: Ingredients, model: Trainee) -> Exception:
    begun = loop.saved_step > 0
    what_next = "goes on from the last checkpoint" if begun else "starts anew: nothing was saved yet"
    goes_on = f"{same_command(loop.config, begun=begun)} {what_next}."
    said = first_line(error)
    if NO_ROOM in str(error):  # TensorFlow raises the same error for this as for want of memory.
        return OSError(f"The disk is full ({said}). Make room; {goes_on[0].lower()}{goes_on[1:]}")
    if isinstance(error, tf.errors.ResourceExhaustedError | MemoryError):
        return RuntimeError(out_of_memory(loop.config, model))
    if _tells_of_another(error):
        return RuntimeError(_another_is_gone(error, goes_on if begun else _ALL_AGAIN))
    if isinstance(error, FloatingPointError) or NON_FINITE in str(error):
        return ValueError(_not_finite(loop, ingredients))
    step = loop.progress.step + 1
    broken = ingredients.broken(step - 1) if ingredients.broken else ""
    if broken:
        return ValueError(f"A clip of step {step} can't be read: {broken}")
    return RuntimeError(f"TensorFlow stopped in step {step}: {said}. {goes_on}")


def out_of_memory(config: TrainConfig, model: Trainee) -> str:
    """Returns what did not fit, and what should."""
    clips = clips_at_once(config)
    fixed, per_clip = estimate_memory(model, model.optimizer, config)
    return f"Out of memory: {clips} clips at once need about {memory_words(fixed + per_clip * clips)}. " + what_fits(
        config, fixed, per_clip
    )


def what_fits(config: TrainConfig, fixed: float, per_clip: float) -> str:
    """Returns how many clips should fit at once, and the options for it."""
    clips = clips_at_once(config)
    if clips == 1:
        return "Not even one clip at a time fits: pass a smaller --crop-size or another --backbone."
    fitting = largest_batch(fixed, per_clip, free_memory(), clips)
    parts = next(parts for parts in range(1, clips + 1) if clips % parts == 0 and clips / parts <= fitting)
    return (
        f"About {fitting} should fit: pass --accumulate {config.accumulate * parts} for the same result in parts, or "
        f"--batch-size {config.batch_size // parts}."
    )


def check_memory(config: TrainConfig, fixed: float, per_clip: float) -> list[str]:
    """Returns a warning where a training may not fit the memory of this machine, and refuses one that can't.

    A processor out of memory kills the process without a word, so this comes first.
    """
    here = tf.distribute.get_strategy().num_replicas_in_sync // this_part()[1]
    needed, free = here * (fixed + per_clip * clips_at_once(config)), free_memory()
    if free is None or needed <= free:
        return []
    words = f"{memory_words(free)} are free. {what_fits(config, here * fixed, here * per_clip)}"
    if needed > _HOPELESS * free:
        raise RuntimeError(f"This training needs about {memory_words(needed)} of memory; {words}")
    return [f"Warning: {words}"]


def clips_at_once(config: TrainConfig) -> int:
    """Returns how many clips are in the memory of a device at a time."""
    return config.batch_size // (config.accumulate * tf.distribute.get_strategy().num_replicas_in_sync)


def _not_finite(loop: Loop, ingredients: Ingredients) -> str:
    config = loop.config
    half = " or --precision mixed_bfloat16" if config.precision == "mixed_float16" else ""
    kept = f"the checkpoint of step {loop.saved_step} is kept" if loop.saved_step else "no checkpoint was made before"
    return (
        f"{_what_is_not_finite(loop, ingredients)} Try --learning-rate {config.learning_rate / 10:g}, --warmup 1, "
        f"--clip-norm 10{half}; with --again they replace what lies there ({kept}), with --runs DIR they leave it."
    )


def _what_is_not_finite(loop: Loop, ingredients: Ingredients) -> str:
    done = loop.progress.step
    if loop.config.jit and not loop.validating:
        return f"The loss is not finite in one of the steps {loop.finite_step + 1} to {done}."
    what, step = "The loss is not finite in", done + 1
    if loop.validating:  # The step before it spoilt the weights.
        what, step = "The validation loss is not finite after", done
    names = ingredients.videos(step - 1) if ingredients.videos else ()
    clips = f" The batch was of {', '.join(names[:8])}{' and others' if len(names) > 8 else ''}." if names else ""
    return f"{what} step {step}.{clips}"
