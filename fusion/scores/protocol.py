"""The protocol of scoring videos (views and crops), and the paths of models and score files."""

from dataclasses import dataclass, field
from pathlib import Path

from data.catalog import DataSet
from streams.runs.model_file import ModelCard
from streams.runs.run_folder import Run

# Changed orders of frames. A network that uses motion should recognise them less well than the real order.
ORDERS = ("frozen", "shuffled", "reversed")


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """The protocol of scoring, and the places of models and scores."""

    runs: Path
    views: int = 25
    crops: str = "10"
    sampling: str = "ends"  # One of pipelines.inputs.SAMPLINGS.
    precision: str = "float32"
    layer: str = ""  # A layer such as "features", whose output is saved instead of logits.
    order: str = ""  # One of ORDERS to change the order of frames and fields. Empty keeps the order of the videos.
    rescore: bool = False
    devices: int | None = None  # The devices of this machine that score. None means all GPUs, or one processor.
    cluster: str = ""  # The address of a Dask scheduler whose workers score.
    tls: Path | None = None  # The folder of the scheduler's certificate and key.
    shard: tuple[int, int] = (1, 1)  # The part of each list to score, from 1, and the number of parts.
    merge: bool = False  # Whether the score files of parts are merged.
    models: dict[str, Path] = field(default_factory=dict)  # By stream: model files to use instead of those of the runs.

    def __post_init__(self) -> None:
        """Raises ValueError if there would be no view to score."""
        if self.views < 1:
            raise ValueError(f"Scoring a video needs at least 1 view. Received views={self.views}.")

    def model(self, dataset: DataSet, split: int, stream: str) -> Path:
        """Returns the path of the model of a stream, even if it does not exist."""
        return self.models.get(stream, Run.of(self.runs, dataset.name, stream, split).model)

    def __str__(self) -> str:
        """Returns the protocol as text for file names, like `25x10`."""
        sampling = self.sampling if self.sampling != "ends" else ""
        marks = [sampling, self.precision if self.precision != "float32" else "", self.layer, self.order]
        return "-".join([f"{self.views}x{self.crops}", *(mark for mark in marks if mark)])


def in_words(protocol: str, card: ModelCard) -> str:
    """Describes the views that a model scores: their number and crops, or whole clips and whole frames."""
    marks = protocol.split("-")
    views, _, crops = marks[0].partition("x")
    where = " at the middles of equal parts" if "middles" in marks else ""
    seen = (
        "the whole clip at once"
        if all(part.input_kind.endswith(("_spread", "_stacks")) for part in card.parts.values())
        else f"{views} views{where}"
    )
    cut = "whole frames" if card.shown == "whole" or crops == "full" else f"{crops} crop{'s' if crops != '1' else ''}"
    return f"{seen}, {cut}"
