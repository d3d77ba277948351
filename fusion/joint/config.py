"""The options for training both streams as one network, and the models from which the streams start."""

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
    """The options for training both streams as one network."""

    fusion: str = option("conv", "how the streams are joined: their scores, features or last maps", choices=FUSIONS)
    fuse_at: tuple[str, ...] = option(
        (),
        "layer at which --fusion conv joins the maps, such as conv4; it must exist in both streams; can be repeated",
        repeat=True,
        metavar="PLACE",
    )
    spatial: str = option(
        "", "saved spatial model to start from, or fresh (default: that of this split)", metavar="FILE"
    )
    temporal: str = option("", "the same for the temporal model", metavar="FILE")
    spatial_weight: float = option(0.5, "weight of the spatial stream in --fusion weighted", metavar="SHARE")
    input: str = option("flow", "kind of flow input beside the frame", choices=FLOW_KINDS)
    length: int = option(10, "flow fields in a clip, L in the paper", metavar="N")

    def __post_init__(self) -> None:
        """Raises ValueError for options that don't suit pairs of a frame and flow."""
        super().__post_init__()
        if self.skip_broken:
            raise ValueError("--skip-broken would pair frames of one video with flow of another. Drop it.")
        if self.first_layer_rate != 1:
            raise ValueError("--first-layer-rate is for one stream, but this network has two first layers. Drop it.")
        if self.fuse_at and self.fusion != "conv":
            raise ValueError(f"--fuse-at is for --fusion conv, which joins maps. Received --fusion {self.fusion}.")
        if not 0 <= self.spatial_weight <= 1:
            raise ValueError(f"--spatial-weight is {self.spatial_weight}; it must be from 0 to 1.")

    @property
    def can_cut_on_device(self) -> bool:
        """False, because pairs come from two pipelines."""
        return False


def cards_of(config: JointConfig, dataset: DataSet, clips: tuple[Input, Input]) -> tuple[ModelCard, ModelCard]:
    """Returns the model card of each stream, including the training data of the weights that it starts from."""
    spatial, temporal = (
        card_of(stream, config, dataset, clip).having_learnt(lessons_in(source_of(config, stream)))
        for stream, clip in zip(STREAMS, clips, strict=True)
    )
    return spatial, temporal


def source_of(config: JointConfig, stream: str) -> str:
    """Returns the file from which a stream starts (its own or an earlier network of both), or "fresh"."""
    if config.weights.endswith(".keras"):
        return config.weights
    named = config.spatial if stream == "spatial" else config.temporal
    return named or str(Run.of(config.runs, config.dataset, stream, config.split).model)
