"""Computes flow for all workers on one GPU, in full batches, in a process of its own or in that of a training.

Workers decode, resize and write. Their pairs of frames wait in this process until a batch is full, even with pairs of
several videos, or until no more arrive. So decoding, flow and writing overlap, short videos fill batches too, and a
decoder that crashes loses only its own video.

A request is a tuple followed by the bytes of the frames. An answer is None or an error, followed by the bytes of each
flow field. Plain bytes are used because pickling arrays would copy them several times.
"""

from __future__ import annotations

import contextlib
import errno
import json
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

import numpy as np

from commands.files import project_on_path
from data.optical_flow.engine import GPU_BATCH, FlowEngine
from data.optical_flow.frames import check_same_size, in_few_bytes

PATIENCE = 0.02  # After so many seconds without a request, batches that aren't full are computed.
LONGEST = 0.5  # Seconds that a pair of a rare size waits at most while other requests keep coming.
COMPILING = 600.0  # Seconds that the first batch of a size may take.
CHUNK_BYTES = 1 << 27  # Memory of the frames and flow of one request: a whole batch at 340×256, fewer pairs at 4K.

Pair = tuple[np.ndarray, np.ndarray]
# The size of frames and the type of their pixels. Pairs of one form may share a batch.
_Form: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]


def ask_flow(
    address: str, pairs: Iterable[Pair], show_life: Callable[[], None] = lambda: None, patience: float = COMPILING
) -> Iterator[np.ndarray]:
    """Yields the flow of each pair, in order; while some pairs are computed, the caller decodes and writes others.

    A service that takes longer than `patience` counts as hung: no life is shown then, and --time-limit applies.
    """
    try:
        with Client(address) as connection:
            under_way: list[Pair] = []
            for chunk in _chunks(pairs):
                flows = _receive(connection, under_way, show_life, patience)
                _send(connection, chunk)
                yield from flows
                under_way = chunk
            yield from _receive(connection, under_way, show_life, patience)
    except (EOFError, ConnectionError, FileNotFoundError) as error:
        raise OSError(errno.EPIPE, "The process that computes flow for all workers has ended", address) from error


@contextlib.contextmanager
def flow_process(make_engine: Callable[[], FlowEngine]) -> Iterator[str]:
    """Runs a service in a separate process and gives its address; `make_engine` must be importable there."""
    command = [sys.executable, "-c", f"from {__name__} import main; main()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=project_on_path()) as process:
        stdin, stdout = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        try:
            pickle.dump(make_engine, stdin)
            stdin.flush()
            answer = json.loads(stdout.readline() or '{"error": "The process that computes flow did not start."}')
            if "error" in answer:
                raise ValueError(answer["error"])
            yield answer["address"]
        finally:
            stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)  # Time to clean up. Killing it afterwards loses no data.
            process.kill()


