"""Runs one function over many jobs with Dask, on one machine or on many. Nothing here is specific to videos."""

import logging
import pickle
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from data.extraction.own_process import LostError, run_apart

if TYPE_CHECKING:
    from distributed import Client, Future

Work = TypeVar("Work")
Result = TypeVar("Result")

# When a worker is killed, other workers take over the jobs that it held, so these failures don't count against them.
SETTINGS = {"distributed.scheduler.allowed-failures": 1000, "distributed.admin.tick.limit": "1h"}
WINDOW_A_WORKER = 8  # Jobs submitted ahead per worker: no worker waits, and memory doesn't grow with all the jobs.


def run_jobs(
    function: Callable[[Work, Callable[[], None]], Result],
    jobs: Iterable[Work],
    *,
    workers: int = 1,
    cluster: str = "",
    time_limit: float = 0.0,
) -> Iterator[tuple[Work, Result | LostError]]:
    """Yields each job with its result as it finishes; on this machine, or on the scheduler at the address `cluster`.

    The function must be importable by name. It runs in a process beside Dask's worker, so a crash or a hang loses only
    that job. If a worker is killed, another one takes over its job.
    """
    # Imported here because Dask takes a second, which commands with nothing to prepare should not wait for.
    import dask
    from distributed import as_completed

    upcoming = iter(jobs)
    with dask.config.set(SETTINGS), _client(workers, cluster) as client:

        def submit(job: Work) -> "Future":
            # Pickled here, so that workers don't have to import what only their companion process uses.
            return client.submit(run_apart, pickle.dumps((function, job)), time_limit, pure=False)

        window = WINDOW_A_WORKER * max(1, sum(client.nthreads().values()))
        waiting = {submit(job): job for job in islice(upcoming, window)}
        completed = as_completed(list(waiting), loop=client.loop)
        for future in completed:
            job = waiting.pop(future)
            outcome: Result | LostError = future.result()
            for following in islice(upcoming, 1):
                submitted = submit(following)
                waiting[submitted] = following
                completed.add(submitted)
            yield job, outcome


@contextmanager
def _client(workers: int, cluster: str) -> Iterator["Client"]:
    # Dask would log every restarted worker. Here that is expected, and recorded in the index.
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
            _let_cluster_import(client)
            if not client.nthreads():
                raise OSError(
                    f"The scheduler at {cluster} has no workers. Start some: dask worker {cluster} --nthreads 1"
                )
            yield client
        return
    with ExitStack() as stack:
        with _deaf_to_interrupts():
            local = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",  # Dask has no authentication, so only this machine may reach it.
                    # Without an address, Dask would still open port 8787, and complain if it is taken.
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
            )
        yield stack.enter_context(Client(local, set_as_default=False))


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Makes processes that start in this block ignore Ctrl-C, which the command alone handles."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: workers print a message before they end.
        yield
        return
    resource_tracker.ensure_running()  # Otherwise the first process would start it, and starting it unblocks Ctrl-C.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _let_cluster_import(client: "Client") -> None:
    """Puts this project on the import path of the scheduler and of all workers, including those that join later."""
    from distributed import WorkerPlugin

    folder = str(Path(__file__).resolve().parents[2])

    # Defined in here so that it is sent as code: the cluster can't import this project before it has run.
    def import_ours() -> None:
        if folder not in sys.path:
            sys.path.insert(0, folder)

    class ImportOurs(WorkerPlugin):
        def setup(self, worker: object) -> None:
            import_ours()

    client.run_on_scheduler(import_ours)
    client.register_plugin(ImportOurs(), name="two-stream-path")
