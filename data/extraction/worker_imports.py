"""What a cluster is told before it can import this project; sent to it as code, so it stands alone."""

import sys

from distributed import WorkerPlugin


def import_from(folder: str) -> None:
    """Lets this process import from a folder that all machines see at the same place."""
    if folder not in sys.path:
        sys.path.insert(0, folder)


class ImportFrom(WorkerPlugin):
    """Does so in each worker as it joins."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def setup(self, worker: object) -> None:
        """Runs in the worker."""
        import_from(self.folder)
