"""Lets a training go on after one of its machines has died.

TensorFlow can't change its machines while it runs. So those that are left meet in the run folder, which all of them
see, wait for the one that is missing, and start again from the last checkpoint with whoever is there: with all of them
if it has come back, without it if not.
"""

import contextlib
import json
import os
import re
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from commands.files import locked, read_text, write_text
from commands.remote import mirror_of
from commands.schema import parsed
from streams.config import TrainConfig
from streams.hosts.members import MEMBERS, Members, members_of

# Seconds from one sign of life to the next, and those after which a machine without one is not there.
_BEAT, _SILENCE = 1.0, 10.0
_DECIDED = "decided.json"


class GoneError(RuntimeError):
    """Another machine of a training has stopped answering."""


@contextlib.contextmanager
def rejoining(config: TrainConfig, folder: Path) -> Iterator[None]:
    """Starts this command again, with the machines that are left, when another one has died inside the block."""
    members = members_of(config)
    if members is None or len(members.all) < 2:
        raise ValueError("--rejoin-seconds is for a training on several machines: pass --hosts with it.")
    place = folder / "meeting"
    if mirror_of(place):
        raise ValueError(
            "With --rejoin-seconds, machines meet in the run folder, which all must see as it is now, and a bucket's "
            f"copy in {folder} is no such folder. Name a shared folder by --runs, or leave --rejoin-seconds out: the "
            "same commands go on together from the last checkpoint."
        )
    if MEMBERS not in os.environ:
        members = _come_back(config, place, members)
    try:
        yield
    except GoneError as error:
        print(f"{error} Waiting {config.rejoin_seconds:g} seconds for it to come back.", flush=True)
        _start_again(config, place, members)


def _come_back(config: TrainConfig, place: Path, members: Members) -> Members:
    """Joins machines that are waiting for this one; refuses to disturb a training that goes on without it."""
    numbers = [int(path.name) for path in place.glob("*") if path.name.isdecimal()]
    latest = max(numbers, default=0)
    waiting = place / str(latest)
    if latest and not (waiting / _DECIDED).exists() and _present(waiting):
        print("The other machines of this training are waiting for this one.", flush=True)
        _start_again(config, place, replace(members, meeting=latest - 1))
    if latest:
        try:
            with locked(place.parent):
                pass
        except RuntimeError:
            raise RuntimeError(
                f"The other machines went on with the training in {place.parent} without this one. It can come back "
                "when they are started again."
            ) from None
    return replace(members, meeting=latest)


def _start_again(config: TrainConfig, place: Path, members: Members) -> None:
    """Meets the other machines, and replaces this process by one that goes on with them."""
    number = members.meeting + 1
    hosts = meet(place / str(number), members, config.rejoin_seconds)
    if config.batch_size % len(hosts):
        raise ValueError(
            f"{len(hosts)} of {len(members.all)} machines are left, and a batch of {config.batch_size} can't be shared "
            "by them. Start all of them again; the same command goes on from the last checkpoint."
        )
    print(f"Going on with {len(hosts)} of {len(members.all)} machines: {', '.join(hosts)}.", flush=True)
    following = Members(hosts, hosts.index(members.own), members.all, number)
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**environment, MEMBERS: following.kept()})


def meet(place: Path, members: Members, seconds: float) -> tuple[str, ...]:
    """Returns the machines that go on, the same on each of them: all at once, or those there after so many seconds."""
    place.mkdir(parents=True, exist_ok=True)
    own, decided, began = place / _name(members.own), place / _DECIDED, time.monotonic()
    while not decided.exists():
        write_text(own, members.own)
        present = _present(place)
        there = [host for host in members.all if host in present]
        is_over = len(there) == len(members.all) or time.monotonic() - began >= seconds
        if is_over and there and there[0] == members.own:
            _decide(decided, there)
        elif time.monotonic() - began >= seconds + 6 * _SILENCE:
            raise RuntimeError("The other machines don't come to a decision. Start all of them again.")
        time.sleep(_BEAT)
    hosts = tuple(parsed(read_text(decided), list[str]))
    if members.own not in hosts:
        raise RuntimeError("The other machines went on without this one, which was too late.")
    return hosts


def _decide(decided: Path, hosts: list[str]) -> None:
    """Writes down who goes on, unless another machine has done so."""
    draft = decided.with_name(f"draft-{uuid.uuid4().hex}")
    write_text(draft, json.dumps(hosts))
    with contextlib.suppress(FileExistsError):  # A link is made by one machine only, on shared storage too.
        os.link(draft, decided)
    draft.unlink()


def _present(place: Path) -> set[str]:
    """Returns the machines that have given a sign of life lately, by the clock of the storage that they share."""
    found = [path for path in place.glob("*.host") if path.is_file()]
    times = {path: path.stat().st_mtime for path in found}
    own = place / f"now-{uuid.uuid4().hex}"
    own.touch()
    now = own.stat().st_mtime
    own.unlink()
    return {read_text(path) for path in found if now - times[path] < _SILENCE}


def _name(host: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9.]', '_', host)}.host"
