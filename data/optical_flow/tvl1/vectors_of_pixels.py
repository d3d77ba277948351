"""Operations on pixels of CHANNELS floats each, written in LLVM instructions where numba can't express them.

As in vectors.py, arrays are one-dimensional, contiguous and float32. Indices count floats and are not checked.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from data.optical_flow.tvl1.vectors import Vector
from data.optical_flow.tvl1.vectors_emitted import (
    CONTRACT,
    FLOAT,
    INT,
    INTS,
    LANES,
    broadcast,
    constant,
    lanes,
    pointer,
)

CHANNELS = 4
# Width in pixels of the border around an image.
MARGIN = 2


@intrinsic
def store_pixel_numbers(_: Any, places: Any, index: Any, column: Any, row: Any, pitch: Any) -> Any:
    """Writes the pixel numbers of columns and rows of an image, as integers in the bits of floats."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at, column_value, row_value, pitch_value = arguments
        columns, rows = (builder.add(builder.fptosi(each, INTS), _ints(MARGIN)) for each in (column_value, row_value))
        numbers = builder.add(builder.mul(rows, broadcast(builder, builder.trunc(pitch_value, INT), INTS)), columns)
        builder.store(numbers, pointer(context, builder, signature.args[0], array, at, INTS), align=4)
        return context.get_dummy_value()

    return types.void(places, types.int64, Vector, Vector, types.int64), emit


@intrinsic
def load_pixel_number(_: Any, places: Any, index: Any) -> Any:
    """Returns one of the pixel numbers that `store_pixel_numbers` wrote."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, at = arguments
        number = builder.load(pointer(context, builder, signature.args[0], array, at, INT))
        return builder.zext(number, ir.IntType(64))

    return types.int64(places, types.int64), emit


def weighted(taps: tuple[tuple[float, ...], ...]) -> Any:
    """Returns an intrinsic that writes the weighted sum of rows of taps, all channels at once."""

    @intrinsic
    def weigh(_: Any, image: Any, tap: Any, pitch: Any, x_part: Any, weights: Any, target: Any) -> Any:
        # `weights` and `target` are each an array and an index into it.
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            image_value, place, pitch_value, fraction, *pairs = arguments
            (weights_value, weight_place), (pixels_value, to) = (cgutils.unpack_tuple(builder, pair) for pair in pairs)
            kinds, row_of_taps = signature.args, ir.VectorType(FLOAT, len(taps) * CHANNELS)
            total = None
            for _ in taps:
                row = builder.load(pointer(context, builder, kinds[0], image_value, place, row_of_taps), align=4)
                scalar = builder.load(pointer(context, builder, kinds[4][0], weights_value, weight_place, FLOAT))
                product = _multiply(builder, row, broadcast(builder, scalar, row_of_taps))
                total = product if total is None else _add(builder, total, product)
                place = builder.add(place, builder.mul(pitch_value, _long(CHANNELS)))
                weight_place = builder.add(weight_place, _long(LANES))
            across = _across(builder, broadcast(builder, fraction, row_of_taps), taps)
            pixel = _sum_pixels(builder, _multiply(builder, total, across))
            builder.store(pixel, pointer(context, builder, kinds[5][0], pixels_value, to, pixel.type), align=4)
            return context.get_dummy_value()

        longs = types.int64
        return types.void(image, longs, longs, types.float32, weights, target), emit

    return weigh


def _ints(value: int) -> ir.Constant:
    return ir.Constant(INTS, [value] * LANES)


def _long(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(64), value)


def _add(builder: Any, a: Any, b: Any) -> Any:
    return builder.fadd(a, b, flags=CONTRACT)


def _multiply(builder: Any, a: Any, b: Any) -> Any:
    return builder.fmul(a, b, flags=CONTRACT)


def _across(builder: Any, fraction: Any, taps: tuple[tuple[float, ...], ...]) -> Any:
    """Returns the weights of a row of taps, each repeated for the channels of its pixel, by Horner's rule."""
    powers = [constant([tap[power] for tap in taps for _ in range(CHANNELS)]) for power in range(len(taps[0]))]
    value = powers[-1]
    for power in powers[-2::-1]:
        value = _add(builder, _multiply(builder, value, fraction), power)
    return value


def _sum_pixels(builder: Any, row: Any) -> Any:
    """Adds up the pixels of a row of taps, channel by channel."""
    while row.type.count > CHANNELS:
        half = row.type.count // 2
        left = builder.shuffle_vector(row, row, lanes(list(range(half))))
        right = builder.shuffle_vector(row, row, lanes(list(range(half, 2 * half))))
        row = _add(builder, left, right)
    return row


@intrinsic
def copy_pixel(_: Any, image: Any, source: Any, pixels: Any, target: Any) -> Any:
    """Writes image[source : source + CHANNELS] to pixels[target]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        image_value, source_value, pixels_value, target_value = arguments
        kind = ir.VectorType(FLOAT, CHANNELS)
        value = builder.load(pointer(context, builder, signature.args[0], image_value, source_value, kind), align=4)
        builder.store(value, pointer(context, builder, signature.args[2], pixels_value, target_value, kind), align=4)
        return context.get_dummy_value()

    return types.void(image, types.int64, pixels, types.int64), emit


@intrinsic
def load_pixels(_: Any, pixels: Any, index: Any) -> Any:
    """Returns brightness, x derivative and y derivative of LANES pixels from pixels[index] on, as three vectors."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(FLOAT, LANES * CHANNELS)
        array, at = arguments
        all_of_them = builder.load(pointer(context, builder, signature.args[0], array, at, kind), align=4)
        chosen = [lanes(list(range(channel, LANES * CHANNELS, CHANNELS))) for channel in range(3)]
        channels = [builder.shuffle_vector(all_of_them, all_of_them, each) for each in chosen]
        return context.make_tuple(builder, signature.return_type, channels)

    return types.UniTuple(Vector, 3)(pixels, types.int64), emit


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


def _join(builder: Any, left: Any, right: Any) -> Any:
    return builder.shuffle_vector(left, right, lanes(list(range(2 * left.type.count))))
