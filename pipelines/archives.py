"""The archives of a packed data set, and which of their members clips are made of; see data/packed.py."""

from collections.abc import Sequence

import tensorflow as tf

from data.catalog import DataSet, Video
from data.packed import archive_path, num_members
from pipelines.inputs import Input


class Archives:
    """Where the archives of a packed data set lie, and which of their members a clip is made of."""

    def __init__(self, dataset: DataSet, videos: Sequence[Video], is_backward_stored: bool) -> None:
        paths = [archive_path(dataset, video) for video in videos]
        self.is_backward_stored = is_backward_stored
        self.paths = tf.constant([str(path) for path in paths])
        self.sizes = tf.constant([path.stat().st_size for path in paths], tf.int64)
        self.num_frames = tf.constant([video.num_frames for video in videos], tf.int32)
        self.num_flows = tf.constant([video.num_flows for video in videos], tf.int32)
        counts = [num_members(video, is_backward_stored=is_backward_stored) for video in videos]
        self.counts = tf.constant(counts, tf.int64)

    def files(self, rows: tf.Tensor, indices: tf.Tensor, clip: Input) -> dict[str, tf.Tensor]:
        """Returns what `decode.read_members` needs, for rows [...] and the items of their clips, [..., items]."""
        members = indices
        if clip.is_flow:
            # After the frames come the fields, x and y in turn, the forward ones first.
            members = tf.gather(self.num_frames, rows)[..., None] + 2 * indices
            if self.is_backward_stored:
                is_back = tf.range(clip.length) >= clip.length // 2
                members += tf.where(is_back, 2 * tf.gather(self.num_flows, rows)[..., None], 0)
            shape = tf.concat([tf.shape(rows), [2 * clip.num_items]], axis=0)
            members = tf.reshape(tf.stack([members, members + 1], axis=-1), shape)
        columns = {"path": self.paths, "file_size": self.sizes, "count": self.counts}
        return {"members": members, **{name: tf.gather(column, rows) for name, column in columns.items()}}
