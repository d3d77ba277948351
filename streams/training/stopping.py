"""What ends a training early: somebody asks it to stop, or a step fails; what is kept, and what to do next."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import tensorflow as tf

from commands.running import first_line
from pipelines.clip_stream import Clips
from streams.config import TrainConfig
from streams.training.devices import this_part
from streams.training.memory import out_of_memory
from streams.training.progress import Course
from streams.training.step import NON_FINITE, Trainee

NO_ROOM = "No space left"
_ALONE = tf.errors.UnavailableError | tf.errors.AbortedError | tf.errors.CancelledError
_ALL_AGAIN = "Start the same command again on all of them."


class Stop:
    """Whether somebody asked the training to stop."""

    requested = False


class StoppedError(KeyboardInterrupt):
    """A training was asked to stop, has saved what it had done, and says how to go on."""


def same_command(config: TrainConfig, *, begun: bool = True) -> str:
    """Returns what is to be typed to go on with a training, or to start it yet, as the subject of a sentence."""
    where = " on every machine" if this_part()[1] > 1 else ""
    return f"The same command{where}{' without --again' if config.again and begun else ''}"


@contextlib.contextmanager
def listening_for_stop() -> Iterator[Stop]:
    """Gives a `Stop` that the first Ctrl-C, or a scheduler's SIGTERM, sets; a second one interrupts at once."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():  # Only the main thread may listen to signals.
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        print("\nStopping after this step. Once more stops at once, and loses what is not saved.", flush=True)

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


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
