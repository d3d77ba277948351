"""The command `two-stream` of an installed project. It has the same commands and options as the scripts of a clone."""

import importlib
import importlib.metadata
import os
import sys
from pathlib import Path

from commands import packages
from commands.files import INSTALLED, PROJECT
from commands.help_page import TYPED
from commands.running import run
from commands.table import COMMANDS, PAGE, parted, unknown

# The name of the package that contains the rooms, with a dot. Empty in a clone.
_PACKAGE = __name__.removesuffix("commands.console")


def main() -> None:
    """Runs the command that the arguments name, and exits."""
    program = "python -m two_stream" if Path(sys.argv[0]).name == "__main__.py" else "two-stream"
    name, words = parted(sys.argv[1:])
    if name == "--version":
        print(f"two-stream {importlib.metadata.version('two-stream') if INSTALLED else '(a clone)'}")
        sys.exit()
    if name in ("", "-h", "--help", "help", "train"):
        page = f"{program} COMMAND [options]. Every command has a --help.\n\n{PAGE}\n\n{_where()}"
        run(lambda: print(page))  # Its reader may go before the end, as `head` does.
        sys.exit(2 if name in ("", "train") else 0)
    if name not in COMMANDS:
        print(unknown(name, COMMANDS, program), file=sys.stderr)
        sys.exit(2)
    command = COMMANDS[name]
    # Help and messages tell the user to type this.
    os.environ[TYPED] = f"{command.script}={program} {name}"
    sys.argv = [str(PROJECT / command.script), *words]
    packages.check()
    run(importlib.import_module(_PACKAGE + command.module).main)


def _where() -> str:
    where = "the current folder" if INSTALLED else str(PROJECT)
    return f"Data sets go to datasets/ and models to runs/ in {where}, unless options say otherwise."
