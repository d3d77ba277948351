"""Runs pickles without Python's unpickler. Nothing that a file names is ever imported or called.

A pickle is a program for a small stack machine. `Machine` runs it, but knows only the instructions that build plain
values, and calls only the stand-ins that we give it instead of functions. It refuses everything else.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

# The greatest depth of nested values. Files of scores and of weights need less.
_MOST_DEEP = 16
StandIns = Mapping[str, Mapping[str, Callable[..., object]]]  # By module and name.


class _Mark:
    """Marks the place on the stack where the values of a list begin."""


class Name(NamedTuple):
    """The name of a class or a function in a pickle. It is never looked up."""

    module: str
    name: str


class Built:
    """A value whose content is set by a later instruction."""

    def build(self, state: tuple[Any, ...]) -> None:
        """Sets the content."""
        raise NotImplementedError

    def whole(self) -> Any:
        """Returns the finished value. Most stand-ins have none."""
        raise ValueError(f"it contains a {type(self).__name__.strip('_').lower()}")


class Machine:
    """Runs the instructions of a pickle that build plain values, and the stand-ins for functions.

    If the file stores a value elsewhere, `kept` returns it, given its description.
    """

    def __init__(self, stand_ins: StandIns, kept: Callable[[Any], object] | None = None) -> None:
        self.stand_ins, self.kept = stand_ins, kept
        self.clear()

    def clear(self) -> None:
        """Forgets the values of an earlier pickle."""
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stored: bytes | BinaryIO, others: tuple[type, ...] = ()) -> Any:
        """Runs all instructions and returns the resulting value. It is plain, or of one of the `others`."""
        self.clear()
        for instruction, argument, place in pickletools.genops(stored):
            name = instruction.name
            if name == "STOP":
                return _Plain(4 * (place or 0) + 1000, others).of(self.pop())
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name]())
            elif name in _STEPS:
                _STEPS[name](self, argument)
            else:
                raise ValueError(f"it has the instruction {name}, which plain values don't need")
        raise ValueError("it ends too early")

    def pop(self) -> Any:
        """Removes the last value from the stack and returns it."""
        if not self.stack or self.stack[-1] is _Mark:
            raise ValueError("it uses a value that does not exist")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        """Removes the last mark and the values after it from the stack, and returns the values."""
        taken: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is _Mark:
                return taken[::-1]
            taken.append(value)
        raise ValueError("it has no mark where it needs one")

    def top(self, kind: type) -> Any:
        """Returns the last value, which must have the given type."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise ValueError(f"it uses a value of another type as a {kind.__name__}")
        return self.stack[-1]

    def put(self, place: int | None) -> None:
        """Stores the last value for later use."""
        self.memo[len(self.memo) if place is None else int(place)] = self.top(object)

    def get(self, place: int) -> None:
        """Puts a stored value on the stack."""
        self.stack.append(self.memo[int(place)])

    def name_from_stack(self) -> None:
        """Replaces a module and an attribute on the stack by a name."""
        name, module = self.pop(), self.pop()
        self.stack.append(Name(str(module), str(name)))

    def load(self, described: object) -> None:
        """Puts a value on the stack that the file stores elsewhere."""
        if self.kept is None:
            raise ValueError("it stores values elsewhere, which plain values don't need")
        self.stack.append(self.kept(described))

    def reduce(self) -> None:
        """Calls our stand-in for the function that the pickle names."""
        words, called = self.pop(), self.pop()
        stand_in = self.stand_ins.get(called.module, {}).get(called.name) if isinstance(called, Name) else None
        if stand_in is None:
            named = ".".join(called) if isinstance(called, Name) else type(called).__name__
            raise ValueError(f"it calls {named}, which no file of scores or weights needs")
        self.stack.append(stand_in(*sequence(words)))

    def build(self) -> None:
        """Sets the content of a value, which is on the stack."""
        state = self.pop()
        built = self.top(object)
        if self.kept is not None and isinstance(built, dict):
            return  # PyTorch gives dictionaries attributes, but they are not part of the values.
        if not isinstance(built, Built) or not isinstance(state, tuple):
            raise ValueError(f"it sets attributes of a {type(built).__name__}")
        built.build(state)

    def add_items(self, pairs: list[Any]) -> None:
        """Adds alternating keys and values to the dictionary on the stack."""
        self.top(dict).update(_in_pairs(pairs))

    def add_members(self) -> None:
        """Adds values to the set on the stack."""
        members = self.pop_to_mark()
        self.top(set).update(as_set(members))

    def push_last(self, count: int) -> None:
        """Makes a tuple of the last `count` values."""
        self.stack.append(tuple([self.pop() for _ in range(count)][::-1]))

    def append(self, values: list[Any]) -> None:
        """Adds values to the list on the stack."""
        self.top(list).extend(values)