def main() -> None:
    """Runs the service in this process until the process that started it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the command, which then ends this process.
    make_engine = pickle.load(sys.stdin.buffer)
    try:
        engine = make_engine()
    except (ValueError, ImportError, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    with FlowService(engine) as service:
        print(json.dumps({"address": service.address}), flush=True)
        sys.stdin.buffer.read()


class FlowService:
    """Answers any number of connections and batches their requests together; use it in a `with` block."""

    def __init__(self, engine: FlowEngine) -> None:
        self._engine = engine
        # Only this user may enter the temporary folder, so nobody else can send requests.
        self._folder = tempfile.TemporaryDirectory(prefix="two-stream-flow-")
        self.address = str(Path(self._folder.name) / "socket")
        self._listener = Listener(self.address, "AF_UNIX", backlog=128)
        self._asked: queue.SimpleQueue[_Question | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._accept, self._compute)]

    def __enter__(self) -> FlowService:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._asked.put(None)
        with contextlib.suppress(OSError):
            Client(self.address).close()  # Wakes the thread that waits for connections.
        for thread in self._threads:
            thread.join()
        self._listener.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        while not self._ended.is_set():
            threading.Thread(target=self._answer, args=(self._listener.accept(),), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        """Answers the requests of one video."""
        with connection, contextlib.suppress(EOFError, ConnectionError):
            while True:
                shape, kind, places = connection.recv()
                frames = np.empty(shape, kind)
                connection.recv_bytes_into(frames.reshape(-1).view(np.uint8))
                questions = [_Question(frames[first], frames[second]) for first, second in places]
                for question in questions:
                    self._asked.put(question)
                errors = [error for question in questions if (error := question.answer.exception())]
                connection.send(errors[0] if errors else None)
                for question in questions if not errors else ():
                    connection.send_bytes(question.answer.result().data)

    def _compute(self) -> None:
        waiting: dict[_Form, list[_Question]] = {}  # By form of frames; the longest waiting come first.
        while True:
            try:
                question = self._asked.get(timeout=PATIENCE if waiting else None)
                if question is None:
                    return
                alike = waiting.setdefault(question.form, [])
                alike.append(question)
                due = [question.form] if len(alike) == self._engine.batch else []
                oldest = next(iter(waiting))
                if time.monotonic() - waiting[oldest][0].asked > LONGEST and oldest not in due:
                    due.append(oldest)
            except queue.Empty:
                due = list(waiting)[:1]
            for form in due:
                self._solve(waiting.pop(form))

    def _solve(self, batch: Sequence[_Question]) -> None:
        try:
            # The engine pads a batch to its full size, so nothing has to be compiled again.
            flows = self._engine.flow_of_prepared([each.first for each in batch], [each.second for each in batch])
        except Exception as error:
            # Errors of TensorFlow can't always be pickled, so only their text is sent.
            for each in batch:
                each.answer.set_exception(OSError(errno.EIO, f"Flow could not be computed: {error}"))
            return
        for each, flow in zip(batch, flows, strict=True):
            each.answer.set_result(np.ascontiguousarray(flow, np.float32))


class _Question:
    """A pair of frames, and a future for its flow."""

    def __init__(self, first: np.ndarray, second: np.ndarray) -> None:
        self.form: _Form = (first.shape, first.dtype)
        self.first, self.second, self.asked = first, second, time.monotonic()
        self.answer: Future[np.ndarray] = Future()


def _chunks(pairs: Iterable[Pair]) -> Iterator[list[Pair]]:
    """Yields lists of pairs that fill a batch, or fewer pairs if the frames are large."""
    chunk: list[Pair] = []
    for first, second in pairs:
        check_same_size(first, second)
        chunk.append((first, second))
        if len(chunk) >= min(GPU_BATCH, max(1, CHUNK_BYTES // (12 * first.shape[0] * first.shape[1]))):
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _send(connection: Connection, chunk: Sequence[Pair]) -> None:
    # Most frames belong to two pairs but are sent only once.
    frames = {id(frame): frame for pair in chunk for frame in pair}
    place_of = {identity: place for place, identity in enumerate(frames)}
    sent = np.stack([in_few_bytes(frame) for frame in frames.values()])
    places = [(place_of[id(first)], place_of[id(second)]) for first, second in chunk]
    connection.send((sent.shape, sent.dtype, places))
    connection.send_bytes(sent.reshape(-1).data)


def _receive(
    connection: Connection, chunk: Sequence[Pair], show_life: Callable[[], None], patience: float
) -> list[np.ndarray]:
    if not chunk:
        return []
    asked = time.monotonic()
    while not connection.poll(1.0):
        if time.monotonic() - asked < patience:
            show_life()
    error = connection.recv()
    if error:
        raise error
    flows = [np.empty((*first.shape[:2], 2), np.float32) for first, _ in chunk]
    for flow in flows:
        connection.recv_bytes_into(flow.reshape(-1))
    return flows
