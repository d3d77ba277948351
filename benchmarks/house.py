"""Measures how easy the code is to follow, and prints each figure beside its former value and its goal.

python benchmarks/house.py
python benchmarks/house.py --where
"""

import argparse
import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.house_trace import PROJECT, ROOMS, Entered, Trace, trace_training

MOST_LINES, MOST_PARAMETERS = 40, 7
# The last commit of the redesign; the features that were built on it came after.
REDESIGNED = "3c39051"

# The files that a reader needs to follow one training of the temporal stream, in reading order.
SPINE = (
    "temporal/train.py",
    "temporal/model.py",
    "streams/command.py",
    "streams/config.py",
    "streams/networks/build.py",
    "streams/networks/preprocessing.py",
    "streams/networks/backbones/small.py",
    "streams/training/fit.py",
    "streams/training/step.py",
    "streams/training/schedules.py",
    "pipelines/clip_stream.py",
    "pipelines/source.py",
    "pipelines/inputs.py",
    "pipelines/sampling.py",
    "pipelines/cutting.py",
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Figure(NamedTuple):
    """One row of the table: what is counted, the numbers, and the places that they count."""

    name: str
    before: tuple[int, ...]
    now: tuple[int, ...]
    wanted: tuple[int, ...]
    places: Sequence[str] = ()


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and on request every place that a figure counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--where", action="store_true", help="print the places that each figure counts")
    parser.add_argument("--no-training", action="store_true", help="leave out the figures that need a tiny training")
    options = parser.parse_args(argv)
    figures = figures_of_source()
    if not options.no_training:
        figures = [*figures_of_training(trace_training()), *figures]
    width = max(len(figure.name) for figure in figures)
    print(f"{'':{width}}  {'before':>13}  {'now':>13}  {'wanted':>13}")
    for figure in figures:
        before, now, wanted = (" / ".join(f"{n:,}" for n in each) for each in figure[1:4])
        fulfilled = all(one <= most for one, most in zip(figure.now, figure.wanted, strict=False)) and figure.now
        print(f"{figure.name:{width}}  {before:>13}  {now:>13}  {'≤ ' + wanted:>13}{'' if fulfilled else '  not yet'}")
        if options.where:
            print(*(f"    {place}" for place in figure.places), sep="\n")


def figures_of_training(trace: Trace) -> list[Figure]:
    """Returns the figures that need a run.

    Counted as here, the state of before has a spine of 1,168 lines, and a training runs 2,651.
    """
    whole = entered_lines(trace.whole)
    spine = {file: whole.get(file, 0) for file in SPINE}
    way = trace.way_to_fit
    return [
        Figure("spine of a training: files / lines", (19, 1150), _sizes(spine), (15, 900), _sorted_sizes(spine)),
        Figure("run by a training: files / lines", (52, 2648), _sizes(whole), (36, 1800), _sorted_sizes(whole)),
        Figure("hops from main to fit", (6,), (len(way),), (3,), way),
    ]


def figures_of_source() -> list[Figure]:
    """Returns the figures that follow from the source, without importing it.

    Those of before were counted by hand or by scripts that are gone. Counted as here, that state has 72 imports inside
    functions (8 more are for types alone), 61 files in the fullest folder and 19,676 lines; the others come out alike.
    """
    circles, late, anys = circles_of(import_graph()), late_imports(), bare_any()
    long, wide = long_functions(), long_signatures()
    names = names_in_folders()
    fullest = max(names, key=lambda folder: names[folder])
    now = sum(len(text_of(path).splitlines()) for path in modules().values())
    return [
        Figure("import circles", (3,), (len(circles),), (0,), [" - ".join(sorted(circle)) for circle in circles]),
        Figure("functions over 40 lines", (5,), (len(long),), (0,), long),
        Figure("signatures over 7 parameters", (6,), (len(wide),), (0,), wide),
        Figure("parameters that are bare Any", (73,), (len(anys),), (10,), anys),
        Figure("own imports inside functions", (80,), (len(late),), (15,), late),
        Figure("names in the fullest folder", (62,), (names[fullest],), (18,), [fullest]),
        # Fewer than before, so the number of before is one too many. What came later added what users can do: it is no
        # part of the redesign, and is listed beside it.
        Figure("source lines where the redesign ended", (19_700,), lines_at(REDESIGNED), (19_699,), [f"now {now:,}"]),
    ]


def lines_at(commit: str) -> tuple[int, ...]:
    """Returns the lines of the rooms in a commit, or nothing where the history is not at hand."""
    words = ["git", "-C", str(PROJECT), "grep", "--count", "", commit, "--", *ROOMS]
    counted = subprocess.run(words, capture_output=True, text=True).stdout.splitlines()
    sources = [line.rsplit(":", 1) for line in counted]
    numbers = [int(number) for name, number in sources if name.endswith(".py")]
    return (sum(numbers),) if numbers else ()


@cache
def modules() -> dict[str, Path]:
    """Returns the file of each module of the rooms, by its dotted name; tests and benchmarks are no rooms."""
    found = {}
    for room in ROOMS:
        for path in sorted((PROJECT / room).rglob("*.py")):
            parts = path.relative_to(PROJECT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def text_of(path: Path) -> str:
    """Returns what a file says."""
    return path.read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    """Returns the syntax tree of a file."""
    return ast.parse(text_of(path))


def imports_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields the line and the module of each import of our own, at any depth: in functions and for types too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from data import flow` means a module, `from data.flow import METHODS` a name in one.
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules() else str(node.module) for name in whole]
        else:
            continue
        yield from ((node.lineno, name) for name in dict.fromkeys(names) if name in modules())


def import_graph() -> dict[str, set[str]]:
    """Returns the modules that each module imports."""
    return {name: {other for _, other in imports_in(tree_of(path))} - {name} for name, path in modules().items()}


def circles_of(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Returns the groups of modules of which each imports every other, directly or by way of others."""
    reached = {name: _reachable(graph, name) for name in graph}
    circles = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return sorted((set(circle) for circle in circles if circle), key=sorted)


def late_imports() -> list[str]:
    """Returns the places where a function imports a module of ours: one an import statement."""
    found: dict[str, str] = {}  # A statement lies in its function and in those around it, and counts once.
    for path in modules().values():
        for function in _functions(path):
            for line, name in imports_in(function):
                found.setdefault(_place(path, line), name)
    return [f"{place} {name}" for place, name in found.items()]


def long_functions() -> list[str]:
    """Returns the functions that are too long to read at once; docstrings don't count."""
    return [
        f"{_place(path, function.lineno)} {function.name}: {lines}"
        for path in modules().values()
        for function in _functions(path)
        if (lines := _lines_of_code(function)) > MOST_LINES
    ]


def long_signatures() -> list[str]:
    """Returns the functions with too many parameters; `self` and `cls` don't count."""
    found = []
    for path in modules().values():
        for function in _functions(path):
            taken = [each for each in _parameters(function.args) if each.arg not in ("self", "cls")]
            stars = [each for each in (function.args.vararg, function.args.kwarg) if each]
            if len(taken + stars) > MOST_PARAMETERS:
                found.append(f"{_place(path, function.lineno)} {function.name}: {len(taken + stars)}")
    return found


def bare_any() -> list[str]:
    """Returns the parameters annotated with `Any` and nothing else: `dict[str, Any]` and `**options: Any` don't count.

    Code that emits machine code is left out: numba hands it types and values for which there are no annotations.
    """
    return [
        f"{_place(path, each.lineno)} {function.name}: {each.arg}"
        for path in modules().values()
        if not _emits_machine_code(path)
        for function in _functions(path)
        for each in _parameters(function.args)
        if isinstance(each.annotation, ast.Name) and each.annotation.id == "Any"
    ]


def names_in_folders() -> Counter[str]:
    """Returns how many files and folders each folder holds, those of the tests and of the documentation too.

    A reader does not look for `__init__.py`. The names at the root are chosen by the tools that look for them there.
    """
    rooms = (PROJECT / name for name in (*ROOMS, "benchmarks", "deploy", "docs", "tests", "two_stream"))
    inside = (path for room in rooms for path in room.rglob("[!_.]*") if "__pycache__" not in path.parts)
    return Counter(path.parent.relative_to(PROJECT).as_posix() for path in inside)


def entered_lines(entered: Entered) -> dict[str, int]:
    """Returns the lines of the functions that were entered, by file; a function inside another counts once.

    Only whole functions count, so a file of which the run needs names alone isn't among them.
    """
    found = {}
    for file, starts in entered.items():
        lines: set[int] = set()
        for function in _functions(PROJECT / file):
            first = min([function.lineno, *(each.lineno for each in function.decorator_list)])
            if first in starts:
                lines |= set(range(first, (function.end_lineno or first) + 1))
        if lines:
            found[file] = len(lines)
    return found


def _functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, Function)]


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]


def _lines_of_code(function: Function) -> int:
    first = function.body[0]
    described = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if described else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def _emits_machine_code(path: Path) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and any(alias.name == "intrinsic" for alias in node.names)
        for node in ast.walk(tree_of(path))
    )


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Returns the modules that imports lead to, `start` among them where they lead back."""
    found: set[str] = set()
    ahead = [*graph[start]]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead.extend(graph[name])
    return found


def _place(path: Path, line: int) -> str:
    return f"{path.relative_to(PROJECT).as_posix()}:{line}"


def _sizes(lines: Mapping[str, int]) -> tuple[int, int]:
    return len(lines), sum(lines.values())


def _sorted_sizes(lines: Mapping[str, int]) -> list[str]:
    return [f"{file}: {count}" for file, count in sorted(lines.items(), key=lambda item: -item[1])]


if __name__ == "__main__":
    main()
