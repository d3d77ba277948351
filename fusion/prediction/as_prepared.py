"""Prepares a user's video in the same way as a model's training videos were prepared."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from data.extraction.coded_video import NoVectorsError, decoder_for
from data.extraction.decoder import RATE_OF_PICTURES, USUAL, Bounds, Decoder, resized, sample_frames
from data.store.description import Recipe
from pipelines.inputs import Input
from streams.runs.model_file import ModelCard

# The frames of a video that needs no more memory than this are kept from the first pass over it for the second.
KEPT_BYTES = 64 * 2**20
# If the sides of a video differ by more than this factor from training, it shows things in another size.
FAR = 1.25


def making_of(cards: Iterable[ModelCard]) -> Recipe:
    """Returns one way of making frames and flow that suits all of these models. Raises ValueError if there is none."""
    described = [description for card in cards if (description := {**card.frames, **card.flow})]
    makings = [Recipe.of(description) for description in described]
    for other in makings[1:]:
        for name in ("short_side", "enlarge", "size", "fps", "every", "jpeg_quality"):
            if getattr(other, name) != getattr(makings[0], name):
                raise ValueError(
                    f"The streams were trained on frames made differently: {name} is {getattr(makings[0], name)} for "
                    f"one and {getattr(other, name)} for the other. Name two models of one prepared data set."
                )
    # Only streams that were trained on flow know how it was made.
    with_flow = (making for making, said in zip(makings, described, strict=True) if "method" in said)
    return next(with_flow, makings[0] if makings else Recipe())


def clip_of(card: ModelCard) -> Input:
    """Returns the description of one clip of a stream."""
    return Input(card.input_kind, card.length, stride=card.stride)


class PreparedVideo:
    """The frames of a video file, as preparation would keep them."""

    def __init__(self, path: Path, making: Recipe, bounds: Bounds = USUAL) -> None:
        """Counts the frames. Refuses a video that is longer or larger than the bounds allow."""
        self.path, self.making, self._bounds = path, making, bounds
        self._short_side, self._enlarge, self.resized = making.short_side, making.enlarge, ""
        self.coded_again = ""  # Why its own motion vectors can't be used, where the model takes such.
        self.original_rate, self.frame_size = RATE_OF_PICTURES, (0, 0)  # Frames a second of the file; height, width.
        self._known: list[np.ndarray] = []  # All kept frames in their own size, if they are few and small.
        try:
            self.num_frames, self.frame_rate, self.shortfall = self._count()
        except NoVectorsError as error:
            self.coded_again = f"{error.said} Its frames are coded again in memory for the flow."
            self.num_frames, self.frame_rate, self.shortfall = self._count()

    def frames(self) -> Iterator[np.ndarray]:
        """Yields the kept frames, resized."""
        for frame in self._known or self._kept(self._decoder()):
            yield self._resized(frame)

    def originals(self) -> Iterator[np.ndarray]:
        """Yields all frames of the file, in their own size."""
        return (frame for _, frame in self._decoder().frames())

    def spread(self, count: int) -> Iterator[np.ndarray]:
        """Yields a few frames, evenly spread over the video."""
        wanted = set(np.linspace(0, self.num_frames - 1, count).round().astype(int).tolist())
        return (frame for index, frame in enumerate(self.frames()) if index in wanted)

    def _count(self) -> tuple[int, float, str]:
        # Views are spread over the number of frames. The number in the container may be wrong, so frames are counted.
        decoder = self._decoder()
        if 0 < decoder.frame_rate < 1000:
            self.original_rate = decoder.frame_rate
        rate = self.original_rate
        kept_rate = min(rate, self.making.fps) if self.making.fps else rate / self.making.every
        longest = self._bounds.duration
        most_frames = longest * kept_rate if longest else np.inf
        num_frames, known = 0, list[np.ndarray]()
        for frame in self._named(self._kept(decoder)):
            if num_frames == 0:
                self._choose_size(frame)
                self.frame_size = self._resized(frame).shape[:2]
            num_frames += 1
            if num_frames * frame.nbytes <= KEPT_BYTES:
                known.append(frame)
            if num_frames > most_frames:
                raise ValueError(f"{self.path}: it plays for more than {longest:g} seconds. Send a shorter one.")
        if num_frames == 0:
            raise ValueError(f"{self.path}: no frame can be decoded: it is cut off, damaged, or has no video in it.")
        self._known = known if len(known) == num_frames else []
        return num_frames, kept_rate, decoder.shortfall()

    def _choose_size(self, frame: np.ndarray) -> None:
        """Resizes frames if their size is far from that of training."""
        usual, height, width = self.making.usual_size, *frame.shape[:2]
        if not usual or self.making.short_side or self.making.size:
            return
        # Training videos differ in size too. Within this factor, frames keep their size, as in evaluation.
        if not 1 / FAR <= min(height, width) / min(usual) <= FAR:
            self._short_side = min(usual)
            new = resized(frame, self._short_side).shape
            self.resized = (
                f"resized from {width}x{height} to {new[1]}x{new[0]}, near the {usual[0]}x{usual[1]} of training"
            )

    def _resized(self, frame: np.ndarray) -> np.ndarray:
        return resized(frame, self._short_side, self.making.size, enlarge=self._enlarge)

    def _decoder(self) -> Decoder:
        try:
            if self.coded_again:
                return Decoder(self.path, self._bounds)
            return decoder_for(self.path, self.making, self._bounds)
        except NoVectorsError:
            raise
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error

    def _named(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yields the frames. An error on the way names the video."""
        try:
            yield from frames
        except NoVectorsError:
            raise
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from error

    def _kept(self, decoder: Decoder) -> Iterable[np.ndarray]:
        making = self.making
        return sample_frames(decoder.frames(), every=making.every, fps=making.fps, frame_rate=decoder.frame_rate)
