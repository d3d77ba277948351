"""What a run leaves behind, by name."""

from dataclasses import dataclass
from pathlib import Path


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
