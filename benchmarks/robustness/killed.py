"""The commands that benchmarks/robustness/kills.py kills, what they start from, and the servers that they need."""

import functools
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from commands.files import PROJECT

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}


class Killed(NamedTuple):
    """A command that is killed, and what it starts from."""

    prepare: Callable[[Path], None]
    command: Callable[[Path], list[str]]
    workers: Callable[[], list[int]] | None = None  # Who is killed in its place, if others do its work.


def commands(address: str, cluster: Callable[[], tuple[str, list[int]]]) -> Mapping[str, Killed]:
    """Returns what is killed, by name."""

    def on_cluster(folder: Path) -> list[str]:
        return _prepare("--cluster", cluster()[0])(folder)

    return {
        "prepare": Killed(_videos, _prepare()),
        "prepare --pack": Killed(_videos, _prepare("--pack")),
        "prepare on Dask": Killed(_videos, on_cluster),
        "a worker of Dask": Killed(_videos, on_cluster, lambda: cluster()[1]),
        "pack": Killed(_prepared, _python("data/pack.py", "mine", "--root", "{}/set")),
        "unpack": Killed(_packed, _python("data/pack.py", "mine", "--root", "{}/set", "--unpack")),
        "train": Killed(_tiny, _python("spatial/train.py", *_TRAINING)),
        "score and fuse": Killed(_trained, _python("fusion/evaluate.py", *_EVALUATION)),
        "fuse": Killed(_scored, _python("fusion/evaluate.py", *_FUSION)),
        "export": Killed(_trained, _python("fusion/export.py", "--format", "keras", *_MODELS, "--out", "{}/exported")),
        "serve": Killed(_trained, lambda folder: [sys.executable, "-c", _SERVE, str(folder)]),
        "download": Killed(lambda folder: None, _download(address)),
    }


_DATA = ("--dataset", "ucf101", "--root", "{}/ucf101", "--runs", "{}/runs")
_TRAINING = (
    *_DATA,
    "--crop-size",
    "32",
    "--epochs",
    "3",
    "--batch-size",
    "2",
    "--validation",
    "0.5",
)
_EVALUATION = (*_DATA, "--split", "1", "--method", "average", "--views", "3", "--crops", "1", "--fit", "folds")
_FUSION = (
    "--method",
    "average",
    "--method",
    "weighted",
    "--scores",
    "{}/a.csv",
    "--scores",
    "{}/b.csv",
    "--runs",
    "{}/runs",
)
_MODELS = ("--spatial", "{}/spatial.keras", "--temporal", "{}/temporal.keras", "--check", "{}/clip.avi")
# The service and a client of it in one process, which ends once the client has its answer.
_SERVE = """
import json, os, signal, socket, sys, threading, time, urllib.request
from pathlib import Path
from commands.files import write_json
from commands.running import run
from fusion import serve

def ask(folder, port):
    form = b'--b\\r\\nContent-Disposition: form-data; name="video"; filename="a.avi"\\r\\n\\r\\n'
    form += (folder / "clip.avi").read_bytes() + b"\\r\\n--b--\\r\\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/predict", form, kind)) as answer:
        found = json.loads(answer.read())
    write_json(folder / "answer.json", {name: found[name] for name in ("top", "timeline", "video")})
    os.kill(os.getpid(), signal.SIGTERM)

def listening(*place):
    listener = whole(*place)
    threading.Thread(target=ask, args=(folder, listener.getsockname()[1]), daemon=True).start()
    return listener

if __name__ == "__main__":
    folder, whole = Path(sys.argv[1]), serve._listening
    serve._listening = listening
    words = ["--port", "0", "--spatial", str(folder / "spatial.keras"), "--temporal", str(folder / "temporal.keras")]
    run(lambda: serve.main(words))
"""


def _python(*words: str) -> Callable[[Path], list[str]]:
    return lambda folder: [sys.executable, str(PROJECT / words[0]), *(word.format(folder) for word in words[1:])]


def _prepare(*words: str) -> Callable[[Path], list[str]]:
    return _python("data/prepare.py", "mine", "--root", "{}/set", "--method", "dis", "--short-side", "0", *words)


