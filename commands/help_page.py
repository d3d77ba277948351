"""Builds the page of `--help`, with common options first, in groups, with examples. Suggests corrections of typos."""

import argparse
import difflib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from commands.files import HOME, PROJECT

# ./run sets this variable to the script that it starts and to what was typed: fusion/predict.py=./run predict.
TYPED = "TWO_STREAM_TYPED"
_EXAMPLE = ("./run ", "python ")
_MOST_COLUMNS = 100


@dataclass(frozen=True)
class Layout:
    """The order of a command's options: the groups, and the options that `--help` shows (none listed means all)."""

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    first: Sequence[str] = ()


class HelpAll(argparse.Action):
    """The action of --help-all: prints the page with all options, and ends the command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Prints and exits with 0."""
        print(help_page(parser, Layout(getattr(parser, "layout", Layout()).groups)), end="")
        parser.exit()


class _Formatter(argparse.HelpFormatter):
    """Shows the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = (action.help or "").replace(" (default: %(default)s)", "")
        default = list(action.default) if isinstance(action.default, tuple | list) else action.default
        is_none = default is None or default is False or default in ("", [], argparse.SUPPRESS)
        if is_none or "(default" in text or not (action.option_strings or action.nargs):
            return text
        shown = "yes" if default is True else " ".join(map(str, default)) if isinstance(default, list) else default
        shown = str(shown).removeprefix(f"{HOME}{os.sep}")
        # argparse replaces %(...)s afterwards.
        return f"{text} (default: {shown.replace('%', '%%')})"


def help_page(parser: argparse.ArgumentParser, layout: Layout) -> str:
    """Returns the page: the purpose of the command, its options by group, and examples."""
    columns = min(_MOST_COLUMNS, shutil.get_terminal_size((_MOST_COLUMNS, 24)).columns)
    page = _Formatter(typed(), max_help_position=28, width=columns)
    page.add_usage(usage(parser), (), (), "Usage: ")
    paragraphs, examples = _parted(parser.description or "")
    for paragraph in paragraphs:
        page.add_text(paragraph)
    hidden = 0
    for title, actions in _grouped(parser, layout.groups):
        shown = [action for action in actions if not layout.first or _is_first(action, layout.first)]
        hidden += len(actions) - len(shown)
        page.start_section(title.capitalize())
        page.add_arguments(shown)
        page.end_section()
    body = page.format_help()
    if examples:
        body += "\nExamples:\n" + "".join(f"  {line}\n" for line in examples)
    return body + (f"\n{hidden} more options: {typed()} --help-all\n" if hidden else "")


def usage(parser: argparse.ArgumentParser) -> str:
    """Returns the usage of the command as one line: its arguments, and that it takes options."""
    words = [typed()]
    for action in parser._actions:
        if not action.option_strings:
            name = str(action.metavar or action.dest.upper())
            words.append({"*": f"[{name} ...]", "+": f"{name} ...", "?": f"[{name}]"}.get(str(action.nargs), name))
    return " ".join([*words, "[options]"]).replace("%", "%%")


def typed() -> str:
    """Returns what a user types for the running command: ./run predict, or python fusion/predict.py."""
    script = Path(sys.argv[0]).resolve()
    name = script.relative_to(PROJECT).as_posix() if script.is_relative_to(PROJECT) else script.name
    started, _, words = os.environ.get(TYPED, "").partition("=")
    return words if started == name else f"python {name}"  # A command may start others, which nobody typed.


def with_suggestion(parser: argparse.ArgumentParser, message: str) -> str:
    """Returns a message of argparse, followed by the known option or value that is most similar to the unknown one."""
    choice = re.match(r"argument (\S+): invalid choice: '?(.+?)'? \(choose from", message)
    if choice:
        chosen = [action for action in parser._actions if choice[1] in "/".join(action.option_strings).split("/")]
        values = [str(value) for action in chosen for value in action.choices or ()]
        return message + _meant(choice[2], values)
    if message.startswith("unrecognized arguments: "):
        names = [name for action in parser._actions for name in action.option_strings]
        unknown = [word.partition("=")[0] for word in message.split()[2:] if word.startswith("--")]
        return message + "".join(_meant(word, names, f"for {word} " * (len(unknown) > 1)) for word in unknown)
    return message


def nearest(word: str, known: Sequence[str]) -> str:
    """Returns the known word that is most similar to a word, or "" if none is similar."""
    return next(iter(difflib.get_close_matches(word, known, n=1)), "")


def _meant(word: str, known: Sequence[str], about: str = "") -> str:
    found = nearest(word, known)
    return f". Did you mean {about}{found}?" if found else ""


def _parted(description: str) -> tuple[list[str], list[str]]:
    """Returns the paragraphs of a description, and its lines that are commands."""
    lines = description.strip().splitlines()
    examples = [line.strip() for line in lines if line.strip().startswith(_EXAMPLE)]
    text = "\n".join(line for line in lines if not line.strip().startswith(_EXAMPLE))
    return [each for each in re.split(r"\n\s*\n", text) if each.strip()], examples


def _grouped(
    parser: argparse.ArgumentParser, groups: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, list[argparse.Action]]]:
    """Yields the title and the options of each group. Options that are in no group stay in the groups of argparse."""
    by_name = {action.dest: action for action in parser._actions}
    named = {name for names in groups.values() for name in names}
    for title, names in groups.items():
        yield title, [by_name[name] for name in names if name in by_name]
    # The options that every command has come last.
    for group in sorted(parser._action_groups, key=lambda group: group.title == "options"):
        title = "arguments" if group.title == "positional arguments" else str(group.title)
        yield title, [action for action in group._group_actions if action.dest not in named]


def _is_first(action: argparse.Action, first: Sequence[str]) -> bool:
    return action.dest in (*first, "help", "help_all") or not action.option_strings
