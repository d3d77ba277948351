"""What a data set will take on the disk, foreseen from its first videos."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from data.extraction.one_video import Job
from data.store.index import Row

# Files are stored in blocks of 4 KiB as a rule, so each takes half of one more than it has bytes.
WASTE_A_FILE = 2048
AT_MOST = 8  # Videos to estimate from; half of all where they are few.


class Space:
    """Foresees from the first videos what all will take on the disk."""

    def __init__(self, jobs: Sequence[Job], root: Path, free: int | None = None) -> None:
        self.free = shutil.disk_usage(root).free if free is None else free
        self.size_of = {job.name: _size(job.source) for job in jobs}
        self.to_read, self.read, self.written, self.videos = sum(self.size_of.values()), 0, 0, 0

    def counts(self, job: Job, row: Row) -> bool:
        """Counts one more video, and tells whether it is now that the estimate is good enough to be said."""
        enough = min(AT_MOST, len(self.size_of) // 2)
        self.videos += 1
        if self.videos > enough:
            return False
        self.read += self.size_of[job.name]
        self.written += row.bytes + WASTE_A_FILE * (1 if job.packed else row.frames + 2 * row.flows)
        return self.videos == enough

    def estimate(self) -> str:
        """Returns how much will be needed; raises where that is more than there is."""
        needed = int(self.written / max(1, self.read) * self.to_read)
        text = f"{len(self.size_of):,} videos will take about {_gigabytes(needed)}; {_gigabytes(self.free)} are free."
        if needed > self.free:
            raise OSError(f"{text} Make room, choose a smaller --short-side, or go on with --no-space-check.")
        return text


def _size(path: Path | None) -> int:
    try:
        return path.stat().st_size if path else 0
    except OSError:
        return 0


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"
