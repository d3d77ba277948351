"""What goes wrong inside a step, in words: what happened, where, and what to try."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from streams.config import TrainConfig
from streams.ingredients import Ingredients
from streams.inspection import estimate_memory, free_memory, largest_batch, memory_words
from streams.step import NON_FINITE, Trainee


@contextlib.contextmanager
def explained(config: TrainConfig, ingredients: Ingredients, model: Trainee) -> Iterator[None]:
    """Turns what TensorFlow raises inside a step into an error that a user can act on."""
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        raise RuntimeError(out_of_memory(config, model)) from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        raise RuntimeError(
            f"Another machine of this training stopped answering ({_first_line(error)}). "
            "Start the same command again on all of them: it goes on from the last checkpoint."
        ) from error
    except tf.errors.OpError as error:
        step = int(model.optimizer.iterations.numpy()) + 1  # A step that fails changes nothing, this count included.
        if NON_FINITE in error.message:
            raise ValueError(_not_finite(config, ingredients, step)) from error
        broken = ingredients.broken(step - 1) if ingredients.broken else ""
        if broken:
            raise ValueError(f"A clip of step {step} can't be read: {broken}") from error
        raise RuntimeError(
            f"TensorFlow stopped in step {step}: {_first_line(error)}. "
            "The same command goes on from the last checkpoint."
        ) from error


def out_of_memory(config: TrainConfig, model: Trainee) -> str:
    """Returns what did not fit, and what should."""
    clips = clips_at_once(config)
    fixed, per_clip = estimate_memory(model, model.optimizer)
    return f"Out of memory: {clips} clips at once need about {memory_words(fixed + per_clip * clips)}. " + what_fits(
        config, fixed, per_clip
    )


def what_fits(config: TrainConfig, fixed: float, per_clip: float) -> str:
    """Returns how many clips should fit at once, and the options for it."""
    clips = clips_at_once(config)
    fitting = largest_batch(fixed, per_clip, free_memory(), clips)
    parts = next(parts for parts in range(1, clips + 1) if clips % parts == 0 and clips / parts <= fitting)
    return (
        f"About {fitting} should fit: pass --accumulate {config.accumulate * parts} for the same result in parts, or "
        f"--batch-size {config.batch_size // parts}."
    )


def clips_at_once(config: TrainConfig) -> int:
    """Returns how many clips are in the memory of a device at a time."""
    return config.batch_size // (config.accumulate * tf.distribute.get_strategy().num_replicas_in_sync)


def _not_finite(config: TrainConfig, ingredients: Ingredients, step: int) -> str:
    names = ingredients.videos(step - 1) if ingredients.videos else ()
    clips = f" The batch was of {', '.join(names[:8])}{' and others' if len(names) > 8 else ''}." if names else ""
    half = " or --precision mixed_bfloat16" if config.precision == "mixed_float16" else ""
    return (
        f"The loss is not finite in step {step}; the weights before it are kept.{clips} "
        f"Try --learning-rate {config.learning_rate / 10:g}, --warmup 1, --clip-norm 10{half}, with --again."
    )


def _first_line(error: tf.errors.OpError) -> str:
    return str(error.message).strip().splitlines()[0]
