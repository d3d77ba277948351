"""Runs a command: its exit code, its errors in words, its processors, and TensorFlow without its start-up messages."""

import contextlib
import ctypes
import errno
import importlib.metadata
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator

# By the numbers of malloc.h: the size from which on a block is mapped apart, the free memory that is kept, and the
# memory that is asked for in advance. By default glibc gives memory back to the system and asks for it again, empty:
# training with real input took up to 1.8 times as long. Peak memory is the same within 1 %.
_KEPT_MEMORY = ((-3, 32 * 2**20), (-1, 256 * 2**20), (-2, 16 * 2**20))


def run(main: Callable[[], None]) -> None:
    """Runs a command and exits: 0 when it did its work, 1 with one message when it could not, 130 on Ctrl-C."""
    try:
        _check_opencv()
        main()
    except KeyboardInterrupt as interruption:
        print("\n" + (str(interruption) or "Stopped. The same command goes on from here."), file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if os.environ.get("TWO_STREAM_TRACEBACK") or not isinstance(error, _explicable()):
            raise
        print(f"Error: {_first_words(error)}", file=sys.stderr)
        sys.exit(1)


def first_line(error: BaseException) -> str:
    """Returns the line of an error that says what happened; TensorFlow's says first where in its graph."""
    lines = re.sub(r"^({{.*?}}\s*)+| \[Op:.*", "", str(getattr(error, "message", error))).splitlines()
    skipped = ("Graph execution error", "Detected at node", " ")
    return next((line for line in lines if line and not line.startswith(skipped)), type(error).__name__)


def usable_processors() -> int:
    """Returns how many processors this process may use: under Slurm and the like, fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_opencv() -> None:
    """Refuses two OpenCV packages side by side: they overwrite each other's files, so that both are damaged."""
    names = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    found = [name for name in names if any(importlib.metadata.distributions(name=name))]
    if len(found) == 1:
        return
    what = " and ".join(found) or "no OpenCV at all"
    raise ImportError(
        f"This Python has {what}; it must have one OpenCV. Repair it with:\n"
        f"  {sys.executable} -m pip uninstall -y {' '.join(names)}\n"
        f'  {sys.executable} -m pip install "opencv-contrib-python-headless>=4.13,<5"'
    )


def _explicable() -> tuple[type[Exception], ...]:
    """Returns the kinds of errors that tell a user what to mend; TensorFlow's are among them once it is imported."""
    tensorflow = sys.modules.get("tensorflow")
    own = (ValueError, OSError, RuntimeError, ImportError, MemoryError, zipfile.BadZipFile)
    return (*own, tensorflow.errors.OpError) if tensorflow else own


def _first_words(error: BaseException) -> str:
    """Returns an error's message as a user should read it."""
    if type(error).__module__.startswith("tensorflow"):  # The first of many lines says what happened.
        remedy = " Make room, then run the same command again." if "No space left" in str(error) else ""
        return f"{first_line(error).rstrip('.')}.{remedy}"
    if isinstance(error, MemoryError):
        return (
            f"Out of memory{': ' if str(error) else ''}{error}. Ask for less at once: smaller batches, fewer workers."
        )
    if isinstance(error, zipfile.BadZipFile):
        return f"A file is damaged: {error}."
    if isinstance(error, OSError) and error.filename:
        where = f"{error.strerror}: {error.filename}."
        if isinstance(error, PermissionError | NotADirectoryError) or error.errno in (
            errno.EROFS,
            errno.ENOSPC,
            errno.EFBIG,
        ):
            return f"{where} Name a folder with room that you may write to: --root for data, --runs for results."
        return where
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and error.strerror:
        return f"{error.strerror.rstrip('.')}. Make room, then run the same command again."
    return str(error) or type(error).__name__


def quiet_tensorflow() -> None:
    """Imports TensorFlow without its start-up messages, and keeps memory; errors of the import itself still show."""
    _keep_freed_memory()
    # Failures come as exceptions; the lines that native code prints only tell what a processor lacks.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The library prints some lines before it knows its log level, so they are caught at the file descriptor.
    with swallowed_stderr():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def swallowed_stderr() -> Iterator[None]:
    """Keeps what native libraries print to standard error off the terminal; Python's exceptions still get through."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as swallowed:
        saved = os.dup(2)
        os.dup2(swallowed.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _keep_freed_memory() -> None:
    """Lets threads keep the memory that they free, for the next clip."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # Other C libraries have no such call.
            for setting, size in _KEPT_MEMORY:
                ctypes.CDLL(None).mallopt(setting, size)
