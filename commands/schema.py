"""Checks values read from JSON files against the types that the code expects."""

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from commands.files import read_file
from commands.text import is_printable, printable

Kind = TypeVar("Kind")

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    type(None): "null",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}


def read_json(path: Path, kind: type[Kind], advice: str = "") -> Kind:
    """Reads a JSON file as a given kind. The error for a damaged or wrong file names it and says what to do."""
    try:
        return parsed(read_file(path), kind)
    except ValueError as error:
        raise ValueError(f"{path} can't be used: {error}. {advice}".rstrip()) from None


def parsed(text: str | bytes, kind: type[Kind]) -> Kind:
    """Returns the value in a JSON text, checked against a kind."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    return checked(value, kind)


def checked(value: object, kind: type[Kind], where: str = "it") -> Kind:
    """Returns a JSON value as the given kind: a type, a list or an object of types, a TypedDict, or a dataclass.

    A dataclass is made from an object that has no other entries than its fields. Entries that a TypedDict does not name
    are ignored, because later versions may write more.
    """
    origin, parts = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _of_union(value, parts, where)
    if origin in (typing.Required, typing.NotRequired, typing.Annotated):
        return checked(value, parts[0], where)
    if origin is typing.Literal:
        if value not in parts:
            raise ValueError(f"{where} is {printable(repr(value))[:60]}, not one of {', '.join(map(str, parts))}")
        return cast(Kind, value)
    if kind in (object, Any):
        return cast(Kind, _harmless(value, where))
    if dataclasses.is_dataclass(kind):
        return _of_dataclass(value, kind, where)
    if typing.is_typeddict(kind):
        return cast(Kind, _of_typed_dictionary(value, kind, where))
    if origin in (list, tuple, dict, Mapping):
        return cast(Kind, _of_several(value, origin, parts, where))
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise _wrong(value, kind, where)
    return cast(Kind, _harmless(value, where))


def _of_several(value: object, origin: object, parts: tuple[Any, ...], where: str) -> object:
    if origin in (dict, Mapping):
        if not isinstance(value, dict):
            raise _wrong(value, dict, where)
        _, kind = parts or (str, object)
        return {_harmless(name, where): checked(each, kind, _inside(where, name)) for name, each in value.items()}
    if not isinstance(value, list):
        raise _wrong(value, list, where)
    kinds = parts or (object, ...)
    if origin is tuple and kinds[-1] is not ...:
        if len(value) != len(kinds):
            raise ValueError(f"{where} has {len(value)} entries, not {len(kinds)}")
        return tuple(checked(each, kind, where) for each, kind in zip(value, kinds, strict=True))
    found = [checked(each, kinds[0], f"{where}[{place}]") for place, each in enumerate(value)]
    return tuple(found) if origin is tuple else found


def _of_dataclass(value: object, kind: type[Kind], where: str) -> Kind:
    if not isinstance(value, dict):
        raise _wrong(value, dict, where)
    types_of, fields = typing.get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(value.keys() - fields.keys()):
        raise ValueError(f"{where} has the unknown entry {unknown[0]!r}: another version wrote it")
    needed = [name for name, field in fields.items() if _has_no_default(field)]
    if missing := [name for name in needed if name not in value]:
        raise ValueError(f"{where} has no entry {missing[0]!r}")
    return kind(**{name: checked(each, types_of[name], _inside(where, name)) for name, each in value.items()})


def _of_typed_dictionary(value: object, kind: type, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _wrong(value, dict, where)
    if missing := sorted(cast(Any, kind).__required_keys__ - value.keys()):
        raise ValueError(f"{where} has no entry {missing[0]!r}")
    types_of = typing.get_type_hints(kind)
    known = {name: each for name, each in value.items() if name in types_of}
    return {**value, **{name: checked(each, types_of[name], _inside(where, name)) for name, each in known.items()}}


def _of_union(value: object, kinds: tuple[Any, ...], where: str) -> Any:
    errors = []
    for kind in kinds:
        try:
            return checked(value, kind, where)
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def _has_no_default(field: "dataclasses.Field[object]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _harmless(value: object, where: str) -> object:
    """Refuses a text with control characters, on which a terminal would act."""
    if isinstance(value, str) and not is_printable(value, keep="\n"):
        raise ValueError(f"{where} contains control characters: {printable(value)[:60]!r}")
    return value


def _inside(where: str, name: str) -> str:
    return repr(name) if where == "it" else f"{where}[{name!r}]"


def _wrong(value: object, kind: object, where: str) -> ValueError:
    shown = printable(repr(value)) if len(repr(value)) <= 60 else _WORDS.get(type(value), "something else")
    return ValueError(f"{where} is {shown}, not {_WORDS.get(cast(type, kind), getattr(kind, '__name__', str(kind)))}")
