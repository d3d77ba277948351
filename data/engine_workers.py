"""What a cluster's workers are told before they can import this project; sent to them as code, so it stands alone."""

import sys
from typing import Any

from distributed import WorkerPlugin


class ImportFrom(WorkerPlugin):
    """Lets a worker import from a folder that all machines see at the same place."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def setup(self, worker: Any) -> None:
        """Runs in each worker as it joins."""
        if self.folder not in sys.path:
            sys.path.insert(0, self.folder)
