"""Runs one function over many jobs with Dask, on this machine or on many; knows nothing of videos."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")

# A worker that dies takes the jobs with it that lie at it: one alone, so that no other is blamed. Such a job is given
# to another worker; a function that counts its attempts ends that before Dask does.
SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 5,
    "distributed.worker.memory.terminate": False,
    "distributed.admin.tick.limit": "1h",
}
WINDOW_A_WORKER = 8  # Enough that no worker waits, few enough that memory does not grow with the jobs.


class WorkersLostError(RuntimeError):
    """Says that a job took every worker with it that tried it."""


def run_jobs(
    function: Callable[[Work], Result], jobs: Iterable[Work], *, workers: int = 1, cluster: str = ""
) -> Iterator[tuple[Work, Result | WorkersLostError]]:
    """Yields each job with its result as they come; on this machine unless `cluster` is a scheduler's address.

    The function must be importable by name. A job whose worker dies is tried again elsewhere.
    """
    # Dask takes a second to import, which commands that have nothing to prepare should not wait for.
    import dask
    from distributed import KilledWorker, as_completed

    upcoming = iter(jobs)
    with dask.config.set(SETTINGS), _client(workers, cluster) as client:
        window = WINDOW_A_WORKER * max(1, sum(client.nthreads().values()))
        waiting = {client.submit(function, job, pure=False): job for job in islice(upcoming, window)}
        completed = as_completed(list(waiting), loop=client.loop)
        for future in completed:
            job = waiting.pop(future)
            try:
                outcome: Result | WorkersLostError = future.result()
            except KilledWorker:
                outcome = WorkersLostError("Every worker that tried it died.")
            for following in islice(upcoming, 1):
                submitted = client.submit(function, following, pure=False)
                waiting[submitted] = following
                completed.add(submitted)
            yield job, outcome


@contextmanager
def _client(workers: int, cluster: str) -> Iterator[Any]:
    # Dask reports each restarted worker; here that is an expected event with a record of its own.
    for name in ("distributed.nanny", "distributed.scheduler", "distributed.core", "distributed.worker"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    from distributed import Client, LocalCluster

    if cluster:
        try:
            client = Client(cluster, set_as_default=False, timeout="20s")
        except OSError as error:
            raise OSError(
                f"No Dask scheduler answers at {cluster}. Start one with: dask scheduler --host ADDRESS --port 8786"
            ) from error
        with client:
            _let_workers_import(client)
            if not client.nthreads():
                raise OSError(
                    f"The scheduler at {cluster} has no workers. Start some: dask worker {cluster} --nthreads 1"
                )
            yield client
        return
    local = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",  # Dask has no authentication: nobody but this machine may reach it.
        dashboard_address=None,
        memory_limit=0,
        silence_logs=logging.CRITICAL,
    )
    with local, Client(local, set_as_default=False) as client:
        yield client


def _let_workers_import(client: Any) -> None:
    """Puts this project on the path of the cluster's workers, those that come later too."""
    import cloudpickle

    from data import engine_workers

    # By value, since before it ran a worker can't import anything of ours.
    cloudpickle.register_pickle_by_value(engine_workers)
    client.register_plugin(engine_workers.ImportFrom(str(Path(__file__).resolve().parents[1])), name="two-stream-path")
