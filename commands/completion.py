"""Prints a script for bash, zsh or fish that completes the commands and their options.

./run completion bash > ~/.local/share/bash-completion/completions/two-stream
./run completion fish > ~/.config/fish/completions/two-stream.fish
./run completion zsh > _two_stream
"""

import contextlib
import importlib
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.options import LIST_OPTIONS, Parser
from commands.running import run
from commands.table import COMMANDS

_PACKAGE = (__package__ or "commands").removesuffix("commands")
# The words that a command line begins with: the program of an installed project, and that of a clone.
_PROGRAMS = "two-stream ./run"


class Completed(NamedTuple):
    """One option or argument: its names, the name of its value, its possible values, and its help."""

    names: Sequence[str]
    metavar: str  # Empty for a switch, which takes no value.
    choices: Sequence[str]
    help: str

    @property
    def is_folder(self) -> bool:
        """Tells whether its value is a folder."""
        return self.metavar == "FOLDER"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the script of the shell that the command line names."""
    writers = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    parser = Parser(__doc__)
    parser.add_argument("shell", choices=writers, help="the shell that will run the script")
    shell = parser.parse_args(argv).shell
    found = {name: [*_options_of(command.module)] for name, command in COMMANDS.items()}
    print(writers[shell](found), end="")


def _options_of(module: str) -> Iterator[Completed]:
    """Yields the options of a command, as its own parser lists them."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        importlib.import_module(_PACKAGE + module).main([LIST_OPTIONS])
    for names, metavar, choices, text in json.loads(printed.getvalue()):
        yield Completed(names, metavar, choices, text)


def _bash(found: dict[str, list[Completed]]) -> str:
    lines = [
        "# Completions of two-stream for bash, made by `./run completion bash`.",
        "_two_stream() {",
        '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" name="${COMP_WORDS[1]}"',
        '    [[ $name == train && $COMP_CWORD -gt 2 ]] && name="train ${COMP_WORDS[2]}"',
        "    COMPREPLY=()",
        "    if [[ $COMP_CWORD -eq 1 ]]; then",
        f'        COMPREPLY=($(compgen -W "{" ".join(dict.fromkeys(name.split()[0] for name in found))}" -- "$word"))',
        "        return",
        "    fi",
        '    case "$name:$before" in',
        f'        train:train) COMPREPLY=($(compgen -W "{_trainings(found)}" -- "$word")); return ;;',
    ]
    for name, options in found.items():
        for option in options:
            places = "|".join(f"'{name}:{each}'" for each in option.names)
            if option.names and option.choices:
                values = " ".join(option.choices)
                lines.append(f'        {places}) COMPREPLY=($(compgen -W "{values}" -- "$word")); return ;;')
            elif option.names and option.is_folder:
                lines.append(f'        {places}) COMPREPLY=($(compgen -d -- "$word")); return ;;')
    lines += ["    esac", '    case "$name" in']
    for name, options in found.items():
        known = " ".join(each for option in options for each in option.names)
        values = " ".join(value for option in options if not option.names for value in option.choices)
        lines.append(f"        '{name}')")
        lines.append(f'            [[ $word == -* ]] && COMPREPLY=($(compgen -W "{known}" -- "$word"))')
        if values:
            lines.append(f'            [[ $word != -* ]] && COMPREPLY=($(compgen -W "{values}" -- "$word"))')
        lines.append("            ;;")
    return "\n".join([*lines, "    esac", "}", f"complete -o default -F _two_stream {_PROGRAMS}", ""])


def _zsh(found: dict[str, list[Completed]]) -> str:
    lines = [
        f"#compdef {_PROGRAMS}",
        "# Completions of two-stream for zsh, made by `./run completion zsh`.",
        "_two_stream() {",
        '    local name="$words[2]" skipped=1',
        '    [[ $name == train && $CURRENT -gt 3 ]] && { name="train $words[3]"; skipped=2; }',
        "    if (( CURRENT == 2 )); then",
        f"        compadd -- {' '.join(dict.fromkeys(name.split()[0] for name in found))}",
        "        return",
        "    fi",
        "    [[ $name == train ]] && { compadd -- " + _trainings(found) + "; return; }",
        "    shift $skipped words; (( CURRENT -= skipped ))",
        '    case "$name" in',
    ]
    for name, options in found.items():
        lines.append(f"        '{name}') _arguments \\")
        lines += [f"            {spec} \\" for option in options for spec in _zsh_specs(option)]
        lines += ["            ;;" if any(option.names for option in options) else "            && return ;;"]
    # In a folder of `fpath`, zsh runs it as a function. It can also be loaded by `source`.
    lines += ["    esac", "}", "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then", '    _two_stream "$@"', "else"]
    return "\n".join([*lines, f"    compdef _two_stream {_PROGRAMS}", "fi", ""])


def _zsh_specs(option: Completed) -> Iterator[str]:
    value = f"({' '.join(option.choices)})" if option.choices else "_files -/" if option.is_folder else "_files"
    if not option.names:
        yield _quoted(f"*:{option.metavar}:{value}")
    for name in option.names:
        text = option.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
        yield _quoted(f"{name}[{text}]" + (f":{option.metavar}:{value}" if option.metavar else ""))


def _fish(found: dict[str, list[Completed]]) -> str:
    lines = ["# Completions of two-stream for fish, made by `./run completion fish`."]
    first = [*dict.fromkeys(name.split()[0] for name in found)]
    lines.append(f"complete -c two-stream -n __fish_use_subcommand -f -a {_quoted(' '.join(first))}")
    seen = "__fish_seen_subcommand_from"
    lines.append(
        f"complete -c two-stream -n '{seen} train; and not {seen} {_trainings(found)}' -f -a '{_trainings(found)}'"
    )
    for name, options in found.items():
        *before, last = name.split()
        when = f"{seen} train; and {seen} {last}" if before else f"{seen} {last}; and not {seen} train"
        for option in options:
            about = f"complete -c two-stream -n '{when}'"
            for each in option.names:
                if each.startswith("--"):
                    about += f" -l {each.removeprefix('--')}"
                else:
                    about += f" -s {each.removeprefix('-')}"
            if option.choices:
                about += f" -f {'-r ' if option.names else ''}-a {_quoted(' '.join(option.choices))}"
            elif option.metavar and option.names:
                about += " -r -a '(__fish_complete_directories)' -f" if option.is_folder else " -r -F"
            if option.names or option.choices:
                lines.append(f"{about} -d {_quoted(option.help)}")
    return "\n".join([*lines, ""])


def _trainings(found: dict[str, list[Completed]]) -> str:
    return " ".join(name.split()[1] for name in found if " " in name)


def _quoted(text: str) -> str:
    """Returns a text in single quotes for all three shells. None allows single quotes in it, so they are replaced."""
    return "'" + text.replace("'", "’") + "'"


if __name__ == "__main__":
    run(main)
