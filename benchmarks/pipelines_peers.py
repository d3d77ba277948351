"""What the pipelines are measured against: the raw limit of decoding, and the loaders of the field's older code."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf
from PIL import Image

from data.catalog import DataSet, Video
from pipelines import augment, decode
from pipelines.inputs import Input
from pipelines.sampling import view_starts
from pipelines.source import Source, at_once


def raw_limit(dataset: DataSet, videos: Sequence[Video], clip: Input, size: int) -> Iterator[tf.Tensor]:
    """Reads files and decodes the boxes that training would cut, and does nothing with them."""
    source = Source(dataset, videos, clip)
    paths = source.files(tf.range(len(videos)), tf.random.uniform([len(videos)], 0, 10, tf.int32))["path"]
    randoms = tf.random.uniform([len(videos), augment.NUM_RANDOMS])

    def load(files: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        box = augment.random_box("corners", tf.constant(256), tf.constant(340), size, drawn)
        channels = 3 if clip.is_colour else 1
        contents = [tf.io.read_file(files[number]) for number in range(source.num_files)]
        # One pixel of each is used, so that no decoding is optimised away.
        return tf.stack([decode.decode_image(content, channels, box)[0, 0, 0] for content in contents])

    examples = tf.data.Dataset.from_tensor_slices((paths, randoms)).repeat()
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return iter(examples.map(load, num_parallel_calls=at_once()).prefetch(8).with_options(options))


def classic_flow(dataset: DataSet, videos: Sequence[Video], length: int, size: int) -> Iterator[np.ndarray]:
    """Opens every file with Pillow, resizes it, makes it a float tensor and stacks: the widely copied loader."""
    for paths in _stacks(dataset, videos, length):
        planes = [np.asarray(Image.open(path).resize((size, size)), np.float32) / 255 for path in paths]
        yield np.stack(planes)


def opencv_flow(dataset: DataSet, videos: Sequence[Video], length: int, size: int) -> Iterator[np.ndarray]:
    """Reads every file with OpenCV, cuts, resizes and mirrors it, and scales the stack."""
    generator = np.random.default_rng(0)
    for paths in _stacks(dataset, videos, length):
        top, left, height, width = _box(generator)
        planes = [np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in paths]
        resized = [cv2.resize(plane[top : top + height, left : left + width], (size, size)) for plane in planes]
        if generator.random() < 0.5:
            resized = [plane[:, ::-1] if odd % 2 else 255 - plane[:, ::-1] for odd, plane in enumerate(resized)]
        yield (np.stack(resized).astype(np.float32) - 128) / 128


def classic_rgb(dataset: DataSet, videos: Sequence[Video], size: int) -> Iterator[np.ndarray]:
    """Opens a frame with Pillow, cuts and resizes it, and makes it a float tensor."""
    generator = np.random.default_rng(0)
    for path in _frames(dataset, videos):
        top, left, height, width = _box(generator)
        image = Image.open(path).convert("RGB").crop((left, top, left + width, top + height)).resize((size, size))
        yield np.asarray(image, np.float32).transpose(2, 0, 1) / 255


def opencv_rgb(dataset: DataSet, videos: Sequence[Video], size: int) -> Iterator[np.ndarray]:
    """Reads a frame with OpenCV, makes it RGB, cuts, resizes, mirrors and scales it."""
    generator = np.random.default_rng(0)
    for path in _frames(dataset, videos):
        top, left, height, width = _box(generator)
        frame = cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB)
        frame = cv2.resize(frame[top : top + height, left : left + width], (size, size))
        frame = frame[:, ::-1] if generator.random() < 0.5 else frame
        yield ((frame.astype(np.float32) - 110) / 58).transpose(2, 0, 1).copy()


def decode_for_each_crop(
    dataset: DataSet, videos: Sequence[Video], length: int, num_views: int, num_crops: int
) -> Iterator[np.ndarray]:
    """Yields the crops of a video's views, each of which opens its files with Pillow: what simple test code does."""
    for video in videos:
        crops = []
        for start in view_starts(video.num_flows, length, num_views):
            fields = (
                dataset.layout.flow_paths(dataset.root, video, (start + n) % video.num_flows) for n in range(length)
            )
            paths = [path for pair in fields for path in pair]
            for number in range(num_crops):
                down, right = augment.FIVE_PLACES[number % 5]
                top, left = int((256 - 224) * down), int((340 - 224) * right)
                planes = [np.asarray(Image.open(path))[top : top + 224, left : left + 224] for path in paths]
                crops.append(np.stack(planes if number < 5 else [plane[:, ::-1] for plane in planes]))
        yield np.stack(crops)


def _stacks(dataset: DataSet, videos: Sequence[Video], length: int) -> Iterator[list[Path]]:
    generator = np.random.default_rng(0)
    while True:
        video = videos[int(generator.integers(len(videos)))]
        start = int(generator.integers(video.num_flows - length + 1))
        fields = (dataset.layout.flow_paths(dataset.root, video, start + index) for index in range(length))
        yield [path for pair in fields for path in pair]


def _frames(dataset: DataSet, videos: Sequence[Video]) -> Iterator[Path]:
    generator = np.random.default_rng(0)
    while True:
        video = videos[int(generator.integers(len(videos)))]
        yield dataset.layout.frame_path(dataset.root, video, int(generator.integers(video.num_frames)))


def _box(generator: np.random.Generator) -> tuple[int, int, int, int]:
    height, width = (int(256 * augment.SCALES[index]) for index in generator.integers(len(augment.SCALES), size=2))
    down, right = augment.FIVE_PLACES[generator.integers(5)]
    return int((256 - height) * down), int((340 - width) * right), height, width
