"""Reads clips straight from videos: worker processes decode frames and compute flow when a clip is wanted.

With a GPU, the workers send decoded frames to a service in this process, which computes flow in full batches.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf

from commands.running import first_line
from data.catalog import DataSet, Video
from data.extraction.on_demand.workers import CHECK, Wanted, flow_service_of, item_workers
from data.extraction.video_files import find_sources
from data.store.description import recipe_of
from pipelines import augment, sampling
from pipelines.inputs import Input
from pipelines.source import OPTIONS, Example, Source, at_once

# These threads only wait for workers, so they must not take the place of threads that compute the network.
_OPTIONS = tf.data.Options()  # A copy would share its parts with the original.
_OPTIONS.threading.max_intra_op_parallelism = OPTIONS.threading.max_intra_op_parallelism
_OPTIONS.autotune.enabled = OPTIONS.autotune.enabled
_OPTIONS.threading.private_threadpool_size = at_once()


class FromVideos(Source):
    """The source of clips that are made from videos. What it calls contents are pixels, not encoded files."""

    options = _OPTIONS

    def __init__(self, dataset: DataSet, videos: Sequence[Video], clip: Input) -> None:
        super().__init__(dataset, videos, clip)
        self.is_float, self.num_files = clip.is_flow, clip.num_items  # x and y of a field come together.
        self.frame_size = _size
        self._kind = "flow" if clip.is_flow else "colour" if clip.is_colour else "grey"
        self._depth = {"flow": 2, "colour": 3, "grey": 1}[self._kind]
        self._making, self._videos = recipe_of(dataset.root), videos
        # Here, since the threads of a pipeline might each make their own.
        self._workers = item_workers()
        self._flow_service = flow_service_of(self._making) if clip.is_flow else ""

    def files(self, rows: tf.Tensor, starts: tf.Tensor) -> Example:
        """Returns the items that `contents` makes from videos, for rows and starts of the same shape [...]."""
        items = sampling.clip_items(self.clip, starts, tf.maximum(self.columns("num_items", rows), 1))
        if self.clip.is_flow:  # `Wanted` counts fields of both directions in turn.
            is_back = self.is_backward_stored & (tf.range(self.num_files) >= self.num_files // 2)
            items = 2 * items + tf.cast(is_back, tf.int32)
        paths = tf.numpy_function(self._paths_of, [rows], tf.string, stateful=False)
        return {"row": rows, "items": items, "path": tf.ensure_shape(paths, rows.shape)}

    def contents(self, files: Example) -> list[tf.Tensor]:
        """Returns the items as a flat list, each uint8[H, W, channels], in order."""
        count = math.prod(files["items"].shape)
        rows, items = tf.reshape(files["row"], [-1]), tf.reshape(files["items"], [-1, self.num_files])
        made = tf.numpy_function(self._clips, [rows, items], [tf.uint8] * count, stateful=False)
        return [tf.ensure_shape(item, (None, None, self._depth)) for item in made]

    def image(self, contents: tf.Tensor) -> tf.Tensor:
        """Returns an item unchanged: it is an image already."""
        return contents

    def distinct_images(self, files: Example) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the distinct items of the clips of one video, and int32[D, n]: the items of each clip."""
        distinct, of_file = tf.unique(tf.reshape(files["items"], [-1]))
        row = tf.reshape(files["row"], [-1])[0]
        images = tf.numpy_function(self._items, [row, distinct], tf.uint8, stateful=False)
        return tf.ensure_shape(images, (None, None, None, self._depth)), tf.reshape(of_file, [-1, self.num_files])

    def why_unreadable(self, path: str) -> str:
        """Returns why frames of a video can't be decoded, or an empty text if all can be."""
        row = next(row for row in range(self.count) if str(self._source(row)) == path)
        try:
            self._workers.make(self._wanted(row, CHECK), self._making)
        except (OSError, ValueError) as error:
            return f"can't be decoded ({first_line(error)})"
        return ""

    def _decoded(self, contents: list[tf.Tensor], box: tf.Tensor | None) -> list[tf.Tensor]:
        cut = contents if box is None else [augment.crop(content, box) for content in contents]
        return [plane for item in cut for plane in tf.split(item, 2, -1)] if self.clip.is_flow else cut

    def _clips(self, rows: np.ndarray, items: np.ndarray) -> list[np.ndarray]:
        """Returns the items of clips, one after another. Frames that several clips of a video need are decoded once."""
        made = {}
        for row in dict.fromkeys(rows.tolist()):
            wanted = np.unique(items[rows == row])
            made[row] = dict(zip(wanted.tolist(), self._items(row, wanted), strict=True))
        return [made[row][item] for row, of_clip in zip(rows.tolist(), items.tolist(), strict=True) for item in of_clip]

    def _items(self, row: int, items: np.ndarray) -> np.ndarray:
        wanted = self._wanted(int(row), self._kind, items.tolist())
        return self._workers.make(wanted, self._making, self._flow_service)

    def _wanted(self, row: int, kind: str, items: Sequence[int] = ()) -> Wanted:
        return Wanted(self._source(row), self.dataset.frame_folder(self._videos[row]), kind, tuple(items))

    def _source(self, row: int) -> Path:
        """Returns the file of a video, or the path where it should be if it is missing."""
        listed = self.dataset.root / "videos" / self._videos[row].relative_path
        return listed if listed.exists() else self._elsewhere.get(self._videos[row].name, listed)

    @cached_property
    def _elsewhere(self) -> Mapping[str, Path]:
        """The files of all videos by their names, for those that are not where the lists say."""
        return find_sources(self.dataset, self.dataset.root / "videos")

    def _paths_of(self, rows: np.ndarray) -> np.ndarray:
        return np.array([str(self._source(row)).encode() for row in rows.ravel().tolist()], object).reshape(rows.shape)


def _size(contents: tf.Tensor) -> tf.Tensor:
    """Returns height and width of an item, int32[2]."""
    return tf.shape(contents)[:2]
