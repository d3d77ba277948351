"""Stores where the frames of one video lie in its file, so that a few of them are decoded without all the others."""

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
    """What a decoder needs to begin within a video: its settings, and the place of each packet.

    Without a codec the frames can only be decoded from the beginning on; then `packet_of` holds their numbers.
    """

    packets: np.ndarray  # int64[packets, 2]: position in the file, and length.
    packet_of: np.ndarray  # int64[frames]: the packet of each kept frame, in the order in which they are shown.
    start_of: np.ndarray  # int64[frames]: the packet from which on this frame is decoded exactly.
    file_bytes: int  # The size of the video file, which tells whether it is still the same.
    codec: str = ""
    tag: bytes = b""
    extradata: bytes = b""
    turn: int = 0  # Quarter turns to the left that the metadata ask for.
    skips: bool = True  # Whether frames to which no other refers can be left out.

    def entries(self) -> Counts:
        """Returns what belongs into the counts of the video."""
        texts = {"codec": self.codec, "tag": self.tag.hex(), "extradata": self.extradata.hex()}
        return {**texts, "turn": self.turn, "skips": int(self.skips), "file_bytes": self.file_bytes}

    def content(self) -> bytes:
        """Returns the content of the file SEEKING: a row has the place of a packet, and the packets of a frame."""
        table = np.zeros((max(len(self.packets), len(self.packet_of)), _COLUMNS), _INTEGERS)
        table[: len(self.packets), :2] = self.packets
        table[: len(self.packet_of), 2], table[: len(self.packet_of), 3] = self.packet_of, self.start_of
        return table.tobytes()


def read_seeking(folder: Path) -> Seeking:
    """Returns what is stored in the folder of a video; refuses what no video can have."""
    try:
        # A check by types, and NumPy's own format, would take as long as decoding a frame: this is read for every clip.
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
