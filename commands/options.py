"""From a frozen dataclass to a command line, and back to a dictionary that is saved beside the results."""

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options")
Default = TypeVar("Default")


def option(
    default: Default, help: str, *, choices: Sequence[str] = (), repeat: bool = False, metavar: str = ""
) -> Default:
    """Declares a field that is a command-line option: its default, its help and what it may be."""
    metadata = {"help": help, "choices": tuple(choices), "repeat": repeat, "metavar": metavar}
    return dataclasses.field(default=default, metadata=metadata)


def parse(kind: type[Options], argv: Sequence[str] | None, description: str, **presets: object) -> Options:
    """Returns the options that the command line gives; wrong ones end with exit code 2 and a hint.

    `presets` replace defaults that only the command knows, as the name of its stream.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    types_of = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if "help" in field.metadata:
            _add(parser, field, types_of[field.name], presets.get(field.name, field.default))
    values = vars(parser.parse_args(argv))
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    try:
        return kind(**{**presets, **values})
    except ValueError as error:  # A dataclass may check its values against each other.
        parser.error(str(error))


def as_dictionary(options: "DataclassInstance") -> dict[str, Any]:
    """Returns the options as values that JSON can hold."""
    return {name: _plain(value) for name, value in dataclasses.asdict(options).items()}


def positive(word: str) -> int:
    """Returns the whole number above zero that a word of a command line is."""
    number = int(word) if word.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not a whole number above 0")
    return number


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[object], kind: object, default: object) -> None:
    name, metadata = field.name.replace("_", "-"), field.metadata
    if kind is bool:
        action = argparse.BooleanOptionalAction if default or field.default else "store_true"
        parser.add_argument(f"--{name}", action=action, default=default, help=metadata["help"])
        return
    text = metadata["help"]
    if metadata["repeat"] and isinstance(default, tuple) and default:
        text += f" (default: {' '.join(map(str, default))})"
    # Argparse would append what is typed to a default rather than replace it, and print "(default: None)" where the
    # help text says what happens instead.
    is_hidden = default is None or metadata["repeat"]
    parser.add_argument(
        f"--{name}",
        action="append" if metadata["repeat"] else "store",
        default=argparse.SUPPRESS if is_hidden else default,
        type=_value_type(kind),
        choices=metadata["choices"] or None,
        metavar=None if metadata["choices"] else metadata["metavar"] or None,
        help=text,
    )


def _value_type(kind: object) -> Callable[[str], object]:
    """Returns what turns a word into a value: the first real type of `int | None` or of `tuple[str, ...]`."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is tuple:
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return cast(Callable[[str], object], kind)


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
