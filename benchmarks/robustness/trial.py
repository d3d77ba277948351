"""Runs one command on one input in a process of its own, and tells how it ended."""

import atexit
import contextlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from commands.running import run

# How a trial may end; all after the second are faults.
ENDS = ("accepted", "told", "crashed", "hung", "grew", "leaked", "ran code")
# A trial hangs after so many seconds of a processor, or as many by the clock as a busy machine may make of them.
HUNG_SECONDS, HUNG_WAITING = 10.0, 60.0
MOST_GROWTH = 2 * 2**30  # Bytes; a process that has TensorFlow needs a gigabyte to work.
CANARY = "canary"


class Ended(NamedTuple):
    """How a trial ended, and what it printed last."""

    how: str
    said: str
    seconds: float
    megabytes: float


def try_out(act: Callable[[Path], None], folder: Path, slack: float = 0.0) -> Ended:
    """Calls `act(folder)` as a command in a forked process, which may take `slack` seconds more than any other."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        _be_command(act, folder, scratch)
    status, peak = _watch(process, slack)
    seconds = time.monotonic() - began
    said = (folder / "said").read_text(encoding="utf-8", errors="replace")[-4000:]
    return Ended(_how(status, peak, said, folder, scratch), said, seconds, peak / 1e6)


def _be_command(act: Callable[[Path], None], folder: Path, scratch: Path) -> None:
    """Becomes a command: its output goes to a file, and its exit code is that of the process."""
    code = 70
    try:
        os.setsid()
        output = os.open(folder / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
        sys.argv = ["trial"]
        run(lambda: act(folder))
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    finally:
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()  # TensorFlow removes its temporary files there.
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _watch(process: int, slack: float) -> tuple[int | None, int]:
    """Waits for a process; returns its status, None if it hung or grew, and the most memory that it held."""
    peak, begin, until = 0, _resident(process), time.monotonic() + HUNG_WAITING + slack
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return status, peak
        peak = max(peak, _resident(process))
        hangs = time.monotonic() > until or _processor_seconds(process) > HUNG_SECONDS + slack
        if hangs or peak - begin > MOST_GROWTH:
            os.killpg(process, signal.SIGKILL) if os.getpgid(process) == process else os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return None, peak if peak - begin > MOST_GROWTH else -1
        time.sleep(0.004)


def _processor_seconds(process: int) -> float:
    """Returns the processor time of a process and of the children that it has waited for."""
    try:
        times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]
    except OSError:
        return 0.0
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def _resident(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _how(status: int | None, peak: int, said: str, folder: Path, scratch: Path) -> str:
    if any(folder.rglob(CANARY)):
        return "ran code"
    if status is None:
        return "hung" if peak < 0 else "grew"
    code = os.waitstatus_to_exitcode(status)
    if code < 0 or code not in (0, 1, 2) or "Traceback (most recent" in said or "fault of the program" in said:
        return "crashed"
    if code and not ("Error: " in said or "error: " in said):
        return "crashed"
    if "\x1b" in said or any(scratch.iterdir()) or any(folder.rglob(".incomplete.*")):
        return "leaked"
    return "told" if code else "accepted"


@contextlib.contextmanager
def trial_folder(place: Path) -> Iterator[Path]:
    """Gives an empty folder for one trial."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
