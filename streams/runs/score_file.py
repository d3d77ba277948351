"""Reads and writes score files: the logits of a stream for each video, and what must agree for fusion."""

import struct
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from commands.files import replacing
from commands.text import is_printable

# The layer whose output may be stored in place of logits; it is a part of the protocol then.
FEATURES = "features"
_TEXT = ("stream", "data_set", "part", "protocol", "model_hash", "data_hash", "selection")

# The first bytes of HDF5's "global heap collection", which stores texts of any length. It has only one version.
_HEAP = b"GCOL\x01\0\0\0"
# The content may be at most this many times larger than the file. Files of ours are not compressed at all.
_MOST_PACKED = 100


@dataclass(frozen=True)
class Scores:
    """The logits of one stream for the videos of one part of a split."""

    stream: str
    data_set: str
    split: int
    part: str  # "test", "validation" or "train".
    protocol: str  # Views x crops, for instance "25x10".
    model_hash: str
    data_hash: str  # Changes with the videos and with the preparation of their flow.
    selection: str  # How the model's weights were selected.
    classes: tuple[str, ...]
    videos: tuple[str, ...]
    labels: np.ndarray  # int[V]; or zeros and ones uint8[V, C] if videos may have several labels.
    view_logits: np.ndarray  # float32[V, views, C], averaged over the crops of each view.

    def has_origin_of(self, other: "Scores") -> bool:
        """Tells whether both are of the same model, data and protocol, so that one may stand for the other."""
        return all(getattr(self, name) == getattr(other, name) for name in (*_TEXT, "split", "classes"))

    @property
    def of_features(self) -> bool:
        """Tells whether these are features of a layer in place of logits, whose number is not that of classes."""
        return FEATURES in self.protocol.split("-")

    @property
    def logits(self) -> np.ndarray:
        """The logits of each video, averaged over its views."""
        mean: np.ndarray = self.view_logits.mean(axis=1)
        return mean


def write_scores(path: Path, scores: Scores) -> None:
    """Writes a score file, completely or not at all."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name in (*_TEXT, "split"):
            file.attrs[name] = getattr(scores, name)
        file["classes"] = np.array(scores.classes, dtype=h5py.string_dtype())
        file["videos"] = np.array(scores.videos, dtype=h5py.string_dtype())
        file["labels"] = scores.labels
        file["logits"] = scores.logits
        file["view_logits"] = scores.view_logits


def read_scores(path: Path) -> Scores:
    """Reads a score file. Refuses one that refers to other files, or whose parts don't fit together."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no score file {path}.")
    try:
        _check_heaps(path.read_bytes())
        with h5py.File(path) as file:
            return _checked(
                Scores(
                    **{name: str(file.attrs.get(name, "")) for name in _TEXT},
                    split=int(file.attrs["split"]),
                    classes=tuple(_own(file, "classes", path).asstr()[()]),
                    videos=tuple(_own(file, "videos", path).asstr()[()]),
                    labels=_own(file, "labels", path)[()],
                    view_logits=_own(file, "view_logits", path)[()],
                )
            )
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, OverflowError, struct.error) as error:
        raise ValueError(f"{path} is no score file, or a damaged one: {error}. Delete it; it is made again.") from error


def _check_heaps(content: bytes) -> None:
    """Raises ValueError if the stored texts in a file are damaged: HDF5 itself would loop for ever."""
    place = content.find(_HEAP)
    while place >= 0:
        (size,) = struct.unpack_from("<Q", content, place + 8)
        end, at = place + size, place + 16
        if end > len(content):
            raise ValueError("its texts are damaged")
        while at + 16 <= end:  # Each entry has a number (or none, for the remaining space) and its size.
            number, length = struct.unpack_from("<H6xQ", content, at)
            at += 16 + (length + 7) // 8 * 8 if number else length
            if at > end or (not number and length < 16):
                raise ValueError("its texts are damaged")
        place = content.find(_HEAP, place + 4)


def _own(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """Returns a data set whose content is in this file: HDF5 can refer to other files, and grow when unpacked."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise ValueError(f"its {name} is a link, or not an array")
    found = file[name]
    if found.is_virtual or found.external:
        raise ValueError(f"its {name} is in another file")
    if found.nbytes > _MOST_PACKED * path.stat().st_size:
        raise ValueError(f"its {name} would take {found.nbytes:,} bytes, far more than the file has")
    return found


def _checked(scores: Scores) -> Scores:
    logits, labels = scores.view_logits, scores.labels
    width = logits.shape[-1:] if scores.of_features else (len(scores.classes),)
    if logits.dtype.kind != "f" or logits.ndim != 3 or logits.shape[::2] != (len(scores.videos), *width):
        raise ValueError(f"its logits are {logits.dtype}{list(logits.shape)}, instead of one row per video and class")
    if labels.dtype.kind not in "iu" or labels.ndim not in (1, 2) or len(labels) != len(scores.videos):
        raise ValueError(f"its labels are {labels.dtype}{list(labels.shape)}, instead of one per video")
    highest = 1 if labels.ndim == 2 else len(scores.classes) - 1
    if labels.size and not (labels.min() >= 0 and labels.max() <= highest):
        raise ValueError("its labels name classes that it does not have")
    if not all(is_printable(name, keep="\n") for name in (*scores.videos, *scores.classes, scores.stream)):
        raise ValueError("its names contain control characters")
    return scores
