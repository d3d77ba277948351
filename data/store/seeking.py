"""Stores the places of the frames of one video in its file, so that some can be decoded without all the others."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.store.one_video import COUNTS, Counts

# The file that lies beside the counts of a video, in the folder where its frames would be.
SEEKING = "seeking.bin"
_NAMES = ("codec", "tag", "extradata")
_COLUMNS, _INTEGERS = 4, "<i8"
# The most bytes that the table of a video may have: a million packets.
_MOST_BYTES = 2**25


@dataclass(frozen=True)
class Seeking:
    """The settings of a decoder, and the places of all packets: it needs them to start in the middle of a video.

    If no codec is named, frames can only be decoded from the beginning; then `packet_of` holds their numbers.
    """

    packets: np.ndarray  # int64[packets, 2]: position in the file, and length.
    packet_of: np.ndarray  # int64[frames]: the packet of each kept frame, in the order in which they are shown.
    start_of: np.ndarray  # int64[frames]: the packet from which decoding must start to get exact pixels.
    file_bytes: int  # The size of the video file, which tells whether it is still the same.
    codec: str = ""
    tag: bytes = b""
    extradata: bytes = b""
    turn: int = 0  # The metadata ask for this many quarter turns to the left.
    skips: bool = True  # Whether the decoder can leave out frames to which no other frame refers.

    def entries(self) -> Counts:
        """Returns the entries that are stored with the counts of the video."""
        texts = {"codec": self.codec, "tag": self.tag.hex(), "extradata": self.extradata.hex()}
        return {**texts, "turn": self.turn, "skips": int(self.skips), "file_bytes": self.file_bytes}

    def content(self) -> bytes:
        """Returns the content of the file SEEKING. Row i has the place of packet i, and both packets of frame i."""
        table = np.zeros((max(len(self.packets), len(self.packet_of)), _COLUMNS), _INTEGERS)
        table[: len(self.packets), :2] = self.packets
        table[: len(self.packet_of), 2], table[: len(self.packet_of), 3] = self.packet_of, self.start_of
        return table.tobytes()


def read_seeking(folder: Path) -> Seeking:
    """Reads the places of the frames from the folder of a video; raises ValueError for values that can't be true."""
    try:
        # This is read for every clip. Checking types, or NumPy's own format, would take as long as decoding a frame.
        counts = json.loads((folder / COUNTS).read_bytes())
        content = (folder / SEEKING).read_bytes()
        return _checked(counts, content)
    except FileNotFoundError as error:
        raise ValueError(f"{error.filename} is missing") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{folder} does not say where its frames lie ({error})") from error


def _checked(counts: Counts, content: bytes) -> Seeking:
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{SEEKING} has {len(content):,} bytes")
    table = np.frombuffer(content, _INTEGERS)
    if len(table) % _COLUMNS:
        raise ValueError(f"{SEEKING} is cut off")
    table = table.reshape(-1, _COLUMNS)
    frames, file_bytes, turn, skips = (int(counts[name]) for name in ("frames", "file_bytes", "turn", "skips"))
    codec, tag, extradata = (str(counts[name]) for name in _NAMES)
    if not 0 < frames <= len(table):
        raise ValueError(f"{SEEKING} has {len(table):,} rows for {frames:,} frames")
    packets, packet_of, start_of = table[:, :2], table[:frames, 2], table[:frames, 3]
    are_inside = bool((packets >= 0).all() and (packets.sum(axis=1) <= file_bytes).all())
    if codec:
        are_inside &= bool((packet_of < len(table)).all())
    if not are_inside or (start_of < 0).any() or (start_of > packet_of).any():
        raise ValueError(f"{SEEKING} points outside of the video")
    told = codec, bytes.fromhex(tag), bytes.fromhex(extradata), turn, bool(skips)
    return Seeking(packets, packet_of, start_of, file_bytes, *told)
