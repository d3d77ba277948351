"""Reads the members of archives from which clips of a packed data set are made; see data/store/archive.py."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from data.store.archive import read_members
from pipelines.inputs import Input


class Archives:
    """Knows the archives of a packed data set, and finds the members that a clip is made of."""

    def __init__(self, columns: Callable[[str, tf.Tensor], tf.Tensor], is_backward_stored: bool) -> None:
        self.columns, self.is_backward_stored = columns, is_backward_stored

    def files(self, rows: tf.Tensor, indices: tf.Tensor, clip: Input) -> dict[str, tf.Tensor]:
        """Returns the input of `read_files`, for rows [...] and the items of their clips, [..., items]."""
        members = indices
        if clip.is_flow:
            # After the frames come the fields, x and y in turn, first the forward ones.
            members = self.columns("num_frames", rows)[..., None] + 2 * indices
            if self.is_backward_stored:
                is_back = tf.range(clip.length) >= clip.length // 2
                members += tf.where(is_back, 2 * self.columns("num_flows", rows)[..., None], 0)
            shape = tf.concat([tf.shape(rows), [2 * clip.num_items]], axis=0)
            members = tf.reshape(tf.stack([members, members + 1], axis=-1), shape)
        return {"members": members, "path": self.columns("path", rows)}


def read_files(files: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the bytes of the members that `Archives.files` names, string[..., items], by one call for all of them.

    TensorFlow reads a part of a file only as a data set, which takes a third of the time of decoding a frame.
    """
    paths, members = tf.reshape(files["path"], [-1]), files["members"]
    by_path = tf.reshape(members, [tf.size(paths), -1])
    contents = tf.numpy_function(_read, [paths, by_path], tf.string, stateful=False)
    return tf.ensure_shape(tf.reshape(contents, tf.shape(members)), members.shape)


def _read(paths: np.ndarray, members: np.ndarray) -> np.ndarray:
    contents = np.empty(members.shape, object)
    for row, (path, wanted) in enumerate(zip(paths, members, strict=True)):
        contents[row] = read_members(path.decode(), wanted.tolist())
    return contents
