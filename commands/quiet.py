"""TensorFlow and other native libraries without what they print of themselves."""

import contextlib
import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator

# Of malloc.h: from what size on a block is mapped apart, and how much free memory is kept or asked for in advance.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


def quiet_tensorflow() -> None:
    """Imports TensorFlow without its start-up chatter, and keeps memory; errors of the import itself still show."""
    _keep_freed_memory()
    # What is wrong comes as an exception; native lines only tell of what a processor lacks.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Some lines are printed by the library before it knows its log level, so the file descriptor is closed to it.
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
    """Lets threads keep the memory that they free, for the next clip.

    By default glibc gives it back to the system and asks for it again, empty: training with real input took up to
    1.8 times as long. Peak memory is the same within 1 %.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # Other C libraries have no such call.
            mallopt = ctypes.CDLL(None).mallopt
            for name, number in ((_MMAP_THRESHOLD, 32), (_TRIM_THRESHOLD, 256), (_TOP_PAD, 16)):
                mallopt(name, number * 2**20)
