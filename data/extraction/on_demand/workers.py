"""Makes frames and flow fields from videos in worker processes, which return the pixels in shared memory.

The processes never import TensorFlow, so each of them starts within a second and needs little memory.
"""

import atexit
import contextlib
import math
import mmap
import os
import pickle
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias, cast

import cv2
import numpy as np

from commands.running import usable_processors
from data.extraction.decoder import resized
from data.extraction.on_demand.frames import frames_at
from data.extraction.on_demand.items import FLOW, asked_fields, fields_at, stored_picture
from data.extraction.own_process import Companion, LostError, run_apart
from data.optical_flow.engine import flow_engine, has_gpu
from data.optical_flow.gpu_service import FlowService
from data.store.description import Recipe
from data.store.seeking import read_seeking

# A worker that finishes no frame or field for this many seconds counts as hung.
TIME_LIMIT = 300.0
# The kind that decodes all frames and returns none: it only checks whether the video can be decoded.
CHECK = "check"
_NO_GPU = (
    "Flow was to be computed on a GPU (prepare --engine gpu), but TensorFlow finds none here. So the processors "
    "compute it, more slowly: the same to a hundredth of a pixel."
)
# Called for each frame and field, to show that the work goes on.
Life: TypeAlias = Callable[[], None]


@dataclass(frozen=True)
class Wanted:
    """The items of one video that a worker makes: frames, "colour" or "grey", or "flow"."""

    path: Path
    folder: Path  # Its file SEEKING names the places of the frames.
    kind: str
    items: tuple[int, ...] = ()  # Numbers of frames. For flow: twice the number of the field, plus 1 if backward.


class ItemWorkers:
    """Several processes. Each makes the items of one video at a time."""

    def __init__(self, count: int) -> None:
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        self._all = [_Worker() for _ in range(count)]
        for worker in self._all:
            self._free.put(worker)

    def make(self, wanted: Wanted, making: Recipe, flow_service: str = "") -> np.ndarray:
        """Returns the items, uint8[items, H, W, channels]. Any number of threads may call it at the same time."""
        worker = self._free.get()
        try:
            return worker.make(wanted, making, flow_service)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """Ends all processes."""
        for worker in self._all:
            worker.companion.close()


@cache
def item_workers() -> ItemWorkers:
    """Returns the workers of this process: one for each processor, started when they are first needed."""
    workers = ItemWorkers(usable_processors())
    atexit.register(workers.close)
    return workers


def flow_service_of(making: Recipe) -> str:
    """Returns the address of the service of this process that computes flow on its GPU, or "" if processors do."""
    if making.engine != "gpu":
        return ""
    return _service(making.method, making.preset, tuple(making.parameters.items()))


@cache
def _service(method: str, preset: str, parameters: tuple[tuple[str, Any], ...]) -> str:
    if not has_gpu():  # The data set may have been indexed on another machine.
        print(_NO_GPU, flush=True)
        return ""
    engine = flow_engine("gpu", method, preset, **dict(parameters))
    kept = contextlib.ExitStack()
    atexit.register(kept.close)
    return kept.enter_context(FlowService(engine)).address


class _Worker:
    """A process and the memory that it shares with this one."""

    def __init__(self) -> None:
        self._memory = _Memory(_anonymous_file())
        self.companion = Companion(inherited=(self._memory.file,))

    def make(self, wanted: Wanted, making: Recipe, flow_service: str) -> np.ndarray:
        """Returns the items of one video."""
        work = pickle.dumps((make_items, _Job(wanted, making, self._memory.file, flow_service)))
        shape = run_apart(work, TIME_LIMIT, self.companion)
        if isinstance(shape, LostError):
            raise ValueError(str(shape))
        return self._memory.array(cast(tuple[int, ...], shape)).copy()


class _Memory:
    """An open file in memory that two processes share, used as an array."""

    def __init__(self, file: int) -> None:
        self.file = file
        self._mapped: mmap.mmap | None = None

    def array(self, shape: tuple[int, ...]) -> np.ndarray:
        """Returns an array in this memory, which grows if it is too small."""
        size = math.prod(shape)
        if self._mapped is None or len(self._mapped) < size:
            if os.fstat(self.file).st_size < size:
                os.ftruncate(self.file, size)
            self._mapped = mmap.mmap(self.file, max(1, size))
        return np.frombuffer(self._mapped, np.uint8, size).reshape(shape)


@dataclass(frozen=True)
class _Job:
    """The work that is sent to a worker."""

    wanted: Wanted
    making: Recipe
    memory: int  # The number of the open file, which is the same in both processes.
    flow_service: str  # The address of the service that computes flow on a GPU, or "" to compute it here.


def make_items(job: _Job, show_life: Life) -> tuple[int, ...]:
    """Writes the items of one video into the shared memory, in a worker, and returns their shape."""
    cv2.setNumThreads(1)  # Other workers use the other processors.
    made = make_here(job.wanted, job.making, show_life, job.flow_service)
    if not made:
        return (0,)
    items = job.wanted.items
    shape = (len(items), *made[items[0]].shape)
    target = _memory_of_worker(job.memory).array(shape)
    for place, item in enumerate(items):
        target[place] = made[item]
    return shape


def make_here(
    wanted: Wanted, making: Recipe, show_life: Life = lambda: None, flow_service: str = ""
) -> dict[int, np.ndarray]:
    """Returns the items of one video, made in this process or by a service for flow, by their numbers."""
    if wanted.kind == CHECK:
        deque(_frames(wanted, making, None, show_life), maxlen=0)
        return {}
    if wanted.kind == "flow":
        return _fields(wanted, making, show_life, flow_service)
    frames = _frames(wanted, making, set(wanted.items), show_life)
    return {number: stored_picture(frame, wanted.kind, making) for number, frame in frames}


def _fields(wanted: Wanted, making: Recipe, show_life: Life, service: str) -> dict[int, np.ndarray]:
    starts = {item // 2 for item in wanted.items}
    frames = dict(_frames(wanted, making, starts | {start + making.step for start in starts}, show_life))
    fields = partial(asked_fields, service=service, show_life=show_life) if service else fields_at
    made = {}
    for way, kind in enumerate(FLOW):
        starts = {item // 2 for item in wanted.items if item % 2 == way}
        for start, field in fields(starts, frames, kind, making):
            show_life()
            made[2 * start + way] = field
    return made


def _frames(
    wanted: Wanted, making: Recipe, numbers: set[int] | None, show_life: Life
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields some frames of a video, or all, as preparation would resize them."""
    seeking = read_seeking(wanted.folder)
    for number, frame in frames_at(wanted.path, seeking, range(len(seeking.packet_of)) if numbers is None else numbers):
        show_life()
        yield number, resized(frame, making.short_side, making.size, enlarge=making.enlarge)


@cache
def _memory_of_worker(file: int) -> _Memory:
    return _Memory(file)


def _anonymous_file() -> int:
    """Opens a file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("items")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
