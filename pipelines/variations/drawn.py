"""Draws the variation of each clip of a batch: only numbers, which follow from the seed, the step and its place."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipelines.variations.table import MIXES, PLACES, VARIATIONS

# The random numbers that one clip needs: two for each drawn variation, and five for the erased rectangle.
NUM_RANDOMS = 2 * len(VARIATIONS) + 5
# For an erased rectangle: shares of the clip's area, and ratios of width to height (Zhong et al. 2020, Sec. 4).
_AREA, _ASPECT = (0.02, 0.33), 3.3
_QUANTILES = 4096
NUM_MIX_RANDOMS = 4


class Mix(NamedTuple):
    """The way in which the clips of a batch are mixed with those of the reversed batch."""

    share: tf.Tensor  # float32[]: the share of each pixel that remains.
    rectangle: tf.Tensor  # float32[4]: the inserted rectangle: top, left, bottom and right, as shares of the sides.


class Drawn(NamedTuple):
    """The variation of each clip of a batch, [B, ...]."""

    moves: tf.Tensor  # float32[B, 2, 2]: the matrix that rotates, scales and shears a vector (x, y) of the clip.
    speed: tf.Tensor  # float32[B]
    is_backwards: tf.Tensor  # bool[B]
    colours: tf.Tensor  # float32[B, 3]: factors of brightness, contrast and saturation. 1 changes nothing.
    erased: tf.Tensor  # float32[B, 4]: top, left, bottom and right as shares of the sides. Empty if nothing is erased.


def drawn(amounts: Mapping[str, float], randoms: tf.Tensor) -> Drawn:
    """Returns the variation of each clip, from numbers in 0..1 [B, NUM_RANDOMS]."""
    names = [name for name, each in VARIATIONS.items() if each.is_drawn]
    values = dict(zip(VARIATIONS, tf.unstack(randoms[:, : len(VARIATIONS)], axis=1), strict=True))
    is_on = _chosen(amounts, names, randoms[:, len(VARIATIONS) : 2 * len(VARIATIONS)])

    def even(name: str) -> tf.Tensor:
        """Returns numbers from -1 to 1, or 0 for clips without this variation."""
        return is_on[name] * (2 * values[name] - 1)

    def ratio(name: str) -> tf.Tensor:
        return tf.exp(math.log(amounts.get(name, 1.0)) * even(name))

    angle, width = math.radians(amounts.get("rotate", 0.0)) * even("rotate"), tf.sqrt(ratio("stretch"))
    one, zero, shear = tf.ones_like(angle), tf.zeros_like(angle), amounts.get("shear", 0.0) * even("shear")
    turned = _matrix(tf.cos(angle), -tf.sin(angle), tf.sin(angle), tf.cos(angle))
    moves = turned @ _matrix(one, shear, zero, one) @ _matrix(width, zero, zero, 1 / width)
    colours = [1 + amounts.get(name, 0.0) * even(name) for name in ("brightness", "contrast", "saturation")]
    backwards = is_on["backwards"] * tf.cast(values["backwards"] < amounts.get("backwards", 0.0), tf.float32) > 0
    rectangle = _rectangle(values["erase"] < amounts.get("erase", 0.0), randoms[:, 2 * len(VARIATIONS) :])
    return Drawn(moves * ratio("scale")[:, None, None], ratio("speed"), backwards, tf.stack(colours, axis=1), rectangle)


def moves_places(amounts: Mapping[str, float]) -> bool:
    """Tells whether clips are rotated, scaled or sheared."""
    return any(name in amounts for name in PLACES)


def drawn_mix(amounts: Mapping[str, float], randoms: tf.Tensor) -> Mix | None:
    """Returns how the clips of a batch are mixed, all in the same way, from numbers in 0..1 [NUM_MIX_RANDOMS]."""
    if not any(name in amounts for name in MIXES):
        return None
    coin, place, down, right = tf.unstack(randoms)
    chance = 0.5 * ("mixup" in amounts) + 0.5 * ("cutmix" not in amounts)  # The chance of mixup: 1, a half or 0.
    is_mixup = coin < chance
    kept = tf.where(is_mixup, *(_beta(amounts.get(name, 1.0), place) for name in MIXES))
    # The rectangle's centre may be anywhere, so a part of it may be outside (Yun et al. 2019, Sec. 3.1).
    half = tf.sqrt(1 - kept) / 2
    rectangle = tf.clip_by_value(tf.stack([down - half, right - half, down + half, right + half]), 0.0, 1.0)
    return Mix(tf.where(is_mixup, kept, 1.0), tf.where(is_mixup, tf.zeros([4]), rectangle))


def _beta(alpha: float, random: tf.Tensor) -> tf.Tensor:
    """Returns a draw from Beta(alpha, alpha), as one of its quantiles."""
    return tf.gather(_quantiles(alpha), tf.minimum(tf.cast(random * _QUANTILES, tf.int32), _QUANTILES - 1))


@cache
def _quantiles(alpha: float) -> np.ndarray:
    # The quantiles of a sample: they need no other package, and no random numbers that some device can't draw.
    sample = np.random.default_rng(0).beta(alpha, alpha, 2**18)
    return np.quantile(sample, (np.arange(_QUANTILES) + 0.5) / _QUANTILES).astype(np.float32)


def _chosen(amounts: Mapping[str, float], names: Sequence[str], ranks: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns 1 for the clips that each variation changes: all, or those that draw it by `random`."""
    given = [name for name in names if name in amounts]
    off = tf.zeros_like(ranks[:, 0])
    if "random" not in amounts or not given:
        return {name: off + float(name in amounts) for name in names}
    scores = tf.stack([ranks[:, list(VARIATIONS).index(name)] for name in given], axis=1)
    # The number of others that have drawn a smaller number.
    places = tf.reduce_sum(tf.cast(scores[:, None] < scores[:, :, None], tf.float32), axis=2)
    on = tf.unstack(tf.cast(places < amounts["random"], tf.float32), axis=1)
    return dict.fromkeys(names, off) | dict(zip(given, on, strict=True))


def _matrix(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.stack([a, b], axis=1), tf.stack([c, d], axis=1)], axis=1)


def _rectangle(is_erased: tf.Tensor, randoms: tf.Tensor) -> tf.Tensor:
    area = _AREA[0] + (_AREA[1] - _AREA[0]) * randoms[:, 0]
    aspect = tf.exp(math.log(_ASPECT) * (2 * randoms[:, 1] - 1))
    height, width = (tf.minimum(1.0, tf.sqrt(each)) for each in (area / aspect, area * aspect))
    top, left = randoms[:, 2] * (1 - height), randoms[:, 3] * (1 - width)
    return tf.where(is_erased[:, None], tf.stack([top, left, top + height, left + width], axis=1), 0.0)
