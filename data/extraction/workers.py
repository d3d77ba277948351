"""Runs one function over many jobs with Dask, on this machine or on many; knows nothing of videos."""

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

# A worker that is killed takes the jobs with it that wait at it. Others do them; none is to blame.
SETTINGS = {"distributed.scheduler.allowed-failures": 1000, "distributed.admin.tick.limit": "1h"}
WINDOW_A_WORKER = 8  # Enough that no worker waits, few enough that memory does not grow with the jobs.


def run_jobs(
    function: Callable[[Work, Callable[[], None]], Result],
    jobs: Iterable[Work],
    *,
    workers: int = 1,
    cluster: str = "",
    time_limit: float = 0.0,
) -> Iterator[tuple[Work, Result | LostError]]:
    """Yields each job with its result as they come; on this machine unless `cluster` is a scheduler's address.

    The function must be importable by name. It runs apart from Dask's workers, so that a crash or a hang loses
    nothing but the job; one whose worker was killed is done by another worker.
    """
    # Dask takes a second to import, which commands that have nothing to prepare should not wait for.
    import dask
    from distributed import as_completed

    upcoming = iter(jobs)
    with dask.config.set(SETTINGS), _client(workers, cluster) as client:

        def submit(job: Work) -> "Future":
            # Pickled here, so that workers need not import what only the process beside them uses.
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
                    host="127.0.0.1",  # Dask has no authentication: nobody but this machine may reach it.
                    # Without an address Dask would still serve its health on port 8787, and complain if that is taken.
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
            )
        yield stack.enter_context(Client(local, set_as_default=False))


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Lets processes that are started meanwhile never hear Ctrl-C: it is for the command, which hears it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # On Windows; there the workers complain before they end.
        yield
        return
    resource_tracker.ensure_running()  # Else the first process would start it, and that lets Ctrl-C through again.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _let_cluster_import(client: "Client") -> None:
    """Puts this project on the path of the scheduler and of the cluster's workers, those that come later too."""
    from distributed import WorkerPlugin

    folder = str(Path(__file__).resolve().parents[2])

    # What is defined in a function is sent as code: before it ran, the cluster can't import anything of ours.
    def import_ours() -> None:
        if folder not in sys.path:
            sys.path.insert(0, folder)

    class ImportOurs(WorkerPlugin):
        def setup(self, worker: object) -> None:
            import_ours()

    client.run_on_scheduler(import_ours)
    client.register_plugin(ImportOurs(), name="two-stream-path")
