"""Reads pickles of other tools without Python's unpickler: nothing that a file names is ever imported or called.

A pickle is a program for a small stack machine. `_Machine` runs it, but has only the instructions that build plain
values and numeric arrays. Everything else is refused.
"""

import io
import math
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# Greatest depth of nested values; score files need less.
_MOST_DEEP = 16
_PLAIN_TYPE = re.compile(r"[<>=|]?([biufSU])(\d{1,6})|\?")
_OBJECTS = re.compile(r"[|]?O(4|8)?")


class _Mark:
    """Marks on the stack where the values of a list begin."""


class _Name(NamedTuple):
    """The name of a class or function in a pickle, which is never looked up."""

    module: str
    name: str


class _Type:
    """The type of an array's elements."""

    def __init__(self, text: object, *_: object) -> None:
        if not isinstance(text, str) or not (_PLAIN_TYPE.fullmatch(text) or _OBJECTS.fullmatch(text)):
            raise ValueError(f"its arrays are of type {text!r}")
        self.text = text

    def build(self, state: tuple[Any, ...]) -> None:
        """Sets the byte order; refuses types that consist of several others."""
        _, order, *parts = state
        if order not in ("<", ">", "=", "|") or any(part is not None for part in parts[:3]):
            raise ValueError("its arrays are of several types at once")
        self.text = order + self.text.lstrip("<>=|")

    def array(self, content: object, shape: object, order: str) -> np.ndarray:
        """Returns the array of some bytes, or of a list of objects."""
        sizes = [_size(side) for side in (shape if isinstance(shape, tuple) else (shape,))]
        count = math.prod(sizes)
        if _OBJECTS.fullmatch(self.text):
            if not isinstance(content, list) or len(content) != count:
                raise ValueError(f"an array of shape {sizes} does not hold {count} objects")
            array = np.empty(count, object)
            array[:] = content
        else:
            kind = np.dtype(self.text)
            content = content.encode("latin1") if isinstance(content, str) else content
            if not isinstance(content, bytes | bytearray) or len(content) != count * kind.itemsize:
                raise ValueError(f"an array of shape {sizes} does not hold {count} values of type {self.text}")
            array = np.frombuffer(content, kind).copy()
        return array.reshape(sizes, order="F" if order == "F" else "C")


class _Array:
    """An array whose content follows later in the pickle."""

    def __init__(self, *_: object) -> None:
        self.content: np.ndarray | None = None

    def build(self, state: tuple[Any, ...]) -> None:
        """Takes the content."""
        _, shape, kind, is_fortran, content = state
        self.content = kind.array(content, shape, "F" if is_fortran else "C")


def _scalar(kind: _Type, content: object) -> object:
    return kind.array(content, (), "C")[()].item()


