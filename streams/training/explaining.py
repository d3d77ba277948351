"""Explains the errors of a training: what happened, what was saved, and what to do next."""

import tensorflow as tf

from commands.running import first_line
from pipelines.clip_stream import Clips
from streams.hosts.rejoining import GoneError
from streams.training.around_steps import same_command
from streams.training.first_batch import out_of_memory
from streams.training.machines import ALL_AGAIN, another_is_gone, tells_of_another
from streams.training.progress import Course
from streams.training.step import NON_FINITE, Trainee

EXPLICABLE = (tf.errors.OpError, MemoryError, FloatingPointError, OSError)
NO_ROOM = "No space left"


def explain(error: Exception, course: Course, clips: Clips, model: Trainee) -> None:
    """Raises an error that a user can act on. If a file can't be opened, its own error is enough."""
    if NO_ROOM in str(error) or not isinstance(error, OSError):
        raise _in_words(error, course, clips, model) from error


def tells_of_memory(error: Exception) -> bool:
    """Tells whether an error means that memory ran out. If oneDNN lacks memory, TensorFlow says "aborted" instead."""
    of_onednn = "Status: 1, message: could not" in str(error)
    return of_onednn or isinstance(error, tf.errors.ResourceExhaustedError | MemoryError)


def _in_words(error: Exception, course: Course, clips: Clips, model: Trainee) -> Exception:
    begun = course.saved_step > 0
    what_next = "goes on from the last checkpoint" if begun else "starts anew: nothing was saved yet"
    goes_on = f"{same_command(course.config, begun=begun)} {what_next}."
    said = first_line(error)
    if NO_ROOM in str(error):  # TensorFlow raises the same error for a full disk and for too little memory.
        return OSError(f"The disk is full ({said}). Make room; {goes_on[0].lower()}{goes_on[1:]}")
    if tells_of_memory(error):
        return RuntimeError(out_of_memory(course.config, model))
    if tells_of_another(error):
        return GoneError(another_is_gone(error, goes_on if begun else ALL_AGAIN))
    if isinstance(error, FloatingPointError) or NON_FINITE in str(error):
        return ValueError(_not_finite(course, clips, model))
    step = course.progress.step + 1
    broken = clips.broken(step - 1)
    if broken:
        return ValueError(f"A clip of step {step} can't be read: {broken}")
    return RuntimeError(f"TensorFlow stopped in step {step}: {said}. {goes_on}")


def _not_finite(course: Course, clips: Clips, model: Trainee) -> str:
    config = course.config
    half = " or --precision mixed_bfloat16" if config.precision == "mixed_float16" else ""
    kept = (
        f"the checkpoint of step {course.saved_step} is kept" if course.saved_step else "no checkpoint was made before"
    )
    return (
        f"{_what_is_not_finite(course, clips, model)} Try --learning-rate {config.learning_rate / 10:g}, --warmup 1, "
        f"--clip-norm 10{half}; with --again they replace what lies there ({kept}), with --runs DIR they leave it."
    )


def _what_is_not_finite(course: Course, clips: Clips, model: Trainee) -> str:
    done = course.progress.step
    if course.config.jit and not model.validating:
        return f"The loss is not finite in one of the steps {course.finite_step + 1} to {done}."
    what, step = "The loss is not finite in", done + 1
    if model.validating:  # The step before validation spoilt the weights.
        what, step = "The validation loss is not finite after", done
    names = clips.names(step - 1)
    said = f" The batch was of {', '.join(names[:8])}{' and others' if len(names) > 8 else ''}." if names else ""
    return f"{what} step {step}.{said}"
