"""Estimates from the first videos how much disk space a data set will need."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from data.extraction.one_video import Job
from data.store.description import INDEX
from data.store.index import Row

# Disks usually store files in blocks of 4 KiB, so each file wastes half a block on average.
WASTE_A_FILE = 2048
AT_MOST = 8  # Videos to estimate from, or half of all if that is fewer.


class Space:
    """Estimates from the first videos how much disk space all of them will need."""

    def __init__(self, jobs: Sequence[Job], root: Path, free: int | None = None) -> None:
        self.free = shutil.disk_usage(root).free if free is None else free
        self.size_of = {job.name: _size(job.source) for job in jobs}
        self.to_read, self.read, self.written, self.videos = sum(self.size_of.values()), 0, 0, 0

    def counts(self, job: Job, row: Row) -> bool:
        """Counts one more video; returns true exactly once, when there are enough for an estimate."""
        enough = min(AT_MOST, len(self.size_of) // 2)
        self.videos += 1
        if self.videos > enough:
            return False
        self.read += self.size_of[job.name]
        is_one = job.packed or job.recipe.only == INDEX
        self.written += row.bytes + WASTE_A_FILE * (1 if is_one else row.frames + 2 * row.flows)
        return self.videos == enough

    def estimate(self) -> str:
        """Returns a sentence with the space needed; raises OSError if that is more than the disk has free."""
        needed = int(self.written / max(1, self.read) * self.to_read)
        text = f"{len(self.size_of):,} videos will take about {_gigabytes(needed)}; {_gigabytes(self.free)} are free."
        if needed > self.free:
            raise OSError(f"{text} Make room, choose a smaller --short-side, or skip this check with --no-space-check.")
        return text


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path else 0
    except OSError:
        return 0


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
