"""Runs a loader in a worker process, as PyTorch's DataLoader does, and passes its batches in shared memory."""

import contextlib
import multiprocessing
import queue
import time
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

AHEAD = 2  # Batches that a worker makes ahead, DataLoader's default.


class Worker:
    """A process that makes batches of a loader's samples; it ends together with its parent."""

    def __init__(self, loader: Callable[..., Iterator[np.ndarray]], arguments: tuple[Any, ...], batch: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._made, self._room, self._ending = context.Queue(), context.Semaphore(AHEAD), context.Event()
        words = (loader, arguments, batch, self._made, self._room, self._ending)
        self._process = context.Process(target=_make, args=words, daemon=True)
        self._process.start()

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields batches, each until the next one is asked for."""
        while True:
            name, shape = self._made.get()
            self._room.release()
            memory = SharedMemory(name)
            memory.unlink()  # It lasts until it is closed.
            batch = np.ndarray(shape, np.float32, memory.buf)
            yield batch
            del batch
            memory.close()

    def close(self) -> None:
        """Ends the process and frees its shared memory."""
        self._ending.set()
        self._room.release()
        while self._process.is_alive() or not self._made.empty():
            with contextlib.suppress(queue.Empty):
                SharedMemory(self._made.get(timeout=0.1)[0]).unlink()

    def seconds(self) -> float:
        """Returns the processor time that the worker has used."""
        # How Linux numbers the clock of another process.
        return time.clock_gettime((~int(self._process.pid or 0) << 3) | 2)


def _make(loader: Any, arguments: tuple[Any, ...], batch: int, made: Any, room: Any, ending: Any) -> None:
    samples = loader(*arguments)
    while room.acquire() and not ending.is_set():
        some = list(islice(samples, batch))
        memory = SharedMemory(create=True, size=batch * some[0].nbytes)
        shape = (batch, *some[0].shape)
        np.stack(some, out=np.ndarray(shape, np.float32, memory.buf))
        memory.close()
        made.put((memory.name, shape))