def _download(address: str) -> Callable[[Path], list[str]]:
    code = (
        "import sys; from pathlib import Path; from data.catalog import Archive; from data.extraction.download import "
        f"install; root = Path(sys.argv[1]); (root / 'lists').exists() or install(Archive('{address}', 'lists'), root)"
    )
    return lambda folder: [sys.executable, "-c", code, str(folder)]


def _videos(folder: Path) -> None:
    from tests.makers.folder import make_videos

    make_videos(folder / "set", count=8, frames=10)


def _prepared(folder: Path) -> None:
    _videos(folder)
    subprocess.run(_prepare()(folder), check=True, **QUIET)  # type: ignore[call-overload]


def _packed(folder: Path) -> None:
    _videos(folder)
    subprocess.run(_prepare("--pack")(folder), check=True, **QUIET)  # type: ignore[call-overload]


def _tiny(folder: Path) -> None:
    from tests.makers.commands import make_data

    make_data(folder / "ucf101", "ucf101")


def _in_another_process(code: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=PROJECT, **QUIET)  # type: ignore[call-overload]


def _trained(folder: Path) -> None:
    _tiny(folder)
    code = """
import sys; from pathlib import Path; from tests.makers.models import make_model, make_video
root, classes = Path(sys.argv[1]), ("Archery", "HandstandPushups")
make_video(root / "clip.avi", 6)
for stream in ("spatial", "temporal"):
    make_model(root / f"{stream}.keras", stream, classes=classes)
    make_model(root / "runs" / "ucf101" / stream / "split1" / "model.keras", stream, classes=classes)
"""
    _in_another_process(code, folder)


def _scored(folder: Path) -> None:
    chance = random.Random(0)
    for name in ("a", "b"):
        rows = [
            f"v_{label}_g{group:02d}_c01,{chance.gauss(0, 1)},{chance.gauss(0, 1)}"
            for label in ("Run", "Sit")
            for group in range(8)
        ]
        (folder / f"{name}.csv").write_text("\n".join(["video,Run,Sit", *rows]) + "\n")


@contextmanager
def cluster_in(out: Path) -> Iterator[Callable[[], tuple[str, list[int]]]]:
    """Gives what starts a Dask cluster when it is first called, and returns its address and its workers."""
    file, dask = out / "scheduler.json", [sys.executable, "-m", "dask"]
    file.unlink(missing_ok=True)
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        command = [*dask, *words, "--no-dashboard", "--scheduler-file", str(file)]
        started.append(subprocess.Popen(command, cwd=out, process_group=0, **QUIET))  # type: ignore[call-overload]

    def cluster() -> tuple[str, list[int]]:
        if not started:
            start("scheduler", "--host", "127.0.0.1", "--port", "0")
            # Its nanny starts a worker again that was killed.
            start("worker", "--nworkers", "2", "--nthreads", "1", "--local-directory", str(out / "dask"))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            workers = _workers_of(started[1].pid)
            if file.exists() and len(workers) == 2:
                return json.loads(file.read_text())["address"], workers
            time.sleep(0.2)
        raise RuntimeError("The Dask cluster did not start.")

    try:
        yield cluster
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _workers_of(nanny: int) -> list[int]:
    lists = Path(f"/proc/{nanny}/task").glob("*/children")
    children = [child for each in lists for child in each.read_text().split()]
    return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


@contextmanager
def server_in(out: Path) -> Iterator[str]:
    """Serves an archive slowly, so that a download can be killed."""
    folder = out / "served"
    folder.mkdir(parents=True, exist_ok=True)
    content = random.Random(0).randbytes(3_000_000)
    (folder / "member").write_bytes(content)
    shutil.make_archive(str(folder / "lists"), "zip", folder, "member")
    whole = (folder / "lists.zip").read_bytes()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Sends what is asked for, a bit at a time."""
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(whole) - start))
            self.send_header("ETag", '"1"')
            self.end_headers()
            for place in range(start, len(whole), 50_000):
                self.wfile.write(whole[place : place + 50_000])
                time.sleep(0.01)

        def log_message(self, *words: object) -> None:
            """Says nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=functools.partial(server.serve_forever, 0.1), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/lists.zip"
    finally:
        server.shutdown()
