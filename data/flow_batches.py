"""Batches for an accelerator out of many videos at once: each video has its thread, all share one engine.

A thread decodes its video and writes its flow; what it asks flow for waits until a batch is full, or
until nobody has asked for a moment. So decoding, flow and writing overlap, and short videos fill batches too.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from itertools import pairwise
from types import TracebackType

import numpy as np

from data.flow_engine import FlowEngine

# How long a batch that isn't full waits for another pair, in seconds.
PATIENCE = 0.05


class FlowBatches:
    """Computes flow for any number of threads, in batches; use it in a `with` block."""

    def __init__(self, engine: FlowEngine) -> None:
        self._engine = engine
        self._asked: queue.Queue[_Question | None] = queue.Queue(maxsize=4 * engine.batch)
        self._thread = threading.Thread(target=self._work, name="flow batches", daemon=True)

    def __enter__(self) -> FlowBatches:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._asked.put(None)
        self._thread.join()

    def flow_of_video(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the flow of each frame to its next, in order; reads as far ahead as a batch is long, no further."""
        waiting: deque[Future[np.ndarray]] = deque()
        for pair in pairwise(frames):
            waiting.append(self.ask(*pair))
            if len(waiting) > self._engine.batch:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def ask(self, first: np.ndarray, second: np.ndarray) -> Future[np.ndarray]:
        """Returns the promise of a flow; waits where too many are under way already."""
        question = _Question(first, second)
        self._asked.put(question)
        return question.answer

    def _work(self) -> None:
        question = self._asked.get()
        while question is not None:
            batch, question = self._collect(question)
            self._answer(batch)
            if question is _NOBODY:
                question = self._asked.get()

    def _collect(self, first: _Question) -> tuple[list[_Question], _Question | None]:
        """Returns a batch of one size, and what came after it: a question of another size, nobody, or the end."""
        batch = [first]
        while len(batch) < self._engine.batch:
            try:
                question = self._asked.get(timeout=PATIENCE)
            except queue.Empty:
                return batch, _NOBODY
            if question is None or question.first.shape != first.first.shape:
                return batch, question
            batch.append(question)
        return batch, _NOBODY

    def _answer(self, batch: list[_Question]) -> None:
        try:
            # The engine fills a batch up to its size, so that nothing is compiled anew.
            flows = list(self._engine.flow_of_pairs((each.first, each.second) for each in batch))
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for each in batch:  # One pair is at fault; the others shall not suffer for it.
                self._answer([each])
            return
        for each, flow in zip(batch, flows, strict=True):
            each.answer.set_result(flow)


class _Question:
    """A pair of frames, and where its flow will be."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self.first = first
        self.second = second
        self.answer: Future[np.ndarray] = Future()


_NOBODY = _Question(np.empty(0), np.empty(0))