def _encoded(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"it holds bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _buffer(content: object, kind: object, shape: object, order: str) -> np.ndarray:
    return (kind if isinstance(kind, _Type) else _Type(kind)).array(content, shape, order)


def _dictionary(pairs: object = ()) -> dict[object, object]:
    found: dict[object, object] = {}
    for key, value in _sequence(pairs):
        found[_key(key)] = value
    return found


def _set(values: object = ()) -> set[object]:
    return {_key(value) for value in _sequence(values)}


def _bytes(*words: Any) -> bytes:
    return _encoded(*words) if len(words) == 2 else bytes(_sequence(words[0] if words else b""))


# Our replacements for the functions that pickles of arrays name; Python's own are never used.
_ARRAYS: Mapping[str, Callable[..., object]] = {"_reconstruct": _Array, "scalar": _scalar, "_frombuffer": _buffer}
_BUILT_IN: Mapping[str, Callable[..., object]] = {
    "list": lambda values=(): [*_sequence(values)],
    "tuple": lambda values=(): tuple(_sequence(values)),
    "set": _set,
    "frozenset": _set,
    "dict": _dictionary,
    "bytes": _bytes,
    "bytearray": lambda *words: bytearray(_bytes(*words)),
}
_STAND_INS: Mapping[str, Mapping[str, Callable[..., object]]] = {
    "numpy": {"dtype": _Type},
    "numpy.core.multiarray": _ARRAYS,
    "numpy._core.multiarray": _ARRAYS,
    "numpy.core.numeric": _ARRAYS,
    "numpy._core.numeric": _ARRAYS,
    "collections": {"OrderedDict": _dictionary},
    "builtins": _BUILT_IN,
    "__builtin__": _BUILT_IN,  # Of Python 2.
    "_codecs": {"encode": _encoded},  # Python 3 writes bytes this way for Python 2.
}


class _Machine:
    """Runs the instructions of a pickle that build plain values and arrays."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stored: bytes) -> object:
        """Runs all instructions and returns the value that they leave on the stack."""
        for instruction, argument, _ in pickletools.genops(stored):
            name = instruction.name
            if name == "STOP":
                return _Plain(most=4 * len(stored) + 1000).of(self.pop())
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif name in _STEPS:
                _STEPS[name](self, argument)
            else:
                raise ValueError(f"it has the instruction {name}, which no plain value needs")
        raise ValueError("it ends too early")

    def pop(self) -> Any:
        """Takes the last value off the stack."""
        if not self.stack or self.stack[-1] is _Mark:
            raise ValueError("it takes a value that is not there")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        """Takes the last mark off the stack, and returns the values after it."""
        taken: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is _Mark:
                return taken[::-1]
            taken.append(value)
        raise ValueError("it lacks a mark")

    def top(self, kind: type) -> Any:
        """Returns the last value, which must have the given type."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise ValueError(f"it takes something else for a {kind.__name__}")
        return self.stack[-1]

    def put(self, place: int | None) -> None:
        """Remembers the last value."""
        self.memo[len(self.memo) if place is None else int(place)] = self.top(object)

    def get(self, place: int) -> None:
        """Puts a remembered value on the stack."""
        self.stack.append(self.memo[int(place)])

    def name_from_stack(self) -> None:
        """Replaces a module and an attribute on the stack by a name."""
        name, module = self.pop(), self.pop()
        self.stack.append(_Name(str(module), str(name)))

    def reduce(self) -> None:
        """Calls our replacement for the function that the pickle names."""
        words, called = self.pop(), self.pop()
        stand_in = _STAND_INS.get(called.module, {}).get(called.name) if isinstance(called, _Name) else None
        if stand_in is None:
            named = ".".join(called) if isinstance(called, _Name) else type(called).__name__
            raise ValueError(f"it calls {named}, which no file of scores needs")
        self.stack.append(stand_in(*_sequence(words)))

    def build(self) -> None:
        """Gives an array or its type the content on the stack."""
        state = self.pop()
        built = self.top(object)
        if not isinstance(built, _Array | _Type) or not isinstance(state, tuple):
            raise ValueError(f"it sets attributes of a {type(built).__name__}")
        built.build(state)

    def add_items(self, pairs: list[Any]) -> None:
        """Adds alternating keys and values to the dictionary on the stack."""
        self.top(dict).update(_in_pairs(pairs))

    def add_members(self) -> None:
        """Adds values to the set on the stack."""
        members = self.pop_to_mark()
        self.top(set).update(_set(members))

    def push_last(self, count: int) -> None:
        """Makes a tuple of the last values."""
        self.stack.append(tuple([self.pop() for _ in range(count)][::-1]))

    def append(self, values: list[Any]) -> None:
        """Adds values to the list on the stack."""
        self.top(list).extend(values)


# Instructions whose argument is the value.
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_CONSTANTS: Mapping[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "MARK": lambda: _Mark,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_STEPS: Mapping[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.top(object)),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push_last(1),
    "TUPLE2": lambda machine, _: machine.push_last(2),
    "TUPLE3": lambda machine, _: machine.push_last(3),
    "DICT": lambda machine, _: machine.stack.append(_in_pairs(machine.pop_to_mark())),
    "FROZENSET": lambda machine, _: machine.stack.append(_set(machine.pop_to_mark())),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.add_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.add_items(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.add_members(),
    "MEMOIZE": _Machine.put,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": lambda machine, argument: machine.stack.append(_Name(*argument.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.name_from_stack(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}


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
        with warnings.catch_warnings(action="ignore"):  # Of escapes in strings, where a file is damaged.
            return _Machine().run(stored)
    except Exception as error:  # A damaged or malicious pickle can raise any exception.
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} was not opened: {reason}. Pickles may hold only arrays and plain values.") from None


class _Plain:
    """Puts arrays into their places; refuses values that contain themselves or are shared too often.

    Every value takes at least one byte of the file. If there are more values than bytes, some are contained many times,
    and could fill any memory.
    """

    def __init__(self, most: int) -> None:
        self.left = most

    def of(self, value: Any, depth: int = 0) -> Any:
        """Returns the final value of a pickle."""
        self.left -= 1
        if depth > _MOST_DEEP or self.left < 0:
            raise ValueError(f"its values are nested more than {_MOST_DEEP} deep, or within each other")
        if isinstance(value, _Array):
            value = value.content
        if isinstance(value, np.ndarray) and value.dtype == object:
            for place, each in np.ndenumerate(value):
                value[place] = self.of(each, depth + 1)
            return value
        if isinstance(value, dict):
            return {key: self.of(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set):
            return type(value)(self.of(each, depth + 1) for each in value)
        if value is None or isinstance(value, str | bytes | bytearray | int | float | np.ndarray):
            return value
        raise ValueError(f"it holds a {type(value).__name__.strip('_').lower()}")


def _sequence(values: object) -> Any:
    if not isinstance(values, list | tuple | set | bytes | bytearray | zip):
        raise ValueError(f"it takes a {type(values).__name__} for a list")
    return values


def _in_pairs(values: list[Any]) -> dict[object, object]:
    return _dictionary(zip(values[::2], values[1::2], strict=True))


def _key(value: object) -> object:
    """Returns a value as a key; only plain values, because hashing a nested tuple may take for ever."""
    if value is not None and not isinstance(value, str | bytes | bool | int | float):
        raise ValueError(f"it has a {type(value).__name__} for a key")
    return value


def _size(side: object) -> int:
    if not isinstance(side, int) or not 0 <= side < 2**40:
        raise ValueError(f"an array has {side!r} for a side")
    return side
