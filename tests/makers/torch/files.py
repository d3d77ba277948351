"""Writes files as PyTorch does, in each of its three forms, without PyTorch."""

import io
import pickle
import struct
import sys
import tarfile
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

FORMS = ("zip", "rows", "tar")
_KINDS = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long"}


def write_torch(path: Path, value: object, form: str = "zip") -> Path:
    """Writes arrays, plain values and dictionaries of them as torch.save writes tensors."""
    with _fake_torch():
        {"zip": _zip, "rows": _rows, "tar": _tar}[form](path, value)
    return path


class _Storages(list):
    """The arrays of a file, by their keys."""

    def key_of(self, array: np.ndarray) -> str:
        self.append(array)
        return str(len(self) - 1)


class _Pickler(pickle.Pickler):
    """Writes an array as a view of a storage that the file keeps elsewhere."""

    def __init__(self, file: io.BytesIO, storages: _Storages, form: str) -> None:
        super().__init__(file, protocol=2)
        self.storages, self.form = storages, form

    def persistent_id(self, value: object) -> object:
        if self.form == "tar" and isinstance(value, np.ndarray):
            return self.storages.key_of(value)
        if not isinstance(value, _Storage):
            return None
        more = (None,) if self.form == "rows" else ()
        return ("storage", _storage_type(value.array), value.key, "cpu", value.array.size, *more)

    def reducer_override(self, value: object) -> object:
        if not isinstance(value, np.ndarray):
            return NotImplemented
        base = value if value.flags.c_contiguous else value.base
        storage = _Storage(base, self.storages.key_of(base))
        strides = tuple(stride // value.itemsize for stride in value.strides)
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return rebuild, (storage, 0, value.shape, strides, False, OrderedDict())


class _Storage:
    def __init__(self, array: np.ndarray, key: str) -> None:
        self.array, self.key = array, key


@contextmanager
def _fake_torch() -> Iterator[None]:
    """Gives pickle the names that files of PyTorch hold; nothing with these names is ever called."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for word in (*_KINDS.values(), "BFloat16"):
        setattr(torch, f"{word}Storage", type(f"{word}Storage", (), {"__module__": "torch"}))
    utils._rebuild_tensor_v2 = lambda *_: None
    utils._rebuild_tensor_v2.__module__ = "torch._utils"
    utils._rebuild_tensor_v2.__qualname__ = utils._rebuild_tensor_v2.__name__ = "_rebuild_tensor_v2"
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    torch._utils = utils
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})


def _storage_type(array: np.ndarray) -> type:
    kind: type = getattr(sys.modules["torch"], f"{_KINDS[array.dtype.str[1:]]}Storage")
    return kind


def _pickled(value: object, storages: _Storages, form: str) -> bytes:
    file = io.BytesIO()
    _Pickler(file, storages, form).dump(value)
    return file.getvalue()


def _zip(path: Path, value: object) -> None:
    storages = _Storages()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", _pickled(value, storages, "zip"))
        archive.writestr("weights/byteorder", "little")
        for key, array in enumerate(storages):
            archive.writestr(f"weights/data/{key}", array.tobytes())


def _rows(path: Path, value: object) -> None:
    storages = _Storages()
    stored = _pickled(value, storages, "rows")
    about = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = [pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, about)]
    keys = pickle.dumps([str(key) for key in range(len(storages))], 2)
    numbers = [struct.pack("<q", array.size) + array.tobytes() for array in storages]
    path.write_bytes(b"".join([*head, stored, keys, *numbers]))


def _tar(path: Path, value: object) -> None:
    storages = _Storages()
    stored = _pickled(value, storages, "tar")
    kept, tensors = [pickle.dumps(len(storages), 2)], [pickle.dumps(len(storages), 2)]
    for key, array in enumerate(storages):
        kind = _storage_type(array)
        kept.append(pickle.dumps((key, "cpu", kind), 2) + struct.pack("<q", array.size) + array.tobytes())
        strides = [stride // array.itemsize for stride in array.strides]
        layout = struct.pack(f"<ii{2 * array.ndim + 1}q", array.ndim, 0, *array.shape, *strides, 0)
        tensors.append(pickle.dumps((str(key), key, kind), 2) + layout)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in {"storages": b"".join(kept), "tensors": b"".join(tensors), "pickle": stored}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes arrays of float32 as safetensors does."""
    import json

    header, place = {"__metadata__": {"format": "pt"}}, 0
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [place, place + array.nbytes]}
        place += array.nbytes
    described = json.dumps(header).encode()
    content = b"".join(array.astype("<f4").tobytes() for array in arrays.values())
    path.write_bytes(struct.pack("<Q", len(described)) + described + content)
    return path


def resnet_arrays(depth: int, channels: int = 3, classes: int = 4) -> dict[str, np.ndarray]:
    """Random weights with the names and shapes of torchvision's ResNet-18 or ResNet-50."""
    grown, counts = (1, (2, 2, 2, 2)) if depth == 18 else (4, (3, 4, 6, 3))
    shapes = {"conv1.weight": (64, channels, 7, 7), "bn1": (64,), "fc.bias": (classes,)}
    before = 64
    for stage, count in enumerate(counts):
        width = 64 * 2**stage
        for block in range(count):
            name, out = f"layer{stage + 1}.{block}", grown * width
            sides = ((width, before, 3), (width, width, 3))
            if grown > 1:
                sides = (width, before, 1), (width, width, 3), (out, width, 1)
            for number, (filters, taken, side) in enumerate(sides, 1):
                shapes[f"{name}.conv{number}.weight"] = (filters, taken, side, side)
                shapes[f"{name}.bn{number}"] = (filters,)
            if before != out:
                shapes[f"{name}.downsample.0.weight"] = (out, before, 1, 1)
                shapes[f"{name}.downsample.1"] = (out,)
            before = out
    shapes["fc.weight"] = (classes, before)
    arrays, chance = {}, np.random.default_rng(0)
    for name, shape in shapes.items():
        if name.endswith((".weight", ".bias")):
            spread = np.sqrt(2 / np.prod(shape[1:]))  # As He et al. draw them, so that maps neither grow nor vanish.
            arrays[name] = chance.normal(0, spread, shape).astype(np.float32)
            continue
        for part in ("weight", "bias", "running_mean", "running_var"):
            low, high = (-0.1, 0.1) if part in ("bias", "running_mean") else (0.5, 1.5)
            # Branches that add little keep the sum of many from growing.
            scale = 0.1 if part == "weight" and name.endswith(f"bn{grown // 4 + 2}") else 1.0
            arrays[f"{name}.{part}"] = (scale * chance.uniform(low, high, shape)).astype(np.float32)
        arrays[f"{name}.num_batches_tracked"] = np.array([1], np.int64)
    return arrays
