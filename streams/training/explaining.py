"""What goes wrong inside a step, in words: what happened, where, and what to try."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from commands.running import first_line
from pipelines.clip_stream import Clips
from streams.training.course import Course
from streams.training.first_batch import out_of_memory
from streams.training.step import NON_FINITE, Trainee
from streams.training.stopping import same_command

NO_ROOM = "No space left"
_ALONE = tf.errors.UnavailableError | tf.errors.AbortedError | tf.errors.CancelledError
_ALL_AGAIN = "Start the same command again on all of them."


@contextlib.contextmanager
def explained(course: Course, clips: Clips, model: Trainee) -> Iterator[None]:
    """Turns what goes wrong in a training into an error that a user can act on."""
    try:
        yield
    except (tf.errors.OpError, MemoryError, FloatingPointError) as error:
        raise _in_words(error, course, clips, model) from error
    except OSError as error:
        if NO_ROOM not in str(error):
            raise
        raise _in_words(error, course, clips, model) from error


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


def _in_words(error: Exception, course: Course, clips: Clips, model: Trainee) -> Exception:
    begun = course.saved_step > 0
    what_next = "goes on from the last checkpoint" if begun else "starts anew: nothing was saved yet"
    goes_on = f"{same_command(course.config, begun=begun)} {what_next}."
    said = first_line(error)
    if NO_ROOM in str(error):  # TensorFlow raises the same error for this as for want of memory.
        return OSError(f"The disk is full ({said}). Make room; {goes_on[0].lower()}{goes_on[1:]}")
    if isinstance(error, tf.errors.ResourceExhaustedError | MemoryError):
        return RuntimeError(out_of_memory(course.config, model))
    if _tells_of_another(error):
        return RuntimeError(_another_is_gone(error, goes_on if begun else _ALL_AGAIN))
    if isinstance(error, FloatingPointError) or NON_FINITE in str(error):
        return ValueError(_not_finite(course, clips))
    step = course.progress.step + 1
    broken = clips.broken(step - 1)
    if broken:
        return ValueError(f"A clip of step {step} can't be read: {broken}")
    return RuntimeError(f"TensorFlow stopped in step {step}: {said}. {goes_on}")


def _not_finite(course: Course, clips: Clips) -> str:
    config = course.config
    half = " or --precision mixed_bfloat16" if config.precision == "mixed_float16" else ""
    kept = (
        f"the checkpoint of step {course.saved_step} is kept" if course.saved_step else "no checkpoint was made before"
    )
    return (
        f"{_what_is_not_finite(course, clips)} Try --learning-rate {config.learning_rate / 10:g}, --warmup 1, "
        f"--clip-norm 10{half}; with --again they replace what lies there ({kept}), with --runs DIR they leave it."
    )


def _what_is_not_finite(course: Course, clips: Clips) -> str:
    done = course.progress.step
    if course.config.jit and not course.validating:
        return f"The loss is not finite in one of the steps {course.finite_step + 1} to {done}."
    what, step = "The loss is not finite in", done + 1
    if course.validating:  # The step before it spoilt the weights.
        what, step = "The validation loss is not finite after", done
    names = clips.names(step - 1)
    said = f" The batch was of {', '.join(names[:8])}{' and others' if len(names) > 8 else ''}." if names else ""
    return f"{what} step {step}.{said}"
