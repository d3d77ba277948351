"""Shows where a stream looks: Grad-CAM (Selvaraju et al., 2017) over whole frames, as heat and as a picture."""

from typing import NamedTuple

import cv2
import keras
import numpy as np
import tensorflow as tf

# The layer of the last convolutional map has this name in every network of this project.
MAP = "map"


class Looker(NamedTuple):
    """A network in two parts, before and after its last convolutional map."""

    to_map: keras.Model
    to_logits: keras.Model

    @property
    def size(self) -> int:
        """The side of the square input of the network, in pixels."""
        side: int = self.to_map.inputs[0].shape[1]
        return side


def looker(model: keras.Model) -> Looker:
    """Splits a network at its last convolutional map. Call this once per model: it is slow."""
    if keras.backend.backend() != "tensorflow":
        raise ValueError("Grad-CAM takes gradients by TensorFlow. Leave KERAS_BACKEND out for it.")
    layer = _last_map(model)
    return Looker(keras.Model(model.inputs[0], layer.output), keras.Model(layer.output, model.outputs[0]))


def heat_of_frame(parts: Looker, frame: np.ndarray, label: int) -> np.ndarray:
    """Returns how much each pixel of a whole frame, uint8[H, W, channels], speaks for a class: float32[H, W] in 0..1.

    The input of the network is a square. So the frame is cut into overlapping squares, and their heat is averaged.
    """
    height, width = frame.shape[:2]
    places = [(top, left) for top in _starts(height, parts.size) for left in _starts(width, parts.size)]
    squares = np.stack([frame[top : top + parts.size, left : left + parts.size] for top, left in places])
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for (top, left), heat in zip(places, heat_of_squares(parts, squares, label), strict=True):
        here = (slice(top, top + parts.size), slice(left, left + parts.size))
        total[here] += cv2.resize(heat, (parts.size, parts.size), interpolation=cv2.INTER_LINEAR)
        count[here] += 1
    mean = total / np.maximum(count, 1)
    # Scaled per frame: the heat shows where the stream looks, not how confident it is.
    warmth: np.ndarray = mean / max(float(mean.max()), 1e-12)
    return warmth


def heat_of_squares(parts: Looker, squares: np.ndarray, label: int) -> np.ndarray:
    """Returns the Grad-CAM of squares of the network's input size, in the size of its last map: float32[N, h, w]."""
    maps = parts.to_map(squares, training=False)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        score = parts.to_logits(maps, training=False)[:, label]
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat: np.ndarray = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1)).numpy().astype(np.float32)
    return heat


def with_heat(picture: np.ndarray, heat: np.ndarray, strength: float = 0.55) -> np.ndarray:
    """Returns an RGB picture with the heat laid over it: yellow where the stream looks, unchanged elsewhere."""
    colours = cv2.applyColorMap(np.rint(heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = strength * heat[..., None]
    mixed = (1 - share) * (0.8 * picture) + share * cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
    blended: np.ndarray = np.rint(np.clip(mixed, 0, 255)).astype(np.uint8)
    return blended


def _starts(length: int, size: int) -> list[int]:
    """Returns the starts of squares that cover a side; neighbours overlap by at least a half."""
    count = 1 + int(np.ceil(2 * (length - size) / size)) if length > size else 1
    return np.round(np.linspace(0, max(length - size, 0), count)).astype(int).tolist()


def _last_map(model: keras.Model) -> keras.layers.Layer:
    layers = {layer.name: layer for layer in model.layers}
    if MAP in layers:
        return layers[MAP]
    # Such a network has a separate axis for the moments.
    shapes = [each.shape for place in model.operations for each in keras.tree.flatten(place.output)]
    if isinstance(layers.get("features"), keras.layers.Concatenate) or max(map(len, shapes)) > 4:
        raise ValueError(f"{model.name} looks at several moments at once, so no single map shows where it looks.")
    for layer in reversed(model.layers):
        if len(getattr(layer.output, "shape", ())) == 4:
            return layer
    raise ValueError(f"{model.name} has no convolutional map, so there is no map of where it looks.")
