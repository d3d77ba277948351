"""Runs a command: sets its exit code, formats its errors, counts processors, and imports TensorFlow quietly."""

import contextlib
import ctypes
import errno
import functools
import gc
import importlib.metadata
import os
import platform
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from commands.files import INSTALLED, PROJECT
from commands.remote import uploading
from commands.text import printable
from commands.waiting import Now, breaking_silence

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

# The most characters of a line in a message. A message may quote a file that has only one line.
_LONGEST = 2000
# Variables that tell the present commit.
_DESCRIBE = ("git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=12")
# Errors of disks that are full or read-only, and of files that grow too large.
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
_OURS = str(Path(__file__).resolve().parents[1])
# What Keras and TensorFlow import if it is installed, for functions that nothing here calls: a third of that time.
_NOT_NEEDED = ("sklearn", "matplotlib", "IPython", "pandas", "scipy")
# Settings of malloc, by their numbers in malloc.h: the size from which a block gets its own mapping, the amount of free
# memory that is kept, and the amount requested in advance, which is the size of a thread's heap: a smaller one would be
# returned whenever it is empty. By default, glibc returns memory to the system and requests it again, cleared. Then
# training with real input took up to 1.8 times as long, and a tenth of a step. Peak memory differs by less than 5 %.
_KEPT_MEMORY = ((-3, 32 * 2**20), (-1, 256 * 2**20), (-2, 64 * 2**20))


