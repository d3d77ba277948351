"""The options of both streams as one network, and what its streams start from and say of themselves."""

from dataclasses import dataclass

from commands.options import option
from data.catalog import DataSet
from pipelines.inputs import FLOW_KINDS, Input
from streams.config import FUSIONS, TrainConfig
from streams.runs.model_file import ModelCard, card_of, lessons_in
from streams.runs.run_folder import Run

FRESH = "fresh"
STREAMS = ("spatial", "temporal")


@dataclass(frozen=True, kw_only=True)
class JointConfig(TrainConfig):
    """What decides the training of both streams as one network."""

    fusion: str = option("conv", "how the streams are joined: their scores, features or last maps", choices=FUSIONS)
    spatial: str = option("", "a saved stream to start from, instead of the one trained here; or fresh", metavar="FILE")
    temporal: str = option("", "the same for flow", metavar="FILE")
    spatial_weight: float = option(0.5, "of the spatial stream's probabilities in weighted", metavar="SHARE")
    input: str = option("flow", "the kind of flow beside the frame", choices=FLOW_KINDS)
    length: int = option(10, "flow fields in a clip, L in the paper", metavar="L")

    def __post_init__(self) -> None:
        """Refuses what pairs cannot have."""
        super().__post_init__()
        if self.skip_broken:
            raise ValueError("--skip-broken would pair frames of one video with flow of another. Drop it.")
        if self.first_layer_rate != 1:
            raise ValueError("--first-layer-rate is of one stream, and two have two first layers. Drop it.")
        if not 0 <= self.spatial_weight <= 1:
            raise ValueError(f"--spatial-weight is {self.spatial_weight}; it must be from 0 to 1.")

    @property
    def can_cut_on_device(self) -> bool:
        """Tells whether batches are of one pipeline, which pairs are not."""
        return False


def cards_of(config: JointConfig, dataset: DataSet, clips: tuple[Input, Input]) -> tuple[ModelCard, ModelCard]:
    """Returns what either stream says of itself, with what it has learnt from before."""
    spatial, temporal = (
        card_of(stream, config, dataset, clip).having_learnt(lessons_in(source_of(config, stream)))
        for stream, clip in zip(STREAMS, clips, strict=True)
    )
    return spatial, temporal


def source_of(config: JointConfig, stream: str) -> str:
    """Returns what a stream starts from: an earlier network of both, a file, or fresh."""
    if config.weights.endswith(".keras"):
        return config.weights
    named = config.spatial if stream == "spatial" else config.temporal
    return named or str(Run.of(config.runs, config.dataset, stream, config.split).model)
