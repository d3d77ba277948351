"""Finds the machines of a training in the environment that a scheduler gives to each of its processes.

Slurm names the nodes of a job in a short form, `node[01-03,7]`; Kubernetes gives an indexed job the number of each pod,
whose names follow from that of the job (https://slurm.schedmd.com/srun.html,
https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode).
"""

import re
from collections.abc import Iterator, Mapping

AUTO = "auto"
# Jobs of one node at a time differ in the last digits of their numbers, and so in their port.
_FIRST_PORT, _PORTS = 20_000, 10_000
_KUBERNETES_PORT = 2222


def place_of(environment: Mapping[str, str]) -> tuple[str, int]:
    """Returns the machines among which Slurm or Kubernetes has started this process, and which of them it is."""
    for scheduler in (_slurm, _job_set):
        if found := scheduler(environment):
            return found
    raise ValueError(
        "--hosts auto reads the environment of Slurm (SLURM_PROCID, SLURM_JOB_NODELIST) or of a Kubernetes JobSet "
        "(JOB_COMPLETION_INDEX, TWO_STREAM_HOSTS), and there is neither. Start the command by srun or as in "
        "deploy/kubernetes/train.yaml, or pass --hosts a:port,b:port and --host-index."
    )


def _slurm(environment: Mapping[str, str]) -> tuple[str, int] | None:
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST")
    if not nodes or "SLURM_PROCID" not in environment:
        return None
    names = list(expanded(nodes))
    tasks = _number(environment, "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS")
    if tasks != len(names):
        raise ValueError(
            f"Slurm has started {tasks} tasks on {len(names)} nodes ({nodes}). A training has one a node, which uses "
            "all of its GPUs: pass --ntasks-per-node=1 to srun."
        )
    port = _FIRST_PORT + _number(environment, "SLURM_JOB_ID") % _PORTS
    return (",".join(f"{name}:{port}" for name in names), _number(environment, "SLURM_PROCID"))


def _job_set(environment: Mapping[str, str]) -> tuple[str, int] | None:
    if "JOB_COMPLETION_INDEX" not in environment or "TWO_STREAM_HOSTS" not in environment:
        return None
    # As {index} stands for the number of each pod in the pattern, it is written once for all of them.
    pattern, _, count = environment["TWO_STREAM_HOSTS"].rpartition("*")
    if "{index}" not in pattern or not count.strip().isdecimal():
        raise ValueError(
            f"TWO_STREAM_HOSTS is {environment['TWO_STREAM_HOSTS']!r}. Expected a pattern with {{index}}, an asterisk "
            "and the number of pods, like train-workers-0-{index}.train*4."
        )
    names = (pattern.strip().replace("{index}", str(index)) for index in range(int(count)))
    hosts = ",".join(name if re.search(r":\d+$", name) else f"{name}:{_KUBERNETES_PORT}" for name in names)
    return (hosts, _number(environment, "JOB_COMPLETION_INDEX"))


def expanded(nodes: str) -> Iterator[str]:
    """Yields the names in Slurm's short form: `a[01-03,7],b` are a01, a02, a03, a7 and b."""
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", nodes):
        found = re.search(r"\[([^\]]*)\]", part)
        if not found:
            yield part
            continue
        for numbers in found[1].split(","):
            first, _, last = numbers.partition("-")
            if not first.isdecimal() or not (last or first).isdecimal():
                raise ValueError(f"Slurm's list of nodes can't be read: {nodes!r}.")
            for number in range(int(first), int(last or first) + 1):
                # What follows may have numbers in brackets, too.
                yield from expanded(f"{part[: found.start()]}{number:0{len(first)}d}{part[found.end() :]}")


def _number(environment: Mapping[str, str], name: str) -> int:
    word = environment.get(name, "")
    if not word.isdecimal():
        raise ValueError(
            f"The environment has {name}={word!r}; expected a whole number, as Slurm and Kubernetes set it."
        )
    return int(word)
