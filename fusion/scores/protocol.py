"""How videos of a data set are scored, and where their models and scores are kept."""

from dataclasses import dataclass, field
from pathlib import Path

from data.catalog import DataSet
from streams.runs.run_folder import Run


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How videos are scored, and where models and scores are kept."""

    runs: Path
    views: int = 25
    crops: str = "10"
    precision: str = "float32"
    layer: str = ""  # What is kept of each view instead of its logits, "features" for instance.
    rescore: bool = False
    models: dict[str, Path] = field(default_factory=dict)  # Files that stand in for the model of a run.

    def __post_init__(self) -> None:
        """Refuses to score videos by none of their views."""
        if self.views < 1:
            raise ValueError(f"A video is scored by at least 1 view. Received views={self.views}.")

    def model(self, dataset: DataSet, split: int, stream: str) -> Path:
        """Returns where the model of a stream lies, or should."""
        return self.models.get(stream, Run.of(self.runs, dataset.name, stream, split).model)

    def __str__(self) -> str:
        """Returns what tells protocols apart, as `25x10`."""
        marks = [self.precision if self.precision != "float32" else "", self.layer]
        return "-".join([f"{self.views}x{self.crops}", *(mark for mark in marks if mark)])
