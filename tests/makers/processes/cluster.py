"""A Dask cluster of this machine for tests: a scheduler and workers, each a process."""

import contextlib
import json
import subprocess
import sys
import time


@contextlib.contextmanager
def dask_cluster(folder, host, environment, workers=2):
    """Runs a scheduler and workers; gives its address and the processes, the scheduler's first."""
    dask, file = [sys.executable, "-m", "dask"], folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, "env": environment}
    scheduler = [*dask, "scheduler", "--host", host, "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    worker = [*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    started = [subprocess.Popen(scheduler, **quiet), *(subprocess.Popen(worker, **quiet) for _ in range(workers))]
    try:
        while not file.exists():
            assert started[0].poll() is None
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"], started
    finally:
        for process in started:
            process.kill()
            process.wait()