def run(main: Callable[[], None]) -> None:
    """Runs a command and exits: with 0 if it succeeded, 1 and one message if it failed, 130 if it was stopped.

    Ctrl-C and SIGTERM stop it in the same way. Any command takes `--debug`, which prints the traceback of an error.
    """
    debug = "--debug" in sys.argv[1:]
    sys.argv[1:] = [word for word in sys.argv[1:] if word != "--debug"]
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # A job in the background keeps ignoring Ctrl-C.
            signal.signal(number, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # File names may contain bytes that are not text.
            stream.reconfigure(errors="backslashreplace")
    try:
        with breaking_silence():
            _check_opencv()
            with uploading():
                main()
            _flush()
    except KeyboardInterrupt as interruption:
        _end(130, "\n" + (str(interruption) or "Stopped. The same command goes on from here."))
    except Exception as error:
        if _has_no_reader():  # As in `| head`: nobody reads messages any more.
            _end(1)
        if debug:
            traceback.print_exc()
        _end(1, f"Error: {message_of(error) if _is_explicable(error) else _surprise(error)}")
    except SystemExit as ending:  # For instance after argparse has printed its help.
        if _has_no_reader():
            _end(1)
        try:
            _flush()
        except OSError as error:
            _end(1, f"Error: {message_of(error)}")
        raise ending


def _flush() -> None:
    """Writes what was printed, now: when Python ends, a closed pipe would cause a traceback."""
    if sys.stdout:
        sys.stdout.flush()


def _has_no_reader() -> bool:
    """Tells whether standard output is a pipe that nobody reads any more."""
    try:
        _flush()
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except BrokenPipeError:
        return True
    except (AttributeError, OSError, ValueError):  # There is no standard output, or no poll, as on Windows.
        return False


def _end(code: int, message: str = "") -> None:
    """Prints a message and exits. What a closed pipe does not take is dropped."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if message:
            lines = (line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …" for line in message.split("\n"))
            print(printable("\n".join(lines), keep="\n"), file=sys.stderr, flush=True)
        if _has_no_reader():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _surprise(error: Exception) -> str:
    """Returns the message for an unexpected error: its place in the code, and how to report it."""
    place = next(
        (frame for frame in reversed(traceback.extract_tb(error.__traceback__)) if frame.filename.startswith(_OURS)),
        None,
    )
    where = f" in {Path(place.filename).relative_to(_OURS)}, line {place.lineno}" if place else ""
    return (
        f"{type(error).__name__}{where}: {first_line(error)}. This is a bug in this program. Please report it as "
        "SECURITY.md says, with the output of the same command with --debug."
    )


def first_line(error: BaseException) -> str:
    """Returns the line of an error that says what happened. TensorFlow's errors begin with their place in the graph."""
    lines = re.sub(r"^({{.*?}}\s*)+| \[Op:.*", "", str(getattr(error, "message", error))).splitlines()
    skipped = ("Graph execution error", "Detected at node", " ")
    return next((line for line in lines if line and not line.startswith(skipped)), type(error).__name__)


def usable_processors() -> int:
    """Returns how many processors this process may use. Under Slurm and the like, these are fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pools() -> "ThreadpoolController":
    from threadpoolctl import ThreadpoolController  # It inspects all loaded libraries, which takes time.

    return ThreadpoolController()


def in_one_thread() -> contextlib.AbstractContextManager[object]:
    """Lets scikit-learn compute in one thread, so that results have the same bits on any machine.

    On problems of our size, several threads wait for each other: on busy cores, a fit took 10 to 30 times as long.
    """
    return _pools().limit(limits=1)


def origin() -> dict[str, str]:
    """Returns the date, the commit of this project and the machine of a result."""
    processor, commit = platform.processor() or platform.machine(), ""
    with contextlib.suppress(OSError):  # Git and Linux are not required.
        # The environment may be inside a repository of somebody else.
        commit = _version() if INSTALLED else subprocess.run(_DESCRIBE, capture_output=True, text=True).stdout.strip()
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        processor = found[1] if found else processor
    machine = f"{usable_processors()} x {processor}, {platform.system()}"
    return {"date": time.strftime("%Y-%m-%d"), "commit": commit or "unknown", "machine": machine}


def _version() -> str:
    return f"none, but version {importlib.metadata.version('two-stream')}"


def _check_opencv() -> None:
    """Refuses two OpenCV packages side by side: each overwrites files of the other, which damages both."""
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


def _is_explicable(error: Exception) -> bool:
    """Tells whether an error's message is meant for users, as that of TensorFlow's errors is."""
    tensorflow = sys.modules.get("tensorflow")
    own = (ValueError, OSError, RuntimeError, ImportError, zipfile.BadZipFile)
    return isinstance(error, (*own, tensorflow.errors.OpError) if tensorflow else own) or _is_of_memory(error)


def _is_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "Insufficient memory" in str(error)  # OpenCV's own error.


def message_of(error: BaseException) -> str:
    """Returns an error's message in the form for users."""
    if type(error).__module__.startswith("tensorflow"):  # The first of many lines says what happened.
        remedy = " Make room, then run the same command again." if "No space left" in str(error) else ""
        return f"{first_line(error).rstrip('.')}.{remedy}"
    if _is_of_memory(error):
        what = f": {first_line(error)}" if str(error) else ""
        return f"Out of memory{what}. Ask for less at once: smaller batches, fewer workers."
    if isinstance(error, zipfile.BadZipFile):
        return f"A file is damaged: {error}."
    if isinstance(error, OSError) and error.filename:
        # Libraries may add several lines to what the system says.
        where = f"{os.strerror(error.errno or 0) if error.errno in _OF_DISKS else error.strerror}: {error.filename}."
        if isinstance(error, PermissionError | NotADirectoryError) or error.errno in _OF_DISKS:
            where += " Name a place with room that you may write to, such as by --root for data, --runs for results."
        return where
    # HDF5 hides the system's error number in several lines.
    told = re.match(r"Unable to .*errno = (\d+)", str(error), re.DOTALL)
    number = int(told[1]) if told else error.errno if isinstance(error, OSError) and error.strerror else None
    if number is not None and number in _OF_DISKS:
        return f"{os.strerror(number)}. Make room, then run the same command again."
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def quiet_tensorflow() -> None:
    """Imports TensorFlow without its start-up messages, and tunes malloc. Errors of the import are still shown."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # Other systems and C libraries don't have this call.
        for setting, size in _KEPT_MEMORY:  # Threads then keep freed memory for the next clip.
            ctypes.CDLL(None).mallopt(setting, size)
    Now.doing = "Importing TensorFlow"
    # Failures are raised as exceptions. The lines that native code prints only list what a processor lacks.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The library prints some lines before it reads its log level, so they are caught at the file descriptor.
    with swallowed_stderr(), hidden(*_NOT_NEEDED), without_collecting():
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_physical_devices()
    tf.get_logger().setLevel("ERROR")  # Its warnings are for authors of code: many functions traced, for instance.


@contextlib.contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Lets imports work as if these packages were not installed. Afterwards they can be imported as usual."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """Lets imports run without garbage collection. What they make stays until the end, so it is never searched again.

    Otherwise Python searches the million objects of TensorFlow again and again: a sixth of the time to a first answer.
    """
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def swallowed_stderr() -> Iterator[None]:
    """Hides what native libraries print to standard error. Python's exceptions are still shown."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as swallowed, os.fdopen(os.dup(2), "wb") as saved:
        os.dup2(swallowed.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved.fileno(), 2)
