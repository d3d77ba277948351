"""Runs a command: its exit code, its errors in words, and how many processors it may use."""

import errno
import importlib.metadata
import os
import re
import sys
import zipfile
from collections.abc import Callable


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
    """Refuses two OpenCV packages side by side: they overwrite each other's files, and neither is whole."""
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
    """Returns the errors that say what a user can mend; those of TensorFlow where it is imported."""
    tensorflow = sys.modules.get("tensorflow")
    own = (ValueError, OSError, RuntimeError, ImportError, MemoryError, zipfile.BadZipFile)
    return (*own, tensorflow.errors.OpError) if tensorflow else own


def _first_words(error: BaseException) -> str:
    """Returns an error's message as a user should read it."""
    if type(error).__module__.startswith("tensorflow"):  # Many lines, of which the first says what it is.
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
