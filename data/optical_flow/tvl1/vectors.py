"""SIMD vectors of float32 for numba kernels. They are explicit because numba does not vectorise plain loops over flow.

`Vector` is as wide as the registers of the processor. It supports +, -, * and / with other vectors and with float32
scalars, and the functions below. A product that is added or subtracted becomes one fused multiply-add. Operations are
never reordered, so results don't depend on the width. Arrays are one-dimensional, contiguous and float32. Indices count
floats and are not checked.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

from data.optical_flow.tvl1.kernel_cache import inner, target_features
from data.optical_flow.tvl1.vectors_emitted import (
    CONTRACT,
    FLOAT,
    INTS,
    LANES,
    VECTOR,
    broadcast,
    constant,
    lanes,
    pointer,
)

# The type of a vector in the code of a kernel; Python's type hints can't describe it.
Lanes = Any


TWO, THREE = np.float32(2), np.float32(3)


class VectorType(types.Type):
    """The numba type of a vector of LANES float32 values."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


Vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, VECTOR)


# Memory.


@intrinsic
def load(_: Any, array: Any, index: Any) -> Any:
    """Returns array[index : index + LANES]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(pointer(context, builder, signature.args[0], *arguments), align=4)

    return Vector(array, types.intp), emit


@intrinsic
def store(_: Any, array: Any, index: Any, vector: Any) -> Any:
    """Writes array[index : index + LANES]."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_value, index_value, value = arguments
        builder.store(value, pointer(context, builder, signature.args[0], array_value, index_value), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, Vector), emit


@intrinsic
def load_one(_: Any, array: Any, index: Any) -> Any:
    """Returns array[index] without numba's check for negative indices."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_value, index_value = arguments
        return builder.load(pointer(context, builder, signature.args[0], array_value, index_value, FLOAT))

    return types.float32(array, types.intp), emit


@intrinsic
def store_one(_: Any, array: Any, index: Any, scalar: Any) -> Any:
    """Writes array[index] without numba's check for negative indices."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_value, index_value, value = arguments
        builder.store(value, pointer(context, builder, signature.args[0], array_value, index_value, FLOAT))
        return context.get_dummy_value()

    return types.void(array, types.intp, types.float32), emit


@intrinsic
def store_pairs(_: Any, array: Any, index: Any, first: Any, second: Any) -> Any:
    """Writes first[0], second[0], first[1], second[1] and so on, from array[index] on."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_value, index_value, first_value, second_value = arguments
        order = lanes([lane + of for lane in range(LANES) for of in (0, LANES)])
        pairs = builder.shuffle_vector(first_value, second_value, order)
        builder.store(pairs, pointer(context, builder, signature.args[0], array_value, index_value, pairs.type), 4)
        return context.get_dummy_value()

    return types.void(array, types.intp, Vector, Vector), emit


# Values.


@intrinsic
def splat(_: Any, scalar: Any) -> Any:
    """Returns a vector with `scalar` in every lane."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return broadcast(builder, arguments[0])

    return Vector(types.float32), emit


@intrinsic
def lane_numbers(_: Any) -> Any:
    """Returns the vector 0, 1, 2, ..., LANES - 1."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return constant([float(lane) for lane in range(LANES)])

    return Vector(), emit


@intrinsic
def square_root(_: Any, vector: Any) -> Any:
    """Returns the correctly rounded square root of each lane."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(VECTOR, [VECTOR])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{LANES}f32"), arguments)

    return Vector(Vector), emit


@intrinsic
def whole(_: Any, vector: Any) -> Any:
    """Returns the whole part of each lane, none of them negative."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.sitofp(builder.fptosi(arguments[0], INTS), VECTOR)

    return Vector(Vector), emit


# The x86 instructions that estimate 1 / sqrt(x) quickly, correct to at least 11 bits.
_ESTIMATES = {16: "llvm.x86.avx512.rsqrt14.ps.512", 8: "llvm.x86.avx.rsqrt.ps.256", 4: "llvm.x86.sse.rsqrt.ps"}


@intrinsic
def _estimated_inverse_root(_: Any, vector: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # The widest instruction also takes a mask of lanes; this one selects all.
        every_lane = [ir.Constant(VECTOR, None), ir.Constant(ir.IntType(16), -1)] if LANES == 16 else []
        kind = ir.FunctionType(VECTOR, [VECTOR, *(each.type for each in every_lane)])
        estimate = cgutils.get_or_insert_function(builder.module, kind, _ESTIMATES[LANES])
        return builder.call(estimate, [*arguments, *every_lane])

    return Vector(Vector), emit


def _newton_twice_inverse_root(vector: Any) -> Any:
    estimate = _estimated_inverse_root(vector)
    return estimate * (THREE - vector * estimate * estimate)


def _divided_twice_inverse_root(vector: Any) -> Any:
    return TWO / square_root(vector)


# Returns 2 / sqrt(x) of each lane, correct except for the last bits. One Newton step on the estimate gives twice the
# inverse root in three operations, much faster than a square root and a division.
_estimates = "+sse2" in target_features().split(",")
twice_inverse_root = inner(_newton_twice_inverse_root if _estimates else _divided_twice_inverse_root)


@intrinsic
def zero_unless_equal(_: Any, first: Any, second: Any, vector: Any) -> Any:
    """Returns `vector` where `first` equals `second`, and zero elsewhere."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        equal = builder.fcmp_ordered("==", arguments[0], arguments[1])
        return builder.select(equal, arguments[2], constant([0.0] * LANES))

    return Vector(Vector, Vector, Vector), emit


def _binary(operation: Callable[[Any, Any, Any], Any]) -> Any:
    @intrinsic
    def function(_: Any, first: Any, second: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return operation(builder, *arguments)

        return Vector(Vector, Vector), emit

    return function


minimum = _binary(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))
maximum = _binary(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
# Returns the left neighbours of `here`: the last lane of `left`, then all lanes of `here` except its last.
previous = _binary(
    lambda builder, left, here: builder.shuffle_vector(left, here, lanes([LANES - 1 + i for i in range(LANES)]))
)
# Returns the right neighbours of `here`: all lanes of `here` except its first, then the first lane of `right`.
following = _binary(
    lambda builder, here, right: builder.shuffle_vector(here, right, lanes([1 + i for i in range(LANES)]))
)


def _overload_operator(python_operator: Any, operation: Callable[[Any, Any, Any], Any]) -> None:
    both = _binary(operation)

    @overload(python_operator, strict=False)  # Without annotations, because numba would compare them too.
    def implementation(a: Any, b: Any) -> Any:
        if isinstance(a, VectorType) and isinstance(b, VectorType):
            return lambda a, b: both(a, b)
        if isinstance(a, VectorType) and isinstance(b, types.Float):
            return lambda a, b: both(a, splat(b))
        if isinstance(a, types.Float) and isinstance(b, VectorType):
            return lambda a, b: both(splat(a), b)
        return None


_overload_operator(operator.add, lambda builder, a, b: builder.fadd(a, b, flags=CONTRACT))
_overload_operator(operator.sub, lambda builder, a, b: builder.fsub(a, b, flags=CONTRACT))
_overload_operator(operator.mul, lambda builder, a, b: builder.fmul(a, b, flags=CONTRACT))
_overload_operator(operator.truediv, lambda builder, a, b: builder.fdiv(a, b))
