"""The references for the pipelines: the raw limit of decoding, and decoding separately for each crop of a test view."""

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from PIL import Image

from data.catalog import DataSet, Video
from pipelines import augment, decode
from pipelines.inputs import Input
from pipelines.sampling import view_starts
from pipelines.source import Source, at_once


def raw_limit(dataset: DataSet, videos: Sequence[Video], clip: Input, size: int) -> Iterator[tf.Tensor]:
    """Reads files and decodes the boxes that training would crop, without using them."""
    source = Source(dataset, videos, clip)
    paths = source.files(tf.range(len(videos)), tf.random.uniform([len(videos)], 0, 10, tf.int32))["path"]
    randoms = tf.random.uniform([len(videos), augment.NUM_RANDOMS])

    def load(files: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
        box = augment.random_box("corners", tf.constant([256, 340]), size, drawn)
        channels = 3 if clip.is_colour else 1
        contents = [tf.io.read_file(files[number]) for number in range(source.num_files)]
        # One pixel of each is used, so that no decoding is optimised away.
        return tf.stack([decode.decode_image(content, channels, box)[0, 0, 0] for content in contents])

    examples = tf.data.Dataset.from_tensor_slices((paths, randoms)).repeat()
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return iter(examples.map(load, num_parallel_calls=at_once()).prefetch(8).with_options(options))


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