_PLAIN = (str, bytes, bytearray, int, float, np.ndarray)
# Instructions whose argument is a value.
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
_STEPS: Mapping[str, Callable[[Machine, Any], object]] = {
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
    "FROZENSET": lambda machine, _: machine.stack.append(as_set(machine.pop_to_mark())),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.add_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.add_items(machine.pop_to_mark()),
    "ADDITEMS": lambda machine, _: machine.add_members(),
    "MEMOIZE": Machine.put,
    "PUT": Machine.put,
    "BINPUT": Machine.put,
    "LONG_BINPUT": Machine.put,
    "GET": Machine.get,
    "BINGET": Machine.get,
    "LONG_BINGET": Machine.get,
    "GLOBAL": lambda machine, argument: machine.stack.append(Name(*argument.split(" ", 1))),
    "STACK_GLOBAL": lambda machine, _: machine.name_from_stack(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "PERSID": lambda machine, argument: machine.load(argument),
    "BINPERSID": lambda machine, _: machine.load(machine.pop()),
}


class _Plain:
    """Finishes arrays inside a value. Refuses values that contain themselves, or that are shared too often.

    Every value takes at least one byte of the file. If there are more values than bytes, some are contained many times
    and could fill any memory.
    """

    def __init__(self, most: int, others: tuple[type, ...]) -> None:
        self.left, self.others = most, others

    def of(self, value: Any, depth: int = 0) -> Any:
        """Returns the finished value of a pickle."""
        self.left -= 1
        if depth > _MOST_DEEP or self.left < 0:
            raise ValueError(f"its values are nested more than {_MOST_DEEP} deep, or within each other")
        if isinstance(value, self.others):
            return value
        if isinstance(value, Built):
            value = value.whole()
        if isinstance(value, np.ndarray) and value.dtype == object:
            for place, each in np.ndenumerate(value):
                value[place] = self.of(each, depth + 1)
            return value
        if isinstance(value, dict):
            return {key: self.of(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple | set):
            return type(value)(self.of(each, depth + 1) for each in value)
        if value is None or isinstance(value, _PLAIN):
            return value
        raise ValueError(f"it contains a {type(value).__name__.strip('_').lower()}")


def sequence(values: object) -> Any:
    """Returns a list or another sequence, and refuses everything else."""
    if not isinstance(values, list | tuple | set | bytes | bytearray | zip):
        raise ValueError(f"it uses a {type(values).__name__} as a list")
    return values


def dictionary(pairs: object = ()) -> dict[object, object]:
    """Returns a dictionary made of pairs."""
    found: dict[object, object] = {}
    for key, value in sequence(pairs):
        found[_key(key)] = value
    return found


def as_set(values: object = ()) -> set[object]:
    """Returns a set made of values."""
    return {_key(value) for value in sequence(values)}


def _in_pairs(values: list[Any]) -> dict[object, object]:
    return dictionary(zip(values[::2], values[1::2], strict=True))


def _key(value: object) -> object:
    """Returns a value as a key. Only plain values are allowed, because hashing a nested tuple may take very long."""
    if value is not None and not isinstance(value, str | bytes | bool | int | float):
        raise ValueError(f"it uses a {type(value).__name__} as a key")
    return value
