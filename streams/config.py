"""The options of a training, for either stream: every field is on the command line and saved beside the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.options import as_dictionary, option
from commands.running import RUNS
from streams.network_options import NetworkOptions

# Where a run lies, how it is started and what is looked at along the way: these decide nothing of the result.
_INCIDENTAL = ("root", "runs", "again", "json")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(NetworkOptions):
    """Everything that decides a training, for either stream."""

    dataset: str = option("shapes", "the data set's name", metavar="NAME")
    root: Path | None = option(None, "its folder, instead of datasets/<data set>", metavar="DIR")
    split: int = option(1, "which of its splits to train on", metavar="N")
    validation: float = option(0.1, "share of the training list to choose the best epoch by", metavar="SHARE")
    backbone: str = option("small", "the network before the class scores")
    crop_size: int = option(64, "side of the square that the network sees", metavar="PIXELS")
    dropout: float = option(0.5, "share of features left out before the class scores", metavar="SHARE")
    epochs: int = option(40, "passes over the training list, one random clip a video each", metavar="N")
    batch_size: int = option(32, "clips in a step, over all devices", metavar="N")
    learning_rate: float = option(2e-3, "at its highest; it falls to zero along a cosine", metavar="RATE")
    seed: int = option(0, "decides all that is random", metavar="N")
    runs: Path = option(RUNS, "where runs are kept", metavar="DIR")
    again: bool = option(False, "train anew where another run lies")
    json: Path | None = option(None, "write what came out here too", metavar="FILE")

    def identity(self) -> dict[str, Any]:
        """Returns the options that decide the result: not where it is written, nor how it is started."""
        return {name: value for name, value in as_dictionary(self).items() if name not in _INCIDENTAL}
