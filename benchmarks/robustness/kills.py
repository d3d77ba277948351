"""Kills commands at random moments until they have to end, and compares what they leave with an uninterrupted run.

python benchmarks/robustness/kills.py --out FOLDER --kills 200
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from benchmarks.robustness.killed import QUIET, Killed, cluster_in, commands, server_in
from commands.files import PROJECT
from commands.options import positive
from commands.running import run

# What holds the time by its nature: folders, and the entry of a config.json that says how long a training took.
_TIMED = ("tensorboard", "scratch")
_DURATION = re.compile(rb'"seconds": [\d.]+')


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
    with server_in(options.out) as address, cluster_in(options.out) as cluster:
        known = commands(address, cluster)
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
    words, began = killed.command(place / "case"), time.monotonic()
    subprocess.run(words, check=True, env=_environment(place), **QUIET)  # type: ignore[call-overload]
    seconds = time.monotonic() - began
    whole = _contents(place / "case")
    _copy(place / "start", place / "case")
    done, differing = 0, set[str]()
    while done < kills:
        running = subprocess.Popen(killed.command(place / "case"), env=_environment(place), **QUIET)  # type: ignore[call-overload]
        try:
            running.wait(timeout=chance.uniform(0.05, 1.1) * seconds)
        except subprocess.TimeoutExpired:
            os.kill(chance.choice(killed.workers()) if killed.workers else running.pid, signal.SIGKILL)
            done += 1
            if running.wait() < 0:
                continue
        # It was done before it was killed, or outlived its worker.
        differing |= _differing(whole, place / "case")
        _copy(place / "start", place / "case")
    subprocess.run(killed.command(place / "case"), check=True, env=_environment(place), **QUIET)  # type: ignore[call-overload]
    differing |= _differing(whole, place / "case")
    left = [str(path) for folder in ("case", "scratch") for path in _unfinished(place / folder)]
    return Found(name, done, sorted(differing), left, round(seconds, 1))


def _differing(whole: Mapping[str, bytes], folder: Path) -> set[str]:
    found = _contents(folder)
    return {path for path in whole.keys() | found.keys() if whole.get(path) != found.get(path)}


def _environment(place: Path) -> dict[str, str]:
    scratch = place / "scratch"
    scratch.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": ""}


def _copy(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)


def _contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and not set(path.parts) & set(_TIMED)]
    return {
        str(path.relative_to(folder)): _DURATION.sub(b"", path.read_bytes()) for path in paths if path.name != "events"
    }


def _unfinished(folder: Path) -> Iterator[Path]:
    yield from folder.rglob(".incomplete.*")
    yield from folder.rglob("two-stream-*")


def _print(results: Sequence[Found]) -> None:
    for found in results:
        same = "the same bytes" if not found.differing else f"{len(found.differing)} files differ"
        left = "nothing left behind" if not found.left else f"{len(found.left)} left behind"
        print(f"{found.command:16} {found.kills:4} kills  {same}, {left}  ({found.seconds:.1f} s whole)", flush=True)


if __name__ == "__main__":
    run(main)
