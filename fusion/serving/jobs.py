"""The queue of videos in the service, with the progress and the result of each."""

import asyncio
import contextlib
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fusion.prediction.prediction import Json
from fusion.serving.limits import Limits
from fusion.serving.worker import JobError, Worker


@dataclass
class Job:
    """One video in the service, with its progress and result."""

    name: str  # The client's name of the file. It is only displayed, never used as a path.
    identifier: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: str = "uploading"  # Then "waiting", "looking", and "done" or "failed".
    progress: Json = field(default_factory=dict)
    result: Json | None = None
    error: str = ""
    status: int = 200
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def as_dictionary(self) -> Json:
        """Returns the state that the page polls."""
        return {
            "id": self.identifier,
            "state": self.state,
            "progress": self.progress,
            "result": self.result,
            "error": self.error,
        }


class FullError(Exception):
    """The queue is full."""


class Jobs:
    """The queue in front of the workers."""

    def __init__(self, workers: Sequence[Worker], limits: Limits) -> None:
        self.workers, self.limits = workers, limits
        self.outcomes: Counter[str] = Counter()
        self.stage_seconds: Counter[str] = Counter()
        self.looking_seconds = 0.0
        self.active = 0
        self._waiting: asyncio.Queue[tuple[Job, Path]] = asyncio.Queue()
        self._kept: OrderedDict[str, Job] = OrderedDict()

    @contextlib.asynccontextmanager
    async def place(self, name: str) -> AsyncIterator[Job]:
        """Reserves a place in the queue and yields its job. Frees the place when the upload fails or the job ends."""
        if self.active >= self.limits.queue:
            self.outcomes["refused"] += 1
            raise FullError
        self.active += 1
        job = Job(name)
        try:
            yield job
        except BaseException:
            self.active -= 1
            self.outcomes["upload failed"] += 1
            raise

    def enqueue(self, job: Job, video: Path) -> None:
        """Puts a job into the queue. The video is deleted when the job ends."""
        job.state = "waiting"
        self._kept[job.identifier] = job
        while len(self._kept) > self.limits.results + self.limits.queue:
            self._kept.popitem(last=False)
        self._waiting.put_nowait((job, video))

    def find(self, identifier: str) -> Job | None:
        """Returns a job by its identifier, or None if it is unknown or no longer kept."""
        return self._kept.get(identifier)

    @property
    def seconds_until_free(self) -> int:
        """The estimated seconds until a place is free: the mean time of a job, divided by the workers."""
        done = self.outcomes["done"]
        return max(1, round(self.looking_seconds / done / len(self.workers))) if done else 5

    async def work(self) -> None:
        """Lets each worker process one video after the other, as long as the service runs."""
        await asyncio.gather(*(self._work(worker) for worker in self.workers))

    async def _work(self, worker: Worker) -> None:
        loop = asyncio.get_running_loop()
        while True:
            job, video = await self._waiting.get()
            job.state, start = "looking", time.monotonic()
            try:
                job.result = await loop.run_in_executor(None, worker.look_at, video, job.name, job.progress.update)
                job.state = "done"
                self.stage_seconds.update(job.result["seconds"])
                self.looking_seconds += time.monotonic() - start
            except JobError as error:
                job.state, job.status, job.error = "failed", error.status, str(error)
            except Exception as error:  # The worker did not start. The next job will try again.
                job.state, job.status, job.error = "failed", 500, f"The worker could not be started: {error}"
            finally:
                self.outcomes[job.state] += 1
                self.active -= 1
                video.unlink(missing_ok=True)
                job.finished.set()

    def as_metrics(self) -> str:
        """Returns the counters in the text format of Prometheus."""
        lines = ["# TYPE two_stream_videos_total counter"]
        lines += [
            f'two_stream_videos_total{{outcome="{name}"}} {self.outcomes[name]}'
            for name in ("done", "failed", "refused", "upload failed")
        ]
        lines += ["# TYPE two_stream_active gauge", f"two_stream_active {self.active}"]
        lines += ["# TYPE two_stream_worker_restarts_total counter"]
        lines += [f"two_stream_worker_restarts_total {sum(max(0, worker.restarts) for worker in self.workers)}"]
        lines += ["# TYPE two_stream_stage_seconds_total counter"]
        for stage, seconds in sorted(self.stage_seconds.items()):
            lines.append(f'two_stream_stage_seconds_total{{stage="{stage}"}} {seconds:.4f}')
        return "\n".join(lines) + "\n"
