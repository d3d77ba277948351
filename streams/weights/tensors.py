"""Reads tensors from files of weights: safetensors here, PyTorch's own in torch_file.py. Nothing in a file is run."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

# The most bytes for the description of the tensors in a file.
MOST_HEADER = 64 * 2**20
# bfloat16 numbers are the upper half of a float32. NumPy does not know them.
BFLOAT16 = "bfloat16"
_SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


class Tensor(NamedTuple):
    """One tensor in a file, which is read on demand."""

    path: Path
    position: int  # The position of its first number, in bytes.
    kind: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # In numbers instead of bytes.

    def read(self) -> np.ndarray:
        """Returns its numbers as float32."""
        span = 1 + sum((side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True))
        stored = np.fromfile(self.path, storage_kind(self.kind), span if 0 not in self.shape else 0, "", self.position)
        if self.kind == BFLOAT16:
            stored = (stored.astype(np.uint32) << 16).view(np.float32)
        strides = [stride * stored.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(stored, self.shape, strides).astype(np.float32)


Tensors: TypeAlias = Mapping[str, Tensor]


def storage_kind(kind: str) -> np.dtype:
    """Returns the NumPy type by which numbers of a kind are read."""
    return np.dtype("<u2" if kind == BFLOAT16 else kind)


def checked_tensor(path: Path, start: int, kind: str, layout: Sequence[object], numbers: int) -> Tensor:
    """Returns a tensor of (offset, shape, strides) in a storage of `numbers`. Raises ValueError if it exceeds that."""
    offset, shape, strides = layout
    if not isinstance(shape, tuple | list) or not isinstance(strides, tuple | list) or len(shape) != len(strides):
        raise ValueError(f"a tensor has the shape {shape!r} and the strides {strides!r}")
    for number in (offset, *shape, *strides):
        if not isinstance(number, int) or not 0 <= number < 2**40:
            raise ValueError(f"a tensor has the size {number!r}")
    assert isinstance(offset, int)
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    size = storage_kind(kind).itemsize
    is_inside = start >= 0 and last < numbers and math.prod(shape) <= numbers
    if math.prod(shape) and not (is_inside and start + numbers * size <= path.stat().st_size):
        raise ValueError(f"a tensor of shape {tuple(shape)} exceeds the {numbers} numbers that are stored")
    return Tensor(path, start + offset * size, kind, tuple(shape), tuple(strides))


def read_safetensors(path: Path) -> Tensors:
    """Returns the tensors of a `.safetensors` file by name."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(size - 8, MOST_HEADER):
            raise ValueError(f"its header would have {length} bytes")
        described = json.loads(file.read(length))
    if not isinstance(described, dict):
        raise ValueError("its header is not an object")
    described.pop("__metadata__", None)
    return {name: _described(path, entry, 8 + length) for name, entry in described.items()}


def _described(path: Path, entry: object, start: int) -> Tensor:
    try:
        assert isinstance(entry, dict)
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        kind = _SAFETENSORS[kind]
        numbers = (end - begin) // storage_kind(kind).itemsize
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        return checked_tensor(path, start + begin, kind, (0, shape, strides), numbers)
    except (AssertionError, KeyError, TypeError) as error:
        raise ValueError(f"its header describes a tensor as {str(entry)[:80]}") from error
