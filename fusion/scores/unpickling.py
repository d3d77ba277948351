"""Pickles of others, opened without running anything that they ask for: arrays and plain values only."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np

# What a pickle of arrays, dictionaries and numbers names. Everything else, every function above all, is refused.
_ARRAYS = {"_reconstruct", "scalar", "_frombuffer"}
_ADMITTED = {
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": _ARRAYS,
    "numpy._core.multiarray": _ARRAYS,
    "numpy.core.numeric": _ARRAYS,
    "numpy._core.numeric": _ARRAYS,
    "collections": {"OrderedDict"},
    "builtins": {"list", "dict", "set", "tuple", "int", "float", "str", "bytes", "bytearray", "complex", "bool"},
    "_codecs": {"encode"},  # How Python 3 writes bytes for Python 2.
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        """Returns what a pickle names, where it is an array or a plain value."""
        if name in _ADMITTED.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no file of scores needs")


def read_pickle(path: Path) -> object:
    """Returns what a pickle file holds, if that is arrays and plain values."""
    return _unpickle(path.read_bytes(), path)


def read_object_array(path: Path, array: str) -> object:
    """Returns an array of objects in a `.npz` file, which NumPy itself only opens with its guard down."""
    with zipfile.ZipFile(path) as archive:
        stored = io.BytesIO(archive.read(f"{array}.npy"))
    version = np.lib.format.read_magic(stored)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    read_header(stored)
    return _unpickle(stored.read(), path)


def _unpickle(stored: bytes, path: Path) -> object:
    try:
        return _ArraysOnly(io.BytesIO(stored), encoding="latin1").load()
    except Exception as error:  # A damaged or a hostile pickle can raise anything.
        raise ValueError(
            f"{path} is not opened: {error}. Only arrays and plain values are read from pickles."
        ) from None
