"""Where the files of a list of videos lie, and how the clips of one kind of input are read from them."""

import math
import re
from collections.abc import Sequence
from itertools import islice

import numpy as np
import tensorflow as tf

from commands.running import usable_processors
from data.catalog import FLOATS, PACKED, DataSet, Video, check_whole
from data.store.index import Description, find_description
from pipelines import assemble, augment, decode
from pipelines.archives import Archives, read_files
from pipelines.inputs import Input
from pipelines.sampling import clip_items

# AutoGraph would rewrite every function of a pipeline, which takes two seconds at the start of each command; none of
# them has an `if` or a loop that depends on a tensor.
plainly = tf.autograph.experimental.do_not_convert


class Source:
    """What a pipeline holds of its videos: names and numbers, no pixels; and how a clip is read."""

    def __init__(self, dataset: DataSet, videos: Sequence[Video], clip: Input) -> None:
        _check_prepared(dataset, videos, clip)
        check_whole(dataset)
        self.clip, self.dataset, self.layout = clip, dataset, dataset.layout
        made = find_description(dataset.root) if clip.is_flow else {}
        _check_warped(dataset, clip, made)
        self.bound = float(made.get("bound", 20.0))
        self.is_float = clip.is_flow and self.layout.rule == FLOATS
        self.rule = level_rule(dataset, clip)
        self.is_backward_stored = clip.kind == "bidirectional" and bool(made.get("backward"))
        # On a machine with an accelerator, constants would be put there and copied back for each batch.
        with tf.device("/cpu:0"):
            self.names = tf.constant([video.name for video in videos])
            self._stored = tf.constant([video.stored or video.name for video in videos])
            self._folders = tf.constant([video.folder or "." for video in videos])
            counts = [video.num_flows if clip.is_flow else video.num_frames for video in videos]
            self.num_items = tf.constant(counts, tf.int32)
            # Written once: making text of numbers takes a tenth of the time that decoding does.
            texts = {digits: [f"{n:0{max(digits, 1)}}" for n in range(max(counts) + 3)] for digits in self._digits()}
            self._texts = {digits: tf.constant(each) for digits, each in texts.items()}
            self._labels = _labels(dataset, videos)
            self._archives = Archives(dataset, videos, self.is_backward_stored) if self.is_packed else None

    @property
    def is_packed(self) -> bool:
        """Tells whether each video is one archive; see data/store/archive.py."""
        return self.layout.name == PACKED

    def labels(self, rows: tf.Tensor) -> tf.Tensor:
        """Returns the labels of videos: int32[B], or float32[B, classes] of zeros and ones where there may be many."""
        labels = tf.gather(self._labels, rows)
        if not self.dataset.multi_label:
            return labels
        count = len(self.dataset.classes)
        return tf.minimum(tf.reduce_sum(tf.one_hot(labels.to_tensor(-1), count), axis=1), 1.0)

    def files(self, rows: tf.Tensor, starts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what `contents` reads, for rows and starts of the same shape [...]: the files of clips."""
        indices = clip_items(self.clip, starts, tf.maximum(tf.gather(self.num_items, rows), 1))
        if self._archives:
            return self._archives.files(rows, indices, self.clip)
        return {"path": self._paths(rows, indices + self.layout.first)}

    def contents(self, files: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        """Returns the bytes of each of some files, in order, whatever the shape that they are named in."""
        names = files["members" if self._archives else "path"]
        if self._archives:
            return tf.unstack(tf.reshape(read_files(files), [-1]), math.prod(names.shape))
        return [tf.io.read_file(path) for path in tf.unstack(tf.reshape(names, [-1]), math.prod(names.shape))]

    def distinct_images(self, files: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the images of the files of clips of one video, each once, and int32[D, n]: which are of each clip."""
        distinct, of_file = tf.unique(tf.reshape(files["members" if self._archives else "path"], [-1]))
        if self._archives:
            contents = read_files({"members": distinct, "path": files["path"][0]})
            images = tf.map_fn(self.image, contents, fn_output_signature=tf.uint8)
        else:
            images = tf.map_fn(lambda path: self.image(tf.io.read_file(path)), distinct, fn_output_signature=tf.uint8)
        return images, tf.reshape(of_file, [-1, self.num_files])

    def _paths(self, rows: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        if not self.clip.is_flow:
            return self._joined(self.layout.frame, rows, numbers, self.layout.digits)
        if not self.is_backward_stored:
            return self._flow_paths(self.layout.flow_x, self.layout.flow_y, rows, numbers)
        half = self.clip.length // 2
        forward = self._flow_paths(self.layout.flow_x, self.layout.flow_y, rows, numbers[..., :half])
        backward = self._flow_paths(self.layout.back_x, self.layout.back_y, rows, numbers[..., half:])
        return tf.concat([forward, backward], axis=-1)

    def planes(self, contents: list[tf.Tensor], box: tf.Tensor) -> list[tf.Tensor]:
        """Returns a box of a clip's channel planes from the contents of its files."""
        if self.clip.kind == "trajectory":
            # A point may leave the box, so that whole fields must be followed before they are cut.
            return [augment.crop(plane, box) for plane in self._assembled(self._decoded(contents, None))]
        return self._assembled(self._decoded(contents, box))

    def image(self, contents: tf.Tensor) -> tf.Tensor:
        """Returns what one file holds, uint8[H, W, 1, 2 or 3]: grey, x and y of floats, or colour."""
        return tf.concat(self._decoded([contents], None), axis=-1)

    def clips(self, images: tf.Tensor, of_file: tf.Tensor) -> tf.Tensor:
        """Returns clips, uint8[D, H, W, channels], of `distinct_images`."""
        if assemble.is_changed(self.clip, self.is_backward_stored):
            return tf.map_fn(
                lambda places: assemble.join(self._assembled(self._planes(tf.gather(images, places)))),
                of_file,
                fn_output_signature=tf.uint8,
            )
        # Files after another, and the channels of each: one transposition, of whole images.
        clips = tf.transpose(tf.gather(images, of_file), [0, 2, 3, 1, 4])
        return tf.reshape(clips, [*tf.unstack(tf.shape(clips)[:3]), self.clip.channels])

    def _planes(self, images: tf.Tensor) -> list[tf.Tensor]:
        planes = tf.unstack(images, self.num_files)
        return [part for plane in planes for part in tf.split(plane, 2, -1)] if self.is_float else planes

    def frame_size(self, contents: tf.Tensor) -> tf.Tensor:
        """Returns height and width of a file's image, int32[2], without decoding it."""
        return decode.floats_size(contents) if self.is_float else decode.image_size(contents)

    def size_of(self, row: int, start: int) -> tuple[int, int]:
        """Returns height and width of the first image of a clip."""
        files = {name: value[0] for name, value in self.files(tf.constant([row]), tf.constant([start])).items()}
        height, width = self.frame_size(self.contents(files)[0]).numpy().tolist()
        return height, width

    def short_side(self) -> int:
        """Returns the short side of the first video's frames."""
        return min(self.size_of(0, 0))

    @property
    def num_files(self) -> int:
        """How many files are read for a clip."""
        return self.clip.num_items * (2 if self.clip.is_flow and not self.is_float else 1)

    def _assembled(self, planes: list[tf.Tensor]) -> list[tf.Tensor]:
        return assemble.channel_planes(planes, self.clip, self.rule, self.bound, self.is_backward_stored)

    def _decoded(self, contents: list[tf.Tensor], box: tf.Tensor | None) -> list[tf.Tensor]:
        if self.is_float:
            return [plane for content in contents for plane in decode.decode_floats(content, self.bound, box)]
        return [decode.decode_image(content, 3 if self.clip.is_colour else 1, box) for content in contents]

    def _flow_paths(self, pattern_x: str, pattern_y: str, rows: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        x = self._joined(pattern_x, rows, numbers, self.layout.flow_digits)
        if self.is_float:
            return x
        y = self._joined(pattern_y, rows, numbers, self.layout.flow_digits)
        return tf.reshape(tf.stack([x, y], axis=-1), tf.concat([tf.shape(x)[:-1], [2 * x.shape[-1]]], axis=0))

    def _joined(self, pattern: str, rows: tf.Tensor, numbers: tf.Tensor, digits: int) -> tf.Tensor:
        """Returns a pattern's paths for many numbers a video; see `Layout` for what stands in patterns."""
        stump, tail = str(self.dataset.root / pattern).split("{number}")
        columns = {"{folder}": tf.gather(self._folders, rows), "{video}": tf.gather(self._stored, rows)}
        stumps = tf.strings.join([columns.get(part, part) for part in re.split(r"({folder}|{video})", stump)])
        if rows.shape.rank:
            stumps = tf.broadcast_to(stumps[..., None], tf.shape(numbers))
        texts = self._texts[digits]
        after = [tf.gather(texts, numbers + 1) if part == "{next}" else part for part in re.split(r"({next})", tail)]
        return tf.strings.join([stumps, tf.gather(texts, numbers), *after])

    def _digits(self) -> set[int]:
        return {self.layout.digits, self.layout.flow_digits}


def read_planes(
    source: Source,
    examples: dict[str, tf.Tensor],
    crop_size: int,
    augmentation: str,
    largest: int = 0,
    shown: str = "pixels",
) -> list[list[tf.Tensor]]:
    """Reads what is cut from the files of each example, alike from all: planes of all segments, uint8[H, W, 1 or 3].

    A box that its frame can't hold, or of a side above `largest` where that is given, is an error, which
    `unreadable` puts into words.
    """
    segments = source.clip.segments
    files = source.files(tf.repeat(examples["row"][:, None], segments, axis=1), examples["starts"])
    contents, planes = iter(source.contents(files)), []
    for number, randoms in enumerate(tf.unstack(examples["randoms"])):
        clips = [list(islice(contents, source.num_files)) for _ in range(segments)]
        height, width = tf.unstack(source.frame_size(clips[0][0]))
        box = augment.random_box(augmentation, height, width, crop_size, randoms, shown)
        fits = tf.reduce_max(box[2:]) <= largest if largest else tf.constant(True)
        if augmentation != "corners" and shown == "pixels":
            fits &= tf.minimum(height, width) >= crop_size
        first = tf.reshape(files["path"][number], [-1])[0]
        # Nothing in a graph of data waits for an assertion of itself: what is made of the box must not come first.
        with tf.control_dependencies([tf.debugging.Assert(fits, ["The crop does not fit:", first, height, width])]):
            box = tf.identity(box)
        planes.append([plane for clip in clips for plane in source.planes(clip, box)])
    return planes


def at_once() -> int:
    """Returns how many clips are made ahead: one for each processor, and one that waits for its turn."""
    return 2 * usable_processors()


def level_rule(dataset: DataSet, clip: Input) -> str:
    """Returns the rule of the levels that clips hold; floats become levels of ours."""
    return "centred" if clip.is_flow and dataset.layout.rule == FLOATS else dataset.layout.rule


def _labels(dataset: DataSet, videos: Sequence[Video]) -> tf.Tensor | tf.RaggedTensor:
    if not dataset.multi_label:
        return tf.constant([video.label for video in videos], tf.int32)
    values = [label for video in videos for label in video.labels]
    lengths = [len(video.labels) for video in videos]
    return tf.RaggedTensor.from_row_lengths(np.array(values, np.int32), np.array(lengths, np.int64))


def _check_warped(dataset: DataSet, clip: Input, made: Description) -> None:
    if clip.kind == "warped" and made.get("method", "warped") != "warped":
        raise ValueError(
            f"The flow in {dataset.root} was made by the method {made['method']!r}, and is not compensated for the "
            f"camera. Run: python data/prepare.py {dataset.name} --method warped --root ANOTHER_FOLDER"
        )


def _check_prepared(dataset: DataSet, videos: Sequence[Video], clip: Input) -> None:
    if not videos:
        raise ValueError(f"There are no videos of {dataset.name} to read. Choose another --split or part.")
    unprepared = [video.name for video in videos if not (video.num_flows if clip.is_flow else video.num_frames)]
    if unprepared:
        what = "flow" if clip.is_flow else "frames"
        raise ValueError(
            f"{len(unprepared)} of {len(videos)} videos have no {what} on disk, {unprepared[0]} among them. "
            f"Run: python data/prepare.py {dataset.name}"
        )
