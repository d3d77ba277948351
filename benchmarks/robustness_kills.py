"""Kills commands at random moments until they have to end, and compares what they leave with an uninterrupted run.

python benchmarks/robustness_kills.py --out FOLDER --kills 200
"""

import argparse
import functools
import http.server
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.files import PROJECT
from commands.options import positive
from commands.running import run

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
# What holds the time by its nature.
_TIMED = ("tensorboard", "scratch")


class Killed(NamedTuple):
    """A command that is killed, and what it starts from."""

    prepare: Callable[[Path], None]
    command: Callable[[Path], list[str]]


class Found(NamedTuple):
    """How a command came through its kills."""

    command: str
    kills: int
    differing: list[str]  # Files that differ from those of the uninterrupted run.
    left: list[str]  # Unfinished files that nobody removed.
    seconds: float  # Of an uninterrupted run.


def main(argv: Sequence[str] | None = None) -> None:
    """Kills every command so many times, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where results are kept")
    parser.add_argument("--kills", type=positive, default=200, metavar="N", help="of all commands together")
    parser.add_argument("--commands", nargs="+", metavar="NAME", help="only these commands")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "kills.json"
    results = [Found(**each) for each in json.loads(log.read_text())] if log.exists() else []
    with _server(options.out / "served") as address:
        known = commands(address)
        chosen = options.commands or list(known)
        for name in chosen:
            if any(found.command == name for found in results):
                continue
            chance, place = random.Random(f"{options.seed} {name}"), options.out / "killing"
            results.append(_killed(name, known[name], place, -(-options.kills // len(chosen)), chance))
            log.write_text(json.dumps([found._asdict() for found in results], indent=1))
            _print([results[-1]])
    print()
    _print(results)
    if any(found.differing or found.left for found in results):
        raise ValueError(f"Some commands left something else than an uninterrupted run; {log} names the files.")


def _killed(name: str, killed: Killed, place: Path, kills: int, chance: random.Random) -> Found:
    shutil.rmtree(place, ignore_errors=True)
    for part in ("start", "whole"):
        (place / part).mkdir(parents=True)
    killed.prepare(place / "start")
    _copy(place / "start", place / "case")
    began = time.monotonic()
    subprocess.run(killed.command(place / "case"), check=True, env=_environment(place), **QUIET)  # type: ignore[call-overload]
    seconds = time.monotonic() - began
    whole = _contents(place / "case")
    _copy(place / "start", place / "case")
    done = 0
    while done < kills:
        running = subprocess.Popen(killed.command(place / "case"), env=_environment(place), **QUIET)  # type: ignore[call-overload]
        try:
            running.wait(timeout=chance.uniform(0.05, 1.1) * seconds)
            _copy(place / "start", place / "case")
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
            done += 1
    subprocess.run(killed.command(place / "case"), check=True, env=_environment(place), **QUIET)  # type: ignore[call-overload]
    found = _contents(place / "case")
    differing = sorted(path for path in whole.keys() | found.keys() if whole.get(path) != found.get(path))
    left = [str(path) for folder in ("case", "scratch") for path in _unfinished(place / folder)]
    return Found(name, done, differing, left, round(seconds, 1))


def commands(address: str) -> Mapping[str, Killed]:
    """Returns what is killed, by name."""
    return {
        "prepare": Killed(_videos, _prepare()),
        "prepare --pack": Killed(_videos, _prepare("--pack")),
        "pack": Killed(_prepared, _python("data/pack.py", "mine", "--root", "{}/set")),
        "unpack": Killed(_packed, _python("data/pack.py", "mine", "--root", "{}/set", "--unpack")),
        "train": Killed(_tiny, _python("spatial/train.py", *_TRAINING)),
        "score and fuse": Killed(_trained, _python("fusion/evaluate.py", *_EVALUATION)),
        "fuse": Killed(_scored, _python("fusion/evaluate.py", *_FUSION)),
        "export": Killed(_trained, _python("fusion/export.py", "--format", "keras", *_MODELS, "--out", "{}/exported")),
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


def _environment(place: Path) -> dict[str, str]:
    import os

    scratch = place / "scratch"
    scratch.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": ""}


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


def _contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not set(path.parts) & set(_TIMED)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.name != "events"}


def _unfinished(folder: Path) -> Iterator[Path]:
    yield from folder.rglob(".incomplete.*")
    yield from folder.rglob("two-stream-*")


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Serves an archive slowly, so that a download can be killed."""
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


def _print(results: Sequence[Found]) -> None:
    for found in results:
        same = "the same bytes" if not found.differing else f"{len(found.differing)} files differ"
        left = "nothing left behind" if not found.left else f"{len(found.left)} left behind"
        print(f"{found.command:16} {found.kills:4} kills  {same}, {left}  ({found.seconds:.1f} s whole)", flush=True)


if __name__ == "__main__":
    run(main)
