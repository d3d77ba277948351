"""Reads pickles of arrays and plain values, which other tools write."""

import io
import math
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from commands.pickles import Built, Machine, StandIns, as_set, dictionary, sequence

_PLAIN_TYPE = re.compile(r"[<>=|]?([biufSU])(\d{1,6})|\?")
_OBJECTS = re.compile(r"[|]?O(4|8)?")


def read_pickle(path: Path) -> object:
    """Returns the content of a pickle file, if it consists of arrays and plain values."""
    return _unpickle(path.read_bytes(), path)


def read_object_array(path: Path, array: str) -> object:
    """Returns an array of objects from a `.npz` file. NumPy itself would need allow_pickle for it, which runs code."""
    with zipfile.ZipFile(path) as archive:
        stored = io.BytesIO(archive.read(f"{array}.npy"))
    version = np.lib.format.read_magic(stored)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    read_header(stored)
    return _unpickle(stored.read(), path)


def _unpickle(stored: bytes, path: Path) -> object:
    try:
        with warnings.catch_warnings(action="ignore"):  # A damaged file causes warnings about escapes in strings.
            return Machine(STAND_INS).run(stored)
    except Exception as error:  # A damaged or malicious pickle may raise any exception.
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} was not opened: {reason}. Pickles may hold only arrays and plain values.") from None


class _Type(Built):
    """The type of an array's elements."""

    def __init__(self, text: object, *_: object) -> None:
        if not isinstance(text, str) or not (_PLAIN_TYPE.fullmatch(text) or _OBJECTS.fullmatch(text)):
            raise ValueError(f"its arrays are of type {text!r}")
        self.text = text

    def build(self, state: tuple[Any, ...]) -> None:
        """Sets the byte order. Refuses types that consist of several others."""
        _, order, *parts = state
        if order not in ("<", ">", "=", "|") or any(part is not None for part in parts[:3]):
            raise ValueError("its arrays are of several types at once")
        self.text = order + self.text.lstrip("<>=|")

    def array(self, content: object, shape: object, order: str) -> np.ndarray:
        """Returns the array that consists of some bytes, or of a list of objects."""
        sizes = [_size(side) for side in (shape if isinstance(shape, tuple) else (shape,))]
        count = math.prod(sizes)
        if _OBJECTS.fullmatch(self.text):
            if not isinstance(content, list) or len(content) != count:
                raise ValueError(f"an array of shape {sizes} does not have {count} objects")
            array = np.empty(count, object)
            array[:] = content
        else:
            kind = np.dtype(self.text)
            content = content.encode("latin1") if isinstance(content, str) else content
            if not isinstance(content, bytes | bytearray) or len(content) != count * kind.itemsize:
                raise ValueError(f"an array of shape {sizes} does not have {count} values of type {self.text}")
            array = np.frombuffer(content, kind).copy()
        return array.reshape(sizes, order="F" if order == "F" else "C")


class _Array(Built):
    """An array whose content comes later in the pickle."""

    def __init__(self, *_: object) -> None:
        self.content: np.ndarray | None = None

    def build(self, state: tuple[Any, ...]) -> None:
        """Sets the content."""
        _, shape, kind, is_fortran, content = state
        self.content = kind.array(content, shape, "F" if is_fortran else "C")

    def whole(self) -> np.ndarray | None:
        """Returns the array."""
        return self.content


def _scalar(kind: _Type, content: object) -> object:
    return kind.array(content, (), "C")[()].item()


def _encoded(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"it holds bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _buffer(content: object, kind: object, shape: object, order: str) -> np.ndarray:
    return (kind if isinstance(kind, _Type) else _Type(kind)).array(content, shape, order)


def _bytes(*words: Any) -> bytes:
    return _encoded(*words) if len(words) == 2 else bytes(sequence(words[0] if words else b""))


# Our replacements for the functions that pickles of arrays name. Python's own functions are never called.
_ARRAYS: Mapping[str, Callable[..., object]] = {"_reconstruct": _Array, "scalar": _scalar, "_frombuffer": _buffer}
_BUILT_IN: Mapping[str, Callable[..., object]] = {
    "list": lambda values=(): [*sequence(values)],
    "tuple": lambda values=(): tuple(sequence(values)),
    "set": as_set,
    "frozenset": as_set,
    "dict": dictionary,
    "bytes": _bytes,
    "bytearray": lambda *words: bytearray(_bytes(*words)),
}
STAND_INS: StandIns = {
    "numpy": {"dtype": _Type},
    "numpy.core.multiarray": _ARRAYS,
    "numpy._core.multiarray": _ARRAYS,
    "numpy.core.numeric": _ARRAYS,
    "numpy._core.numeric": _ARRAYS,
    "collections": {"OrderedDict": dictionary},
    "builtins": _BUILT_IN,
    "__builtin__": _BUILT_IN,  # The name in Python 2.
    "_codecs": {"encode": _encoded},  # Python 3 writes bytes like this for Python 2.
}


def _size(side: object) -> int:
    if not isinstance(side, int) or not 0 <= side < 2**40:
        raise ValueError(f"an array has a side of length {side!r}")
    return side
