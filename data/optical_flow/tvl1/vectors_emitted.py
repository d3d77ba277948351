"""Building blocks for functions that emit LLVM instructions: the width and types of vectors, and shared helpers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from data.optical_flow.tvl1.kernel_cache import target_features


def _lanes_of(features: str) -> int:
    if "+avx512f" in features:
        return 16
    return 8 if "+avx2" in features else 4


LANES = _lanes_of(target_features())

FLOAT = ir.FloatType()
INT = ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)
INTS = ir.VectorType(INT, LANES)
# The only optimisation allowed to change results: a product in a sum becomes a fused multiply-add.
CONTRACT = ("contract",)


def lanes(numbers: list[int]) -> ir.Constant:
    """Returns the mask of a shuffle from lane numbers; the lanes of the second vector follow those of the first."""
    return ir.Constant(ir.VectorType(INT, len(numbers)), numbers)


def constant(values: list[float]) -> ir.Constant:
    """Returns a constant vector."""
    return ir.Constant(ir.VectorType(FLOAT, len(values)), [ir.Constant(FLOAT, value) for value in values])


def broadcast(builder: Any, scalar: Any, kind: ir.VectorType = VECTOR) -> Any:
    """Returns a vector of the given type with `scalar` in every lane."""
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, first, lanes([0] * kind.count))


def pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, kind: ir.Type = VECTOR) -> Any:
    """Returns the address of array[index], to be read or written as `kind`."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())
