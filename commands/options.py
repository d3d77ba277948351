"""Makes a command line from a frozen dataclass, and a dictionary of its values that is saved with the results."""

import argparse
import dataclasses
import json
import sys
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from commands.help_page import HelpAll, Layout, help_page, typed, with_suggestion
from commands.remote import local

if TYPE_CHECKING:
    from _typeshed import DataclassInstance, SupportsWrite

Options = TypeVar("Options")
Default = TypeVar("Default")
# This argument asks a command for a list of its options in JSON.
LIST_OPTIONS = "--list-options"


class Parser(argparse.ArgumentParser):
    """A parser whose help shows common options first, and whose errors suggest corrections."""

    def __init__(self, description: str | None, layout: Layout | None = None) -> None:
        super().__init__(description=description, allow_abbrev=False)
        self.layout = layout or Layout()
        self.add_argument(
            "--help-all", action=HelpAll, nargs=0, default=argparse.SUPPRESS, help="show all options, and exit"
        )

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """Parses as argparse does. If the only argument is LIST_OPTIONS, prints the list for completions, and exits."""
        if args is not None and list(args) == [LIST_OPTIONS]:
            print(json.dumps([_described(self, action) for action in self._actions]))
            self.exit()
        found, rest = super().parse_known_args(args, namespace)
        return (_with_local(found) if any(":" in str(value) for value in vars(found).values()) else found), rest

    def format_help(self) -> str:
        """Returns the page of `--help`."""
        return help_page(self, self.layout)

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        """Prints a page of help. argparse itself would hide an error here, such as a full disk."""
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Ends with exit code 2, after printing the error and a suggestion."""
        self.exit(2, f"Error: {with_suggestion(self, message)}\n{typed()} --help shows the options.\n")


def _with_local(found: argparse.Namespace) -> argparse.Namespace:
    """Replaces addresses of stores by the folders that stand for them."""
    for name, value in vars(found).items():
        if isinstance(value, Path) and ":" in str(value):
            setattr(found, name, local(value))
    return found


def option(
    default: Default, help: str, *, choices: Sequence[str] = (), repeat: bool = False, metavar: str = ""
) -> Default:
    """Declares a dataclass field that is a command-line option: its default, its help and its possible values."""
    arguments: dict[str, object] = {"help": help, "action": "append" if repeat else "store"}
    if choices or metavar:
        arguments |= {"choices": tuple(choices)} if choices else {"metavar": metavar}
    return dataclasses.field(default=default, metadata=arguments)


def parse(kind: type[Options], argv: Sequence[str] | None, description: str, **presets: object) -> Options:
    """Returns the options of the command line, or else `presets`, or else defaults. Wrong ones exit with code 2."""
    parser = Parser(description, getattr(kind, "layout", None))
    types_of = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if "help" in field.metadata:
            _add(parser, field, types_of[field.name], presets.get(field.name, field.default))
    given = vars(parser.parse_args(argv)).items()
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in given}
    try:
        return kind(**{**presets, **values})
    except ValueError as error:  # A dataclass may check its values together.
        parser.error(str(error))


def as_dictionary(options: "DataclassInstance") -> dict[str, Any]:
    """Returns the options as values that JSON can hold."""
    return cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(options), default=str)))


def positive(word: str) -> int:
    """Reads a word of the command line as a whole number above zero."""
    number = int(word) if word.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not a whole number above 0")
    return number


def part_of(word: str) -> tuple[int, int]:
    """Reads a word of the command line as the number of a part, from 1, and the number of parts."""
    number, count = two_of(word, "/", "write a part as I/N, like 1/4 for the first of four")
    if number > count:
        raise argparse.ArgumentTypeError(f"parts of {count} are numbered 1 to {count}; received {word}")
    return number, count


def check_part(name: str, word: str) -> None:
    """Raises ValueError if the value of an option is not the number of a part."""
    try:
        part_of(word)
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"{name}: {error}") from None


def two_of(word: str, between: str, form: str) -> tuple[int, int]:
    """Returns the two numbers of a word that has this mark between them."""
    first, _, second = word.partition(between)
    try:
        return positive(first), positive(second)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{form}; received {word}") from error


def _described(parser: argparse.ArgumentParser, action: argparse.Action) -> tuple[object, ...]:
    """Returns the names of an option, the name of its value, its possible values, and its help as one line."""
    text = "" if action.help in (None, argparse.SUPPRESS) else parser._get_formatter()._expand_help(action)
    takes_value = action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction)
    choices = [str(each) for each in action.choices or ()]
    metavar = str(action.metavar or action.dest.upper()) if takes_value else ""
    return action.option_strings, metavar, choices, " ".join(text.split())


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[object], kind: object, default: object) -> None:
    name, arguments = f"--{field.name.replace('_', '-')}", dict(field.metadata)
    if kind is bool:
        action = argparse.BooleanOptionalAction if default or field.default else "store_true"
        parser.add_argument(name, action=action, default=default, help=arguments["help"])
        return
    if arguments["action"] == "append" and default:
        arguments["help"] += f" (default: {' '.join(map(str, cast(Sequence[object], default)))})"
    # argparse would append the typed values to a default instead of replacing it.
    shown = argparse.SUPPRESS if arguments["action"] == "append" else default
    parser.add_argument(name, **arguments, default=shown, type=_value_type(kind))


def _value_type(kind: object) -> Callable[[str], object]:
    """Returns the function that turns a word into a value: `int` for `int | None`, `str` for `tuple[str, ...]`."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is tuple:
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return cast(Callable[[str], object], kind)
