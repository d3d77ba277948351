"""Finds the files of a list of videos, and reads and decodes the files of each clip."""

import importlib
import math
import re
from collections.abc import Sequence
from functools import partial, reduce
from pathlib import Path

import numpy as np
import tensorflow as tf

from commands.running import usable_processors
from data.catalog import HALF_PACKED, PACKED, VIDEOS, DataSet, Video, half_packed
from data.store.archive import damaged_member
from data.store.index import find_description
from data.store.mapped_index import VideoRows
from data.store.pictures import MOST_PIXELS, claimed_size
from data.store.whole_folder import archive_path
from pipelines import assemble, augment, decode, sampling
from pipelines.archives import Archives, read_files
from pipelines.inputs import ASSEMBLED, Input

# The columns of text.
_TEXTS = ("name", "folder", "stored", "path")
# Tensors by name: the numbers from which clips are made.
Example = dict[str, tf.Tensor]

# AutoGraph would rewrite every function of a pipeline, which takes two seconds at the start of each command. None of
# them has an `if` or a loop that depends on a tensor.
plainly = tf.autograph.experimental.do_not_convert


# The options of every tf.data.Dataset here. They leave the choice of the parallelism to us.
OPTIONS = tf.data.Options()
# Clips are loaded in parallel, so splitting the work for one clip would only cost time.
OPTIONS.threading.max_intra_op_parallelism = 1
# Autotuning would make more and more clips ahead, which takes memory and, until it settles, a third of the speed.
OPTIONS.autotune.enabled = False


def source_of(dataset: DataSet, videos: Sequence[Video], clip: Input) -> "Source":
    """Returns the source of the clips of these videos: stored files, or the videos themselves."""
    if dataset.layout.name != VIDEOS:
        return Source(dataset, videos, clip)
    made: Source = importlib.import_module(f"{__package__}.from_videos.source").FromVideos(dataset, videos, clip)
    return made


class Columns:
    """Holds the names, counts and labels of the videos of a pipeline as tensors."""

    def __init__(self, dataset: DataSet, videos: Sequence[Video], clip: Input) -> None:
        counts = [video.num_flows if clip.is_flow else video.num_frames for video in videos]
        self.shortest, self.longest = min(counts, default=0), max(counts, default=0)
        with tf.device("/cpu:0"):  # An accelerator's constants would be copied back for each batch.
            self._tensors = {
                "name": tf.constant([video.name for video in videos]),
                "num_items": tf.constant(counts, tf.int32),
                "label": tf.constant(_labels(dataset, videos)),
                "folder": tf.constant([video.folder or "." for video in videos]),
                "stored": tf.constant([video.stored or video.name for video in videos]),
            }
            if dataset.layout.name == PACKED:
                self._tensors |= _of_archives(dataset, videos)

    def __call__(self, name: str, rows: tf.Tensor) -> tf.Tensor:
        """Returns the values of a column for some rows, of any shape."""
        return tf.gather(self._tensors[name], rows)


def _of_archives(dataset: DataSet, videos: Sequence[Video]) -> Example:
    return {
        "path": tf.constant([str(archive_path(dataset, video)) for video in videos]),
        "num_frames": tf.constant([video.num_frames for video in videos], tf.int32),
        "num_flows": tf.constant([video.num_flows for video in videos], tf.int32),
    }


class MappedColumns:
    """The columns of videos that stay in the table of their data set, looked up for each batch."""

    def __init__(self, dataset: DataSet, videos: Sequence[Video], clip: Input) -> None:
        assert isinstance(videos, VideoRows)
        self._dataset, self._videos, self._is_flow = dataset, videos, clip.is_flow
        about = videos.whole.about
        counts = [int(number) for number in about["flows" if clip.is_flow else "frames"]]
        # Of all that are ready, so that nothing is read. Where some have nothing, these videos themselves decide.
        self.shortest, self.longest = min(counts, default=0), max(counts, default=0)
        if not self.shortest and len(videos):
            self.shortest = int(videos.column("flows" if clip.is_flow else "frames").min())

    def __call__(self, name: str, rows: tf.Tensor) -> tf.Tensor:
        """Returns the values of a column for some rows, of any shape."""
        rows = tf.convert_to_tensor(rows)
        shape = [*rows.shape, len(self._dataset.classes)] if self._is_multi(name) else rows.shape
        kind = tf.string if name in _TEXTS else tf.float32 if self._is_multi(name) else tf.int32
        return tf.ensure_shape(tf.numpy_function(partial(self._values, name), [rows], kind, stateful=False), shape)

    def _is_multi(self, name: str) -> bool:
        return name == "label" and self._dataset.multi_label

    def _values(self, name: str, rows: np.ndarray) -> np.ndarray:
        if name in _TEXTS or self._is_multi(name):
            found = [self._of_video(name, self._videos[row]) for row in rows.ravel().tolist()]
            kind = np.object_ if name in _TEXTS else np.float32
            return np.array(found, kind).reshape((*rows.shape, *([-1] if self._is_multi(name) else [])))
        column = {"num_frames": "frames", "num_flows": "flows", "label": "label"}.get(name)
        column = column or ("flows" if self._is_flow else "frames")
        numbers = np.asarray(self._videos.numbers[rows.ravel()], np.int64)
        return self._videos.table.numbers(column, numbers).astype(np.int32).reshape(rows.shape)

    def _of_video(self, name: str, video: Video) -> object:
        if name == "label":
            return [float(label in video.labels) for label in range(len(self._dataset.classes))]
        if name == "path":
            return str(archive_path(self._dataset, video)).encode()
        return {"name": video.name, "folder": video.folder or ".", "stored": video.stored or video.name}[name].encode()


