"""A user's video, prepared as the videos were on which a model was trained."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from data.recipe import Recipe
from data.video import Decoder, resized, sample_frames

# Sides that differ by more than this factor show things in another size than the network knows.
FAR = 1.25

# The same for a video of a user as for those of a data set.
Making = Recipe


class PreparedVideo:
    """The frames of a video file as preparing them would keep them."""

    def __init__(
        self, path: Path, making: Making, longest: float | None = None, most_pixels: int | None = None
    ) -> None:
        """Counts the frames; refuses what plays more than `longest` seconds or has larger frames than is allowed."""
        self.path, self.making = path, making
        self._longest, self._most_pixels = longest, most_pixels
        self._short_side, self.resized = making.short_side, ""
        self.num_frames, self.frame_rate, self.shortfall = self._count()

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the kept frames, resized."""
        decoder = self._decoder()
        for frame in self._kept(decoder):
            yield resized(frame, self._short_side, self.making.size)

    def spread(self, count: int) -> Iterator[np.ndarray]:
        """Yields a few frames that are spread evenly over the video."""
        wanted = set(np.linspace(0, self.num_frames - 1, count).round().astype(int).tolist())
        return (frame for index, frame in enumerate(self.frames()) if index in wanted)

    def _count(self) -> tuple[int, float, str]:
        # Containers are known to lie about the number of frames, and the views are spread over it.
        decoder = self._decoder()
        rate = decoder.frame_rate if 0 < decoder.frame_rate < 1000 else 25.0
        kept_rate = min(rate, self.making.fps) if self.making.fps else rate / self.making.every
        most_frames = self._longest * kept_rate if self._longest else np.inf
        num_frames = 0
        for frame in self._kept(decoder):
            if num_frames == 0:
                self._choose_size(frame)
            num_frames += 1
            height, width = frame.shape[:2]
            if self._most_pixels and height * width > self._most_pixels:
                raise ValueError(f"{self.path}: its frames are {width}x{height}, more than {self._most_pixels} pixels.")
            if num_frames > most_frames:
                raise ValueError(f"{self.path}: it plays for more than {self._longest:g} seconds. Send a shorter one.")
        if num_frames == 0:
            raise ValueError(f"{self.path}: no frame can be decoded: it is cut off, damaged, or has no video in it.")
        return num_frames, kept_rate, decoder.shortfall()

    def _choose_size(self, frame: np.ndarray) -> None:
        """Shrinks or enlarges frames whose size is far from what the network was trained on."""
        usual, height, width = self.making.usual_size, *frame.shape[:2]
        if not usual or self.making.short_side or self.making.size:
            return
        # Training videos are of different sizes, too: within this they are taken as they are, as in evaluation.
        if not 1 / FAR <= min(height, width) / min(usual) <= FAR:
            self._short_side = min(usual)
            new = resized(frame, self._short_side).shape
            self.resized = (
                f"resized from {width}x{height} to {new[1]}x{new[0]}, near the {usual[0]}x{usual[1]} of training"
            )

    def _decoder(self) -> Decoder:
        try:
            return Decoder(self.path)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error

    def _kept(self, decoder: Decoder) -> Iterable[np.ndarray]:
        making = self.making
        return sample_frames(decoder.frames(), every=making.every, fps=making.fps, frame_rate=decoder.frame_rate)
