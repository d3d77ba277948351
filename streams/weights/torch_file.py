"""Reads the files that PyTorch saves, in its three forms, without PyTorch: archives, rows of pickles, and tar files.

Each consists of a pickle that describes the tensors, and of their numbers, which are beside it in plain form.
"""

import io
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from commands.pickled_arrays import STAND_INS
from commands.pickles import Built, Machine, Name, StandIns
from streams.weights.names import origin_among
from streams.weights.tensors import (
    BFLOAT16,
    MOST_HEADER,
    Tensor,
    Tensors,
    checked_tensor,
    read_safetensors,
    storage_kind,
)

ENDINGS = (".safetensors", ".pth", ".pt", ".tar")
_KINDS = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
    "BFloat16": BFLOAT16,
}
# A row of pickles begins with this number.
_MAGIC = 0x1950A86A20F9469CFC6C
# The entries of a checkpoint that may contain the weights.
_NESTED = ("state_dict", "model_state_dict", "model")
_ONLY = "Only names with tensors are read, as torch.save(network.state_dict(), FILE) writes them."


class _Storage(NamedTuple):
    """Numbers in the file that one or more tensors use."""

    start: int  # In bytes.
    kind: str
    numbers: int


class _View(Built):
    """A tensor: a view of a storage. In a row of pickles, the storage comes only later."""

    def __init__(self, storage: object, *layout: object) -> None:
        if not isinstance(storage, str | _Storage) or len(layout) < 3:
            raise ValueError("it builds a tensor from something else than stored numbers")
        self.storage, self.layout = storage, layout[:3]


def _parameter(data: object, *_: object) -> object:
    return data


_TENSORS: StandIns = {
    **STAND_INS,
    "torch._utils": {"_rebuild_tensor": _View, "_rebuild_tensor_v2": _View, "_rebuild_parameter": _parameter},
}