class Source:
    """Holds the names and counts of the videos of a pipeline, and reads their clips."""

    options = OPTIONS

    def __init__(self, dataset: DataSet, videos: Sequence[Video], clip: Input) -> None:
        made = find_description(dataset.root) if clip.is_flow else {}
        self.columns = (MappedColumns if isinstance(videos, VideoRows) else Columns)(dataset, videos, clip)
        if not videos or not self.columns.shortest:
            raise _nothing_to_read(dataset, videos, clip)
        if dataset.layout.name == HALF_PACKED:
            raise half_packed(dataset)
        if clip.kind == "warped" and made.get("method", "warped") != "warped":
            raise _not_warped(dataset, made["method"])
        self.clip, self.dataset, self.layout, self.count = clip, dataset, dataset.layout, len(videos)
        self.is_packed = self.layout.name == PACKED  # Each video is one archive; see data/store/archive.py.
        self.is_float = clip.is_flow and self.layout.is_float
        self.rule = self.layout.rule  # The rule of the levels in clips.
        self.bound = float(made.get("bound", 20.0))
        self.is_backward_stored = clip.kind == "bidirectional" and bool(made.get("backward"))
        # Whether channels are computed from the contents of the files.
        self._is_assembled = clip.kind in ASSEMBLED and not self.is_backward_stored
        self.frame_size = decode.floats_size if self.is_float else decode.image_size
        self.num_files = clip.num_items * (2 if clip.is_flow and not self.is_float else 1)
        with tf.device("/cpu:0"):  # For the reason that `Columns` gives.
            # The numbers are formatted only once: formatting takes a tenth of the time of decoding.
            digits = max(1, self.layout.flow_digits if clip.is_flow else self.layout.digits)
            self._numbers = tf.constant([f"{number:0{digits}}" for number in range(self.columns.longest + 3)])
            self._archives = Archives(self.columns, self.is_backward_stored) if self.is_packed else None

    def view_starts(self, rows: tf.Tensor, num_views: int, how: str = "ends") -> tf.Tensor:
        """Returns the starts of the views of each row's video, int32[..., views]. `how` is one of SAMPLINGS."""
        starts = partial(sampling.view_starts, length=self.clip.span, num_views=num_views, sampling=how)
        found = tf.numpy_function(starts, [self.columns("num_items", rows)], tf.int32, stateful=False)
        return tf.ensure_shape(found, [*tf.TensorShape(rows.shape), num_views])

    def files(self, rows: tf.Tensor, starts: tf.Tensor) -> Example:
        """Returns the files of clips, for rows and starts of the same shape [...]. `contents` reads them."""
        indices = sampling.clip_items(self.clip, starts, tf.maximum(self.columns("num_items", rows), 1))
        if self._archives:
            return self._archives.files(rows, indices, self.clip)
        return {"path": self._paths(rows, indices + self.layout.first)}

    def contents(self, files: Example) -> list[tf.Tensor]:
        """Returns the bytes of each file, in order, for files of any shape."""
        names = files["members" if self._archives else "path"]
        each = tf.unstack(tf.reshape(read_files(files) if self._archives else names, [-1]), math.prod(names.shape))
        return each if self._archives else [tf.io.read_file(path) for path in each]

    def planes(self, contents: list[tf.Tensor], box: tf.Tensor) -> list[tf.Tensor]:
        """Returns a box of a clip's channel planes from the contents of its files."""
        if self.clip.kind == "trajectory":
            # A point may leave the box, so whole fields are followed before they are cut.
            return [augment.crop(plane, box) for plane in self._assembled(self._decoded(contents, None))]
        return self._assembled(self._decoded(contents, box)) if self._is_assembled else self._decoded(contents, box)

    def image(self, contents: tf.Tensor) -> tf.Tensor:
        """Returns the content of one file, uint8[H, W, 1, 2 or 3]: grey, x and y of flow in floats, or colour."""
        return tf.concat(self._decoded([contents], None), axis=-1)

    def distinct_images(self, files: Example) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the distinct images of one video's clips, and the indices of each clip's images, int32[D, n]."""
        distinct, of_file = tf.unique(tf.reshape(files["members" if self._archives else "path"], [-1]))
        if self._archives:
            contents = read_files({"members": distinct, "path": files["path"][0]})
            images = tf.map_fn(self.image, contents, fn_output_signature=tf.uint8)
        else:
            images = tf.map_fn(lambda path: self.image(tf.io.read_file(path)), distinct, fn_output_signature=tf.uint8)
        return images, tf.reshape(of_file, [-1, self.num_files])

    def clips(self, images: tf.Tensor, of_file: tf.Tensor) -> tf.Tensor:
        """Returns clips, uint8[D, H, W, channels], made of `distinct_images`."""
        if self._is_assembled:
            return tf.map_fn(
                lambda places: assemble.join(self._assembled(self._split(tf.gather(images, places)))),
                of_file,
                fn_output_signature=tf.uint8,
            )
        # Whole images are transposed once: first the files, then the channels of each.
        clips = tf.transpose(tf.gather(images, of_file), [0, 2, 3, 1, 4])
        return tf.reshape(clips, [*tf.unstack(tf.shape(clips)[:3]), self.clip.channels])

    def size_of(self, row: int, start: int) -> tuple[int, int]:
        """Returns height and width of the first image of a clip."""
        files = {name: value[0] for name, value in self.files(tf.constant([row]), tf.constant([start])).items()}
        height, width = self.frame_size(self.contents(files)[0]).numpy().tolist()
        return height, width

    def short_side(self) -> int:
        """Returns the short side of the first video's frames."""
        return min(self.size_of(0, 0))

    def why_unreadable(self, path: str) -> str:
        """Returns why one of the files can't be read, or an empty text if it can be."""
        if self.is_packed:
            damaged = damaged_member(Path(path))
            return f"is damaged in {damaged}" if damaged else ""
        width, height = claimed_size(Path(path)) or (0, 0)
        if width * height > MOST_PIXELS:
            return f"says that it has more than {MOST_PIXELS / 1e6:g} megapixels"
        self.image(tf.io.read_file(path))
        return ""

    def _assembled(self, planes: list[tf.Tensor]) -> list[tf.Tensor]:
        return assemble.channel_planes(planes, self.clip, self.rule, self.bound, self.is_backward_stored)

    def _decoded(self, contents: list[tf.Tensor], box: tf.Tensor | None) -> list[tf.Tensor]:
        if self.is_float:
            return [plane for content in contents for plane in decode.decode_floats(content, self.bound, box)]
        return [decode.decode_image(content, 3 if self.clip.is_colour else 1, box) for content in contents]

    def _split(self, images: tf.Tensor) -> list[tf.Tensor]:
        planes = tf.unstack(images, self.num_files)
        return [part for plane in planes for part in tf.split(plane, 2, -1)] if self.is_float else planes

    def _paths(self, rows: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Returns the paths of the files of clips: of each frame, or of x and y of each field in turn."""
        patterns = [self.layout.flow_x, self.layout.flow_y] if self.clip.is_flow else [self.layout.frame]
        parts = [(patterns[:1] if self.is_float else patterns, numbers)]
        if self.is_backward_stored:
            forward, backward = tf.split(numbers, 2, axis=-1)
            parts = [(patterns, forward), ([self.layout.back_x, self.layout.back_y], backward)]
        paths = [tf.stack([self._path(each, rows, part) for each in patterns], axis=-1) for patterns, part in parts]
        return tf.reshape(tf.concat(paths, axis=-2), tf.concat([tf.shape(rows), [self.num_files]], axis=0))

    def _path(self, pattern: str, rows: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        """Returns the paths of a pattern for the numbers of each row. `Layout` explains the patterns."""
        column = {
            "{folder}": self.columns("folder", rows)[..., None],
            "{video}": self.columns("stored", rows)[..., None],
            "{number}": tf.gather(self._numbers, numbers),
            "{next}": tf.gather(self._numbers, numbers + 1),
        }
        parts = re.split(r"({\w+})", str(self.dataset.root / pattern))
        # Adding texts repeats a video's folder for each of its numbers. tf.strings.join can't do that.
        return reduce(tf.add, [column.get(part, part) for part in parts])


def at_once() -> int:
    """Returns how many clips are made at the same time: two for each processor, so that one is always waiting."""
    return 2 * usable_processors()


def _labels(dataset: DataSet, videos: Sequence[Video]) -> list[int] | list[list[float]]:
    """Returns the class of each video, or for multi-label data zeros and ones for all classes."""
    if not dataset.multi_label:
        return [video.labels[0] for video in videos]
    return [[float(label in video.labels) for label in range(len(dataset.classes))] for video in videos]


def _nothing_to_read(dataset: DataSet, videos: Sequence[Video], clip: Input) -> ValueError:
    if not videos:
        return ValueError(f"There are no videos of {dataset.name} to read. Choose another --split or part.")
    unprepared = [video.name for video in videos if not (video.num_flows if clip.is_flow else video.num_frames)]
    return ValueError(
        f"{len(unprepared)} of {len(videos)} videos have no {'flow' if clip.is_flow else 'frames'} on disk, "
        f"{unprepared[0]} among them. Run: ./run prepare {dataset.name}"
    )


def _not_warped(dataset: DataSet, method: str) -> ValueError:
    return ValueError(
        f"The flow in {dataset.root} was made by the method {method!r}, and is not compensated for the camera. "
        f"Run: ./run prepare {dataset.name} --method warped --root ANOTHER_FOLDER"
    )
