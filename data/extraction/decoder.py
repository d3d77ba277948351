"""Decodes a video file, or a folder of pictures, into frames; raises ValueError with a clear reason if it can't."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from commands.files import owner, scratch_folder
from commands.text import is_printable
from data.extraction.video_files import is_of_pictures, pictures_in
from data.optical_flow.motion_vectors.coded_frames import with_motion_of
from data.store.pictures import MOST_PIXELS, claimed_size

# A frame: its pixels, or anything that represents it.
Frame = TypeVar("Frame")

# OpenCV and FFmpeg print warnings about bad files. They are silenced here, since the index records the reason.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# The frame rate that is assumed for a folder of pictures.
RATE_OF_PICTURES = 25.0
# The most pixels to which a frame may be enlarged. The flow of such a frame has fifty times as many bytes.
_MOST_RESIZED = 50_000_000
# The first bytes of files whose headers give the size of their pictures.
_PICTURES = (b"GIF8", b"\x89PNG", b"BM", b"\xff\xd8", b"II*\x00", b"MM\x00*")
# The first bytes of playlists, which would make the decoder open other files or the network.
PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<?xml", b"v=0")


class Bounds(NamedTuple):
    """The largest videos that are accepted; None means no limit."""

    duration: float | None = None  # The length in seconds.
    pixels: int | None = MOST_PIXELS  # Of one frame.
    frames: int | None = 1_000_000  # Eleven hours.

    def check_size(self, width: int, height: int) -> None:
        """Raises ValueError for frames that are too large."""
        if self.pixels and width * height > self.pixels:
            raise ValueError(
                f"Its frames are {width}x{height}, more than {self.pixels / 1e6:g} megapixels. Make it smaller, or "
                "allow more with --most-megapixels."
            )

    def check_count(self, count: int) -> None:
        """Raises ValueError for too many frames."""
        if self.frames and count > self.frames:
            raise ValueError(f"It has more than {self.frames:,} frames. Cut it, or allow more with --most-frames.")


UNBOUNDED = Bounds(None, None, None)
USUAL = Bounds()


class Decoder:
    """One pass over the frames of a video file or a folder of pictures, with its declared length and frame rate."""

    def __init__(self, path: Path, bounds: Bounds = USUAL) -> None:
        self.decoded_frames, self._pictures, self._bounds, self._seconds = 0, list[Path](), bounds, 0.0
        if is_of_pictures(path):
            self._pictures = pictures_in(path)
            self.declared_frames, self.frame_rate = len(self._pictures), RATE_OF_PICTURES
            return
        _check_file(path, bounds)
        with _plainly_named(path) as name:
            self._open(name)

    def _open(self, name: str) -> None:
        # One thread, because several videos are decoded in parallel. FFmpeg only, because OpenCV's other readers
        # take a name with a % in it for a series of pictures.
        self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not self._capture.isOpened():
            raise ValueError("It can't be opened as a video: it is damaged, cut off, or not a video.")
        # This is checked before a frame is decoded: a file of a few bytes may claim gigabytes of pixels.
        bounds_of = (int(self._capture.get(each)) for each in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        self._bounds.check_size(*bounds_of)
        # Containers often have wrong counts, so this number is only compared with the number of decoded frames.
        self.declared_frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.frame_rate = float(self._capture.get(cv2.CAP_PROP_FPS))

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Yields the time in seconds and the uint8 RGB pixels of each frame, rotated as the metadata say."""
        for seconds, frame in self._decoded_pictures() if self._pictures else self._decoded_video():
            self._bounds.check_count(self.decoded_frames)
            self._bounds.check_size(*frame.shape[1::-1])
            yield seconds, frame

    def _decoded_pictures(self) -> Iterator[tuple[float, np.ndarray]]:
        for path in self._pictures:
            _check_picture(path, self._bounds)
            data = np.fromfile(path, np.uint8)
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
            if picture is None:
                raise ValueError(f"{path.name} can't be decoded: it is damaged, cut off, or not a picture.")
            self.decoded_frames += 1
            yield (self.decoded_frames - 1) / self.frame_rate, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

    def _decoded_video(self) -> Iterator[tuple[float, np.ndarray]]:
        try:
            while True:
                decoded, frame = self._capture.read()
                if not decoded:
                    return
                self._seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                self.decoded_frames += 1
                yield self._seconds, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            self._capture.release()

    def shortfall(self) -> str:
        """Returns a note if clearly fewer frames were decoded than the file declares (it may be cut off), else ""."""
        # The count of a container may be wrong by one frame, or by one in fifty, without damage. If the frame rate
        # varies, the declared count assumes a constant rate. Then the time of the last frame is compared.
        passed = self._seconds * self.frame_rate
        reached = max(self.decoded_frames, 1 + round(passed) if 0 < passed < 2**31 else 0)
        if reached >= self.declared_frames - max(1, self.declared_frames // 50):
            return ""
        return f"short: {self.decoded_frames} of {self.declared_frames} frames could be decoded"


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """Yields the frames of a video as uint8 RGB, in order."""
    if not path.exists():
        raise FileNotFoundError(f"There is no video file {path}.")
    try:
        for _, frame in Decoder(path).frames():
            yield frame
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def sample_frames(
    frames: Iterator[tuple[float, Frame]], *, every: int = 1, fps: float | None = None, frame_rate: float = 0.0
) -> Iterator[Frame]:
    """Yields one frame in `every`, or `fps` frames per second: for each tick, the first frame at or after it.

    If the file has no times, they follow from its frame rate. A tick without a new frame is skipped, because a
    repeated frame would show no motion.
    """
    tick, start = 0, 0.0
    for index, (seconds, frame) in enumerate(frames):
        if fps is None:
            if index % every == 0:
                yield frame
            continue
        start = start if index else seconds
        passed = seconds - start
        if passed <= 0 and index and frame_rate > 0:
            passed = index / frame_rate
        # The margin of 0.002 s covers containers that round times to a millisecond.
        if (passed + 0.002) * fps >= tick:
            yield frame
            tick = int((passed + 0.002) * fps) + 1


def resized(
    frame: np.ndarray,
    short_side: int | None = None,
    size: tuple[int, int] | None = None,
    *,
    enlarge: bool = True,
) -> np.ndarray:
    """Returns a frame of this size (width, height), or with this shorter side; the frame itself if none is given.

    Without `enlarge`, a frame with a smaller short side keeps its size: enlarging costs time and adds no detail.
    """
    height, width = frame.shape[:2]
    if short_side and not size and (enlarge or short_side < min(height, width)):
        scale = short_side / min(height, width)
        size = (round(width * scale), round(height * scale))
    if size in (None, (width, height)):
        return frame
    if size[0] * size[1] > max(_MOST_RESIZED, width * height) or min(size) < 1:
        raise ValueError(f"Its frames of {width}x{height} would become {size[0]}x{size[1]}, which is too large.")
    smaller = size[0] * size[1] < width * height
    pixels = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return with_motion_of(frame, pixels)


def write_video(path: Path, frames: Iterator[np.ndarray], frame_rate: float, codec: str = "MJPG") -> None:
    """Writes uint8 RGB frames as a video file."""
    with _plainly_named(path, of_folder=True) as name:
        count = _write(name, path, frames, frame_rate, codec)
    # OpenCV reports no error when the disk is full, so the video is read again.
    if (written := _readable_frames(path)) < count:
        raise OSError(
            f"Only {written} of {count} frames of a video could be written to {path.parent}. Is the disk full? Make "
            "room, then run the same command again."
        )


def _write(name: str, path: Path, frames: Iterator[np.ndarray], frame_rate: float, codec: str) -> int:
    writer, count = None, 0
    for frame in frames:
        count += 1
        if writer is None:
            height, width = frame.shape[:2]
            writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*codec), frame_rate, (width, height))
            if not writer.isOpened():
                raise OSError(f"OpenCV can't write {path} with the codec {codec}.")
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    if writer is None:
        raise ValueError(f"No frames were given for {path}.")
    writer.release()
    return count


