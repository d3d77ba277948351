"""Sends changed requests and uploads to the service, and prints how it answers.

python benchmarks/robustness/over_http.py --out FOLDER --requests 2000
"""

import argparse
import functools
import os
import random
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from benchmarks.processes import service
from benchmarks.robustness.mutations import changed_bytes
from commands.files import PROJECT
from commands.options import positive
from commands.running import run

# Seconds until a request counts as hung, and requests at a time: fewer than the queue of the service has places.
CLIENTS, SECONDS = 8, 30
LONGEST = (CLIENTS + 1) * SECONDS
MODELS = """
import sys; from pathlib import Path; from tests.makers.models import make_model, make_video
folder = Path(sys.argv[1])
for stream in ("spatial", "temporal"):
    make_model(folder / f"{stream}.keras", stream)
make_video(folder / "clip.avi", 6)
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Starts the service, sends the requests and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for models and uploads")
    parser.add_argument("--requests", type=positive, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    ends, unended, slowest, longest = Counter[str](), 0, 0.0, 0.0
    with _service(options.out) as address, ThreadPoolExecutor(CLIENTS) as clients:
        for first in range(0, options.requests, 100):
            numbers = range(first, min(first + 100, options.requests))
            made = [_request(options.out / "clip.avi", random.Random(f"{options.seed} {number}")) for number in numbers]
            for request, (end, seconds) in zip(
                made, clients.map(functools.partial(_ended, address), made), strict=True
            ):
                ends[end] += 1
                if re.search(rb"\n\r?\n", request):
                    slowest = max(slowest, seconds)
                else:  # What comes is still a head, and the service waits for its end.
                    unended, longest = unended + 1, max(longest, seconds)
            if not _is_healthy(address):
                ends["unhealthy after a hundred"] += 1
    left = list(options.out.glob("tmp/two-stream-*"))
    errors = (options.out / "errors").read_text(encoding="utf-8", errors="replace")
    for end, count in sorted(ends.items()):
        print(f"{end:28} {count:6,}")
    print(f"slowest {slowest:.1f} s; {unended} heads without an end, closed after {longest:.1f} s at most")
    print(f"{len(left)} folders left; {len(errors):,} bytes of errors logged; ", end="")
    print(f"{errors.count('Traceback')} tracebacks in them")
    allowed = {"200", "202", "closed", *(str(status) for status in range(400, 432)), "503", "504", "507"}
    if set(ends) - allowed or left or "Traceback" in errors:
        raise ValueError("The service did not answer as it must.")


def _request(video: Path, chance: random.Random) -> bytes:
    """Returns a request of the page's kind with its head, its form or its video changed."""
    content = video.read_bytes()
    if chance.random() < 0.5:
        content = changed_bytes(content, chance)
    form = b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.avi"\r\n\r\n' + content + b"\r\n--b--\r\n"
    if chance.random() < 0.4:
        form = changed_bytes(form, chance)
    paths = ("/predict", "/predict", "/predict?wait=false", "/", "/health", "/metrics", "/jobs/none", "/openapi.json")
    path = chance.choice(paths)
    method = "POST" if "predict" in path else "GET"
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    head += f"Content-Length: {len(form) if method == 'POST' else 0}\r\nConnection: close\r\n\r\n"
    first = head.encode()
    if chance.random() < 0.4:
        first = changed_bytes(first, chance)
    return first + (form if method == "POST" else b"")


def _ended(address: str, request: bytes) -> tuple[str, float]:
    """Sends a request; returns the status that answers it, or what else became of it, and the seconds that took."""
    host, port = address.removeprefix("http://").split(":")
    began, answer, end = time.monotonic(), b"", "closed"
    try:
        with socket.create_connection((host, int(port)), timeout=LONGEST) as connection:
            connection.sendall(request)
            answer = connection.recv(4096)
    except TimeoutError:
        end = "hung"
    except OSError:
        pass  # Closed, as a request without sense may be.
    found = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return found[1].decode() if found else end, time.monotonic() - began


def _is_healthy(address: str) -> bool:
    for _ in range(100):  # A worker that a video has crashed takes some seconds to start again.
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=10):
                return True
        except OSError:
            time.sleep(0.3)
    return False


@contextmanager
def _service(folder: Path) -> Iterator[str]:
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", MODELS, str(folder)], check=True, env=environment, capture_output=True)
    words = ["--seconds", str(SECONDS), "--upload-seconds", "2"]  # A head may announce more than ever comes.
    words += [f"--{stream}={folder / stream}.keras" for stream in ("spatial", "temporal")]
    with (folder / "errors").open("w") as errors, service(words, stderr=errors, env=environment) as address:
        yield address


if __name__ == "__main__":
    run(main)
