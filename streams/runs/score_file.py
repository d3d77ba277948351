"""The score file: a stream's logits for each video, and what two files must have in common to be fused."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from commands.files import replacing

_TEXT = ("stream", "data_set", "part", "protocol", "model_hash", "data_hash", "selection")


@dataclass(frozen=True)
class Scores:
    """The logits of one stream for the videos of one part of a split."""

    stream: str
    data_set: str
    split: int
    part: str  # "test", "validation" or "train".
    protocol: str  # Views x crops, as "25x10".
    model_hash: str
    data_hash: str  # Changes with the videos and with how their flow was made.
    selection: str  # How the model's weights were chosen.
    classes: tuple[str, ...]
    videos: tuple[str, ...]
    labels: np.ndarray  # int[V], or uint8[V, C] of zeros and ones where videos have several labels.
    view_logits: np.ndarray  # float32[V, views, C], averaged over the crops of a view.

    @property
    def logits(self) -> np.ndarray:
        """A video's logits: the mean over its views."""
        mean: np.ndarray = self.view_logits.mean(axis=1)
        return mean


def write_scores(path: Path, scores: Scores) -> None:
    """Writes a score file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name in (*_TEXT, "split"):
            file.attrs[name] = getattr(scores, name)
        file["classes"] = np.array(scores.classes, dtype=h5py.string_dtype())
        file["videos"] = np.array(scores.videos, dtype=h5py.string_dtype())
        file["labels"] = scores.labels
        file["logits"] = scores.logits
        file["view_logits"] = scores.view_logits


def read_scores(path: Path) -> Scores:
    """Reads a score file."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no score file {path}.")
    try:
        with h5py.File(path) as file:
            return Scores(
                **{name: str(file.attrs.get(name, "")) for name in _TEXT},
                split=int(file.attrs["split"]),
                classes=tuple(file["classes"].asstr()[()]),
                videos=tuple(file["videos"].asstr()[()]),
                labels=file["labels"][()],
                view_logits=file["view_logits"][()],
            )
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is no score file, or a damaged one: {error}. Delete it; it is made again.") from error
