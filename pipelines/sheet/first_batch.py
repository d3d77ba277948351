"""Collects the content of a contact sheet of a first batch: frames, the boxes cut from them, and the clips."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from data.audit.files import how_to_mend
from data.catalog import DataSet, Video
from data.extraction.on_demand.single import read_frame
from data.optical_flow.levels import dequantise
from pipelines.augment import random_box
from pipelines.clip_stream import ClipStream
from pipelines.inputs import Input
from pipelines.sampling import clip_items
from pipelines.sheet.drawing import Column, Row, draw_sheet


@dataclass(frozen=True)
class FirstBatch:
    """Describes the first batch of a training, for clips of any kind."""

    dataset: DataSet
    videos: Sequence[Video]
    num_clips: int
    crop_size: int
    augment: str
    seed: int
    shown: str = "pixels"

    def stream(self, clip: Input) -> ClipStream:
        """Returns the stream whose first batch is drawn."""
        shown = self.dataset, self.videos, clip, self.num_clips, self.crop_size
        return ClipStream(*shown, seed=self.seed, augment=self.augment, shown=self.shown)

    def draw(self, clips: Sequence[Input], path: Path, note: str) -> list[Column]:
        """Writes the sheet and returns its columns, one for each video."""
        columns = [self._column(number) for number in range(self.num_clips)]
        draw_sheet(columns, [self._row(clip) for clip in clips], path, note)
        return columns

    def _column(self, number: int) -> Column:
        plan = {name: values.numpy() for name, values in self.stream(Input()).plan(0).items()}
        video, randoms = self.videos[plan["row"][number]], plan["randoms"][number]
        start = int(plan["starts"][number, 0])
        frame = read_frame(self.dataset, video, start, "colour")
        if frame is None:
            raise ValueError(f"Frame {start + 1} of {video.name} can't be read. {how_to_mend(self.dataset)}")
        box = (
            random_box(self.augment, tf.constant(frame.shape[:2]), self.crop_size, randoms, self.shown).numpy().tolist()
        )
        top, left, height, width = box
        mirrored = ", mirrored" if self.augment != "none" and randoms[4] < 0.5 else ""
        shown = ", ".join(self.dataset.classes[label] for label in video.labels)
        words = f"{shown}; box of {width} x {height} at ({left}, {top}){mirrored}"
        return Column(video.name, words, f"on disk: {start + 1}", frame, box)

    def _row(self, clip: Input) -> Row:
        stream = self.stream(clip)
        try:
            images = next(iter(stream.batches()))[0].numpy()
        except tf.errors.OpError as error:
            said = stream.broken(0)
            if not said:
                raise
            raise ValueError(f"No picture of {clip.kind} can be made: {said}") from error
        source = stream.source
        if clip.is_flow:
            images = dequantise(images, source.bound, source.rule)
        plan = {name: values.numpy() for name, values in stream.plan(0).items()}
        counts = source.columns("num_items", plan["row"]).numpy()
        items = clip_items(clip, plan["starts"][:, 0], counts) + 1
        return Row(clip, list(images), items.tolist())
