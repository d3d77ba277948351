"""Finds the code blocks of the documentation, and says what is wrong with them, without running them."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from commands.table import COMMANDS

PROJECT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL
)
_BENCHMARK = "benchmarks/"


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line of the page on which it begins."""

    language: str
    code: str
    line: int


def blocks_of(page: str) -> Iterator[Block]:
    """Yields the fenced blocks of a page of Markdown."""
    for found in _FENCE.finditer(page):
        yield Block(found["language"], found["code"], page.count("\n", 0, found.start()) + 1)


def commands_in(code: str) -> Iterator[list[str]]:
    """Yields the words of each command of ours in a block: continued lines joined, comments and prompts left out."""
    for line in re.sub(r"\\\n\s*", " ", code).splitlines():
        for part in re.split(r"&&|\|", line.strip().removeprefix("$ ")):
            words = _words(part)
            if words and (
                words[0] in ("./run", "two-stream") or (words[0] == "python" and words[1:] and words[1].endswith(".py"))
            ):
                yield words


def problems_of(page: str) -> Iterator[str]:
    """Yields what is wrong with the code blocks of a page: Python that can't be read, options that don't exist."""
    for block in blocks_of(page):
        if block.language == "python":
            try:
                compile(block.code, "block", "exec")
            except SyntaxError as error:
                yield f"line {block.line}: {error}"
        for words in commands_in(block.code) if block.language in ("", "bash", "sh") else ():
            yield from (f"line {block.line}: {problem}" for problem in _problems_of(words))


def script_of(words: list[str]) -> str | None:
    """Returns the script that a command runs, "" for a job of ./run itself, or None if there is no such command."""
    if words[0] == "python":
        return words[1] if (PROJECT / words[1]).is_file() else None
    name = " ".join(words[1:3]) if words[1:2] == ["train"] else "".join(words[1:2])
    jobs = dict.fromkeys(("demo", "test", "check", "docs", "--help"), "")
    return {**jobs, **commands()}.get(name)


@cache
def help_all(script: str) -> str:
    """Returns all options of a script."""
    asked = "--help" if script.startswith(_BENCHMARK) else "--help-all"
    # As when it is started by ./run, so that the page names what people type.
    name = next((name for name, each in commands().items() if each == script), "")
    typed = {**os.environ, "TWO_STREAM_TYPED": f"{script}=./run {name}" if name else "", "COLUMNS": "88"}
    how = {"cwd": PROJECT, "env": typed, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, script, asked], **how)
    if done.returncode:
        raise RuntimeError(f"{script} {asked} failed: {done.stderr}")
    return done.stdout


@cache
def commands() -> dict[str, str]:
    """Returns the script of each command of ./run and of two-stream."""
    return {name: command.script for name, command in COMMANDS.items()}


def _problems_of(words: list[str]) -> Iterator[str]:
    script = script_of(words)
    if script is None:
        yield f"there is no command {' '.join(words[:3])}"
    elif script:
        known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", help_all(script)))
        options = [word.partition("=")[0] for word in words[2:] if word.startswith("--")]
        yield from (f"{script} has no option {each}" for each in options if each not in known)


def _words(part: str) -> list[str]:
    try:
        return shlex.split(part, comments=True)
    except ValueError:
        return []
