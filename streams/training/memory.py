"""How much memory this process has had, and can still have: of the machine, of its control group, of its own limit."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

try:
    import resource
except ImportError:  # Windows has no such limits.
    resource = None  # type: ignore[assignment]


def free_memory() -> float | None:
    """Returns the bytes that this process can still have; None on GPUs, which do not tell."""
    if tf.config.list_physical_devices("GPU"):
        return None
    return min([*_of_machine(), *of_groups(), *_of_process()], default=None)


def peak_memory() -> dict[str, float]:
    """Returns what was held at most, in gigabytes: by the process, and by the fullest GPU where there is one."""
    found = {}
    if resource:
        unit = 1 if sys.platform == "darwin" else 1024
        found["process_gigabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    gpus = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")]
    if gpus:
        found["GPU_gigabytes"] = max(tf.config.experimental.get_memory_info(gpu)["peak"] for gpu in gpus) / 2**30
    return found


def of_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """Yields what each control group around this process leaves, as containers and schedulers set them."""
    for line in own.read_text().splitlines() if own.exists() else ():
        _, kinds, place = line.split(":", 2)
        if kinds == "":
            base, limit, used = root, "memory.max", "memory.current"
        elif "memory" in kinds.split(","):
            base, limit, used = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        folder = base / place.lstrip("/")
        for group in (folder, *folder.parents[: len(folder.parts) - len(base.parts)]):
            with contextlib.suppress(OSError, ValueError):  # No limit is no number, or no file.
                size = int((group / limit).read_text())
                yield float(max(0, size - int((group / used).read_text()) + _files_in_memory(group)))


def _files_in_memory(group: Path) -> int:
    """Returns how much of a group's memory holds files, which is given up when it is needed."""
    counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return sum(int(counts.get(name, 0)) for name in ("active_file", "inactive_file"))


def _of_machine() -> Iterator[float]:
    path = Path("/proc/meminfo")
    if path.exists():
        sizes = dict(line.split(":", 1) for line in path.read_text().splitlines())
        if "MemAvailable" in sizes:
            yield 1024.0 * int(sizes["MemAvailable"].split()[0])
    else:
        with contextlib.suppress(ValueError, OSError, AttributeError):  # macOS and Windows do not tell.
            yield float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _of_process() -> Iterator[float]:
    path = Path("/proc/self/statm")
    if resource is None or not path.exists():
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield float(max(0, limit - int(path.read_text().split()[0]) * resource.getpagesize()))
