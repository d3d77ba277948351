"""Looking up an image between its pixels, for a vector of places at once.

The image is one array with four floats a pixel: brightness, its derivatives in x and in y, and nothing;
so one load fetches all that neighbouring pixels know. Places (x, y) are counted from pixel (0, 0), which lies
MARGIN pixels inside the array from the left and from above, so that every tap of a place inside the image exists.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from data.kernel_cache import inner
from data.vectors import CONTRACT, FLOAT, INT, LANES, VECTOR, Vector, broadcast, constant, lanes, pointer

CHANNELS = 4
MARGIN = 2
_INTS = ir.VectorType(INT, LANES)
_LONG = ir.IntType(64)

# The weight of each tap as a polynomial in the fraction of a pixel, lowest power first: one tap a pixel, ...
_NEAREST = ((1.0,),)
_LINEAR = ((1.0, -1.0), (0.0, 1.0))
# ... and Keys' cubic kernel with a = -3/4, OpenCV's choice, for the taps at -1, 0, 1 and 2.
_A = -0.75
_CUBIC = (
    (0.0, _A, -2 * _A, _A),
    (1.0, 0.0, -(_A + 3), _A + 2),
    (0.0, -_A, 2 * _A + 3, -(_A + 2)),
    (0.0, 0.0, _A, -_A),
)


def _sampler(name: str, taps: tuple[tuple[float, ...], ...]) -> Any:
    """Returns an intrinsic (image, pitch, x, y) -> vectors of brightness and both derivatives at places x, y."""
    first_tap = MARGIN - (len(taps) - 1) // 2

    def sample(_: Any, image: Any, pitch: Any, x: Any, y: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            image_value, pitch_value, x_value, y_value = arguments
            (column, x_part), (row, y_part) = _split(builder, x_value), _split(builder, y_value)
            across, down = _weights(builder, x_part, taps), _weights(builder, y_part, taps)
            pixel = builder.mul(row, broadcast(builder, builder.trunc(pitch_value, INT), _INTS))
            pixel = builder.add(pixel, column)
            to_first = builder.mul(builder.add(pitch_value, _long(1)), _long(first_tap))
            pixels = []
            for lane in range(LANES):
                nearest = builder.zext(builder.extract_element(pixel, ir.Constant(INT, lane)), _LONG)
                place = builder.mul(builder.add(nearest, to_first), _long(CHANNELS))
                total = None
                for weight in down:
                    kind = ir.VectorType(FLOAT, len(taps) * CHANNELS)
                    address = pointer(context, builder, signature.args[0], image_value, place, kind)
                    product = _multiply(builder, builder.load(address, align=4), _repeat(builder, weight, lane, kind))
                    total = product if total is None else _add(builder, total, product)
                    place = builder.add(place, builder.mul(pitch_value, _long(CHANNELS)))
                pixels.append(_sum_pixels(builder, _multiply(builder, total, _row_weights(builder, across, lane))))
            channels = [_channel(builder, pixels, channel) for channel in range(3)]
            return context.make_tuple(builder, signature.return_type, channels)

        return types.UniTuple(Vector, 3)(image, types.int64, Vector, Vector), emit

    sample.__name__ = name
    return intrinsic(sample)


def _long(value: int) -> ir.Constant:
    return ir.Constant(_LONG, value)


def _add(builder: Any, a: Any, b: Any) -> Any:
    return builder.fadd(a, b, flags=CONTRACT)


def _multiply(builder: Any, a: Any, b: Any) -> Any:
    return builder.fmul(a, b, flags=CONTRACT)


def _split(builder: Any, place: Any) -> tuple[Any, Any]:
    """Parts places, none negative, into whole pixels and fractions."""
    whole = builder.fptosi(place, _INTS)
    return whole, builder.fsub(place, builder.sitofp(whole, VECTOR))


def _weights(builder: Any, fraction: Any, taps: tuple[tuple[float, ...], ...]) -> list[Any]:
    """Evaluates each tap's polynomial by Horner's rule."""
    weights = []
    for polynomial in taps:
        value = constant([polynomial[-1]] * LANES)
        for coefficient in polynomial[-2::-1]:
            value = _add(builder, _multiply(builder, value, fraction), constant([coefficient] * LANES))
        weights.append(value)
    return weights


def _repeat(builder: Any, weights: Any, lane: int, kind: ir.VectorType) -> Any:
    return builder.shuffle_vector(weights, weights, lanes([lane] * kind.count))


def _row_weights(builder: Any, weights: list[Any], lane: int) -> Any:
    """Returns one lane's weights of a row of taps, each repeated for the channels of its pixel."""
    if len(weights) == 1:
        return _repeat(builder, weights[0], lane, ir.VectorType(FLOAT, CHANNELS))
    half = len(weights) // 2
    left, right = _row_weights(builder, weights[:half], lane), _row_weights(builder, weights[half:], lane)
    return _join(builder, left, right)


def _join(builder: Any, left: Any, right: Any) -> Any:
    return builder.shuffle_vector(left, right, lanes(list(range(2 * left.type.count))))


def _sum_pixels(builder: Any, row: Any) -> Any:
    """Adds up the pixels of a row of taps, channel by channel."""
    while row.type.count > CHANNELS:
        half = row.type.count // 2
        left = builder.shuffle_vector(row, row, lanes(list(range(half))))
        right = builder.shuffle_vector(row, row, lanes(list(range(half, 2 * half))))
        row = _add(builder, left, right)
    return row


def _channel(builder: Any, pixels: list[Any], channel: int) -> Any:
    """Collects one channel of LANES pixels into a vector."""
    picked = lanes([channel, CHANNELS + channel])
    parts = [builder.shuffle_vector(a, b, picked) for a, b in zip(pixels[::2], pixels[1::2], strict=True)]
    while len(parts) > 1:
        parts = [_join(builder, a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def image_pitch(width: int) -> int:
    """Returns the distance of two rows of a sampled image in pixels, a whole number of vectors."""
    return (width + 2 * MARGIN + LANES - 1) // LANES * LANES


row_pitch = inner(image_pitch)
nearest = _sampler("nearest", _NEAREST)
bilinear = _sampler("bilinear", _LINEAR)
bicubic = _sampler("bicubic", _CUBIC)


@intrinsic
def store_pixels(_: Any, image: Any, index: Any, brightness: Any, x_derivative: Any, y_derivative: Any) -> Any:
    """Writes LANES pixels, CHANNELS floats each, from image[index] on."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        image_value, index_value, value, x_value, y_value = arguments
        both = _join(builder, value, x_value)
        rest = _join(builder, y_value, constant([0.0] * LANES))
        order = [channel * LANES + lane for lane in range(LANES) for channel in range(CHANNELS)]
        pixels = builder.shuffle_vector(both, rest, lanes(order))
        builder.store(pixels, pointer(context, builder, signature.args[0], image_value, index_value, pixels.type), 4)
        return context.get_dummy_value()

    return types.void(image, types.int64, Vector, Vector, Vector), emit
