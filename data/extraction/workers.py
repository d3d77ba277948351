"""Runs one function over many jobs, on this machine or on many with Dask. Nothing here is specific to videos."""

import logging
import os
import pickle
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from commands.files import IMPORTED_FROM
from commands.remote import with_mirrors
from data.extraction.own_process import Companion, LostError, run_apart

if TYPE_CHECKING:
    from distributed import Client

Work = TypeVar("Work")
Result = TypeVar("Result")

# When a worker is killed, other workers take over the jobs that it held, so these failures don't count against them.
SETTINGS = {"distributed.scheduler.allowed-failures": 1000, "distributed.admin.tick.limit": "1h"}
WINDOW_A_WORKER = 8  # Jobs submitted ahead per worker, so that no worker waits and memory doesn't grow with all jobs.


def run_jobs(
    function: Callable[[Work, Callable[[], None]], Result],
    jobs: Iterable[Work],
    *,
    workers: int = 1,
    cluster: str = "",
    time_limit: float = 0.0,
    environments: Sequence[Mapping[str, str]] = (),
    tls: Path | None = None,
) -> Generator[tuple[Work, Result | LostError]]:
    """Yields each job with its result as it finishes; on this machine, or on the scheduler at the address `cluster`.

    The function must be importable by name. It runs in a process beside the worker, so a crash or a hang loses only
    that job. On this machine nothing listens: a worker and its process share a pair of sockets without a name.
    `environments` adds to the environment of each process here, and says how many there are. `tls` is a folder with
    the certificate of the scheduler, `cert.pem`, and its key, `key.pem`.
    """
    # Pickled here, so that workers don't have to import what only their companion process uses.
    called = with_mirrors(function) if cluster else function
    packed = ((job, pickle.dumps((called, job))) for job in jobs)
    if cluster:
        yield from _on_cluster(packed, cluster, tls, time_limit)
        return
    companions = [Companion(each) for each in environments] or [Companion() for _ in range(max(1, workers))]
    yield from _on_this_machine(packed, companions, time_limit)


def _on_this_machine(
    jobs: Iterator[tuple[Work, bytes]], companions: Sequence[Companion], time_limit: float
) -> Iterator[tuple[Work, Any]]:
    free: SimpleQueue[Companion] = SimpleQueue()
    for companion in companions:
        free.put(companion)

    def run(work: bytes) -> object:
        companion = free.get()
        try:
            return run_apart(work, time_limit, companion)
        finally:
            free.put(companion)

    with ThreadPoolExecutor(len(companions)) as pool:
        waiting = {pool.submit(run, work): job for job, work in islice(jobs, len(companions))}
        try:
            while waiting:
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    job = waiting.pop(future)
                    waiting |= {pool.submit(run, work): following for following, work in islice(jobs, 1)}
                    yield job, future.result()
        finally:  # After an interruption, too: no process goes on, or is started again.
            for companion in companions:
                companion.close()
            pool.shutdown(cancel_futures=True)
            for companion in companions:
                companion.end()


def _on_cluster(
    jobs: Iterator[tuple[Work, bytes]], cluster: str, tls: Path | None, time_limit: float
) -> Iterator[tuple[Work, Any]]:
    """Runs the jobs on the machines of a Dask scheduler. If a worker is killed, another one takes over its job."""
    # Imported here because Dask takes a second.
    import dask
    from distributed import as_completed

    with dask.config.set(SETTINGS), _client(cluster, tls) as client:
        window = WINDOW_A_WORKER * max(1, sum(client.nthreads().values()))
        waiting = {client.submit(run_apart, work, time_limit, pure=False): job for job, work in islice(jobs, window)}
        completed = as_completed(list(waiting), loop=client.loop)
        for future in completed:
            job = waiting.pop(future)
            outcome = future.result()
            for following, work in islice(jobs, 1):
                submitted = client.submit(run_apart, work, time_limit, pure=False)
                waiting[submitted] = following
                completed.add(submitted)
            yield job, outcome


@contextmanager
def _client(cluster: str, tls: Path | None) -> Iterator["Client"]:
    # Dask would log every restarted worker. Here that is expected, and recorded in the index.
    for name in ("distributed.nanny", "distributed.scheduler", "distributed.core", "distributed.worker"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    from distributed import Client, Security

    security = Security(**_certificates(tls, cluster)) if tls else Security()
    # Dask itself would find out in the middle of connecting, and then hang for a while.
    if cluster.startswith("tls://") and security.get_connection_args("client")["ssl_context"] is None:
        raise OSError(
            f"The scheduler at {cluster} asks for certificates, and Dask's settings name none: pass --tls FOLDER, "
            "where cert.pem and key.pem lie."
        )
    try:
        client = Client(cluster, security=security, set_as_default=False, timeout="20s")
    except (OSError, ValueError, TypeError) as error:  # A wrong address, no scheduler there, or missing TLS settings.
        raise OSError(
            f"No Dask scheduler answers at {cluster} ({error or type(error).__name__}). Start one with: dask scheduler "
            "--host ADDRESS --port 8786"
        ) from error
    with client:
        _let_cluster_import(client)
        if not client.nthreads():
            raise OSError(f"The scheduler at {cluster} has no workers. Start some: dask worker {cluster} --nthreads 1")
        yield client


def _certificates(folder: Path, cluster: str) -> dict[str, object]:
    """Returns the settings by which Dask uses the certificate in a folder and refuses to talk without it."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    for path in (certificate, key):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: --tls names a folder with cert.pem and key.pem in it.")
    if os.name == "posix" and key.stat().st_mode & 0o077:
        raise ValueError(f"Others can read the key {key}, and so run programs as you. Type: chmod 600 {key}")
    if not cluster.startswith("tls://"):
        raise ValueError(
            f"--tls is for schedulers that ask for certificates, whose address begins with tls://, not {cluster}."
        )
    names = {"tls_ca_file": certificate, "tls_client_cert": certificate, "tls_client_key": key}
    return {"require_encryption": True, **{name: str(path) for name, path in names.items()}}


def _let_cluster_import(client: "Client") -> None:
    """Puts this project on the import path of the scheduler and of all workers, including those that join later."""
    from distributed import WorkerPlugin

    folder = str(IMPORTED_FROM)

    # Defined in here so that it is sent as code: the cluster can't import this project before it has run.
    def import_ours() -> None:
        if folder not in sys.path:
            sys.path.insert(0, folder)

    class ImportOurs(WorkerPlugin):
        def setup(self, worker: object) -> None:
            import_ours()

    client.run_on_scheduler(import_ours)
    client.register_plugin(ImportOurs(), name="two-stream-path")
