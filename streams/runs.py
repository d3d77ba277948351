"""What a run leaves behind, by name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.config import TrainConfig


@dataclass(frozen=True)
class Run:
    """The folder of one training: `<runs>/<data set>/<stream>/split<N>`."""

    folder: Path

    @classmethod
    def of(cls, runs: Path, data_set: str, stream: str, split: int) -> "Run":
        """Returns the run of a stream on a split."""
        return cls(runs / data_set / stream / f"split{split}")

    @property
    def model(self) -> Path:
        """The selected weights, with all that is needed to use them."""
        return self.folder / "model.keras"

    @property
    def config(self) -> Path:
        """Every option, and what else decided the result."""
        return self.folder / "config.json"

    @property
    def history(self) -> Path:
        """One row an epoch."""
        return self.folder / "history.csv"

    def scores(self, part: str, protocol: str) -> Path:
        """The scores of the model on a part of its split."""
        return self.folder / "scores" / f"{part}_{protocol}.h5"


def is_finished(config: TrainConfig, run: Run) -> bool:
    """Tells whether this very training is done; raises where another one lies in its place."""
    if config.again or not run.model.exists():
        return False
    found = json.loads(run.config.read_text())["options"]
    for name, value in config.identity().items():
        if found.get(name) != value:
            raise ValueError(
                f"{run.folder} holds a finished run with {name} = {found.get(name)!r}, not {value!r}. "
                "Pass --again to replace it, or --runs DIR to keep both."
            )
    return True


def say_result(run: Run) -> dict[str, Any]:
    """Prints what a finished run reached, and returns it."""
    result: dict[str, Any] = json.loads(run.config.read_text())["result"]
    print(
        f"Best epoch {result['epoch']}: validation loss {result['val_loss']:.3f}, "
        f"frame accuracy {result['val_accuracy']:.1%}. Saved {run.model}"
    )
    return {"model": str(run.model), **result}