def _readable_frames(path: Path) -> int:
    try:
        return sum(1 for _ in Decoder(path).frames())
    except ValueError:
        return 0


@contextmanager
def _plainly_named(path: Path, *, of_folder: bool = False) -> Iterator[str]:
    """Yields a name under which OpenCV can open a file: it crashes on names that are not UTF-8.

    With `of_folder`, the file need not exist yet.
    """
    name = str(path.absolute())
    if is_printable(name):
        yield name
        return
    with scratch_folder() as folder:
        link = folder / f"link{'' if of_folder else path.suffix}"
        link.symlink_to(path.absolute().parent if of_folder else path.absolute())
        if not of_folder:
            yield str(link)
            return
        written = link / f".incomplete.{owner()}-video{path.suffix}"
        yield str(written)
        written.replace(path)


def _check_file(path: Path, bounds: Bounds) -> None:
    """Raises ValueError with the exact reason. OpenCV would only say that it can't open the file."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ValueError("There is no such file, or it is a broken link.") from error
    except OSError as error:  # Circular links, names that are too long, missing permissions.
        raise ValueError(f"It can't be read: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("It is not a regular file; expected a video file.")
    if status.st_size == 0:
        raise ValueError("The file is empty (0 bytes).")
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except PermissionError as error:
        raise ValueError("It can't be read: permission denied.") from error
    if start.startswith(PLAYLISTS):
        raise ValueError("It is a playlist, which would make the decoder open other files; expected a video.")
    # AVI files begin with RIFF too. Asking about those would load the readers of all kinds of pictures, for 0.1 s.
    if start.startswith(_PICTURES) or (start[:4], start[8:12]) == (b"RIFF", b"WEBP"):
        _check_picture(path, bounds)


def _check_picture(path: Path, bounds: Bounds) -> None:
    """Raises ValueError if the header of a picture, or of a film of pictures, gives too large a size."""
    if size := claimed_size(path):
        bounds.check_size(*size)
