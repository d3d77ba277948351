"""Commands and the service as benchmarks run them, in processes of their own, and the gain between two results."""

import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from commands.files import PROJECT
from fusion.methods.by_groups import Part, drawn_accuracies, interval
from fusion.methods.measures import video_accuracy


def run_command(words: Sequence[str]) -> float:
    """Runs a script of the project, and returns the processor seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *words], cwd=PROJECT, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"python {' '.join(words)} failed:\n{done.stderr.strip()}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def free_ports(number: int) -> list[int]:
    """Returns ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def service(words: Sequence[str], **settings: Any) -> Iterator[str]:
    """Serves on a free port with these options, and provides the address."""
    command = [sys.executable, str(PROJECT / "fusion" / "serve.py"), "--port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **settings)
    try:
        for line in process.stdout or ():
            if found := re.search(r"http://[^\s,]+", line):
                yield found[0]
                return
        raise RuntimeError("The service did not start.")
    finally:
        process.terminate()
        process.wait(30)


def gain_over(part: Part, first: Part) -> str:
    """Returns the points of a result above another, with their 95 % interval over groups."""
    gain = video_accuracy(part.scores, part.labels) - video_accuracy(first.scores, first.labels)
    low, high = interval(drawn_accuracies(part) - drawn_accuracies(first))
    return f"{100 * gain:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
