"""Says which machines take part in a training, and which of them this one is."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from commands.schema import parsed
from streams.config import TrainConfig
from streams.hosts.schedulers import AUTO, place_of

# Set for the process that goes on after a machine has died; see rejoining.py.
MEMBERS = "TWO_STREAM_MEMBERS"


@dataclass(frozen=True)
class Members:
    """The machines of a training, as `a:port`, in order."""

    hosts: tuple[str, ...]
    index: int  # Which of them this one is.
    all: tuple[str, ...]  # Those that the training was started with.
    meeting: int = 0  # How often they have met since, because one had died.

    @property
    def own(self) -> str:
        """The address of this machine."""
        return self.hosts[self.index]

    def kept(self) -> str:
        """Returns a text for the environment of the process that goes on."""
        return json.dumps(asdict(self))


def members_of(config: TrainConfig) -> Members | None:
    """Returns the machines that the command line, a scheduler or an earlier process names; None for one alone.

    TensorFlow reads TF_CONFIG itself, so that its machines are not looked at here.
    """
    if MEMBERS in os.environ:
        return parsed(os.environ[MEMBERS], Members)
    if not config.hosts:
        return None
    hosts, index = place_of(os.environ) if config.hosts == AUTO else (config.hosts, config.host_index)
    named = [host.strip() for host in hosts.split(",")]
    if not 0 <= index < len(named) or not all(_has_port(host) for host in named):
        raise ValueError(
            f"--hosts {hosts} --host-index {index}: hosts must be address:port, separated by commas, and the index "
            f"is 0 to {len(named) - 1}."
        )
    return Members(tuple(named), index, tuple(named))


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdigit()


def described(hosts: Sequence[str], index: int) -> str:
    """Returns what TensorFlow reads in TF_CONFIG."""
    return json.dumps({"cluster": {"worker": list(hosts)}, "task": {"type": "worker", "index": index}})
