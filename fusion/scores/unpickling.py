"""Reads pickles of other tools safely: only arrays and plain values are accepted, and no code of theirs runs."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np

# The names that pickles of arrays, dictionaries and numbers need. All others are refused, above all functions.
_ARRAYS = {"_reconstruct", "scalar", "_frombuffer"}
_ADMITTED = {
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": _ARRAYS,
    "numpy._core.multiarray": _ARRAYS,
    "numpy.core.numeric": _ARRAYS,
    "numpy._core.numeric": _ARRAYS,
    "collections": {"OrderedDict"},
    "builtins": {"list", "dict", "set", "tuple", "int", "float", "str", "bytes", "bytearray", "complex", "bool"},
    "_codecs": {"encode"},  # Python 3 writes bytes this way for Python 2.
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        """Returns the class or function of this name if it is allowed; otherwise raises UnpicklingError."""
        if name in _ADMITTED.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it uses {module}.{name}, which no file of scores needs")


def read_pickle(path: Path) -> object:
    """Returns the content of a pickle file if it is arrays and plain values."""
    return _unpickle(path.read_bytes(), path)


def read_object_array(path: Path, array: str) -> object:
    """Returns an array of objects from a `.npz` file, which NumPy alone would read only with allow_pickle."""
    with zipfile.ZipFile(path) as archive:
        stored = io.BytesIO(archive.read(f"{array}.npy"))
    version = np.lib.format.read_magic(stored)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    read_header(stored)
    return _unpickle(stored.read(), path)


def _unpickle(stored: bytes, path: Path) -> object:
    try:
        return _ArraysOnly(io.BytesIO(stored), encoding="latin1").load()
    except Exception as error:  # A damaged or malicious pickle can raise any exception.
        raise ValueError(f"{path} was not opened: {error}. Pickles may hold only arrays and plain values.") from None