def read_tensors(path: Path) -> Tensors:
    """Returns the tensors of a file by name. Whatever is wrong with the file, there is one message."""
    read: Callable[[Path], Tensors] = read_safetensors if path.suffix == ".safetensors" else _read_torch
    try:
        with warnings.catch_warnings(action="ignore"):  # A damaged file causes warnings about escapes in strings.
            return read(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # A damaged or hostile file may raise any exception.
        reason = (str(error) or type(error).__name__)[:300]
        raise ValueError(f"{path} can't be read as weights: {reason}. {_ONLY}") from None


def origin_of(tensors: Tensors) -> str:
    """Returns the origin of tensors, one of ORIGINS."""
    return origin_among({name: tensor.shape for name, tensor in tensors.items()})


def _read_torch(path: Path) -> Tensors:
    with path.open("rb") as file:
        if zipfile.is_zipfile(file):
            return _of_archive(path)
        file.seek(257)
        if file.read(5) == b"ustar":
            return _of_tar(path)
        file.seek(0)
        return _of_pickles(path, file)


def _of_archive(path: Path) -> Tensors:
    """Reads the form of PyTorch 1.6 and later: an archive of a pickle and of one member for each storage."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if name.endswith("/data.pkl")]
        if len(pickles) != 1 or members[pickles[0]].file_size > MOST_HEADER:
            raise ValueError("it has no pickle data.pkl, or one that is too large")
        folder = pickles[0].removesuffix("data.pkl")
        said = members.get(f"{folder}byteorder")
        order = ">" if said and said.file_size == 3 and archive.read(said) == b"big" else "<"

        def kept(described: Any) -> _Storage:
            word, kind, key, _, count = described
            info = members[f"{folder}data/{key}"]
            if word != "storage" or info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its member {info.filename} is compressed")
            return _Storage(_start_of(file, info), _kind(kind, order), _count(count))

        found = Machine(_TENSORS, kept).run(archive.read(pickles[0]), (_View,))
    return _named(path, found, lambda storage: storage)


def _start_of(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Returns where the content of a member begins, after the member's own header."""
    file.seek(info.header_offset)
    header = file.read(30)
    name, extra = struct.unpack("<HH", header[26:])
    return info.header_offset + len(header) + int(name) + int(extra)


def _of_pickles(path: Path, file: BinaryIO) -> Tensors:
    """Reads the form before that: five pickles in a row, then for each storage its size and its numbers."""
    head, storages = io.BytesIO(file.read(MOST_HEADER)), {}
    plain = Machine(STAND_INS)
    if plain.run(head) != _MAGIC:
        raise ValueError("it does not begin like a PyTorch file")
    _, system = plain.run(head), plain.run(head)
    order = "<" if isinstance(system, dict) and system.get("little_endian", True) else ">"

    def kept(described: Any) -> str:
        word, kind, key, _, count, view = described
        if word != "storage" or view is not None:
            raise ValueError("it stores something else than whole storages")
        storages[str(key)] = _kind(kind, order), _count(count)
        return str(key)

    found, keys = Machine(_TENSORS, kept).run(head, (_View,)), plain.run(head)
    start, places = head.tell(), {}
    for key in keys if isinstance(keys, list) else []:
        kind, count = storages[str(key)]
        file.seek(start)
        if _number(file, order) != count:
            raise ValueError(f"its storage {key!r} is not as long as described")
        places[str(key)] = _Storage(start + 8, kind, count)
        start += 8 + count * storage_kind(kind).itemsize
    return _named(path, found, lambda key: places[key])


def _of_tar(path: Path) -> Tensors:
    """Reads the first form, of 2016: a tar file of storages, of tensors that use them, and of a pickle."""
    with tarfile.open(path, "r:") as archive:
        parts = {name: _part(path, archive, name) for name in ("storages", "tensors", "pickle")}
    storages, tensors, plain = {}, {}, Machine(STAND_INS)
    content, start = parts["storages"]
    for _ in range(_count(plain.run(content))):
        key, _, kind = plain.run(content, (Name,))
        count, place = _number(content), content.tell()
        storages[key] = _Storage(start + place, _kind(kind), count)
        content.seek(place + count * storage_kind(storages[key].kind).itemsize)
    content, _ = parts["tensors"]
    for _ in range(_count(plain.run(content))):
        key, storage, _ = plain.run(content, (Name,))
        sides = _number(content) & 0xFFFF
        shape, strides = (tuple(_number(content) for _ in range(sides)) for _ in range(2))
        tensors[str(key)] = _View(storages[storage], _number(content), shape, strides)
    content, _ = parts["pickle"]
    return _named(path, Machine(_TENSORS, lambda key: tensors[str(key)]).run(content, (_View,)), lambda found: found)


def _part(path: Path, archive: tarfile.TarFile, name: str) -> tuple[BinaryIO, int]:
    member = archive.getmember(name)
    if not member.isreg() or member.size > path.stat().st_size:
        raise ValueError(f"its {name} is not a file")
    with path.open("rb") as file:
        file.seek(member.offset_data)
        return io.BytesIO(file.read(member.size)), member.offset_data


def _number(content: BinaryIO, order: str = "<") -> int:
    return int(struct.unpack(f"{order}q", content.read(8))[0])


def _kind(name: object, order: str = "<") -> str:
    word = name.name.removesuffix("Storage") if isinstance(name, Name) else ""
    if word not in _KINDS:
        raise ValueError(f"it stores numbers as {name!r}")
    kind = _KINDS[word]
    if kind == BFLOAT16 and order == ">":
        raise ValueError("its bfloat16 numbers are from a big-endian machine")
    return kind if kind == BFLOAT16 or len(kind) == 1 else order + kind


def _count(count: object) -> int:
    if not isinstance(count, int) or not 0 <= count < 2**40:
        raise ValueError(f"it counts {count!r} numbers")
    return count


def _named(path: Path, found: object, storage_of: Callable[[Any], _Storage]) -> Tensors:
    """Returns the tensors by name, from the pickle's value or from an entry of a checkpoint."""
    tables = [*(found.get(name) for name in _NESTED), found] if isinstance(found, Mapping) else []
    for table in tables:
        entries = table.items() if isinstance(table, Mapping) else ()
        views = {name: each for name, each in entries if isinstance(name, str) and isinstance(each, _View)}
        if views:
            return {name: _tensor(path, view, storage_of) for name, view in views.items()}
    raise ValueError("it has no named tensors")


def _tensor(path: Path, view: _View, storage_of: Callable[[Any], _Storage]) -> Tensor:
    storage = storage_of(view.storage)
    return checked_tensor(path, storage.start, storage.kind, view.layout, storage.numbers)
