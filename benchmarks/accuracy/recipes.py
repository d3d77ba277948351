"""Fills the table of recipes in docs/background/results.md from the reports of finished runs.

python benchmarks/accuracy/recipes.py --runs runs

A report is `report.json` of fusion/evaluate.py. One whose runs depart from their recipe, or whose commit had changes
that nobody can look up, fills no row.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from commands.files import PROJECT, RUNS, write_text
from commands.running import run
from streams.recipes.table import RECIPES

_RESULTS = PROJECT / "docs" / "background" / "results.md"
# A row of the table: the recipe, its source, what is expected, what was measured.
_ROW = re.compile(r"^\| `([\w-]+)` \|([^|]*)\|([^|]*)\|[^|]*\|$", re.MULTILINE)


def main(argv: Sequence[str] | None = None) -> None:
    """Writes what was measured into the rows of the recipes, and prints each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=RUNS, help="where runs are kept", metavar="FOLDER")
    parser.add_argument("--table", type=Path, default=_RESULTS, help="the file with the table", metavar="FILE")
    options = parser.parse_args(argv)
    measured = {}
    for path, report in _reports(options.runs):
        reason = _why_not(report)
        print(f"{path}: {reason or 'fills the row of ' + report['expected']['recipe']}.")
        if not reason:
            measured[report["expected"]["recipe"]] = in_words(report)
    write_text(options.table, filled(options.table.read_text(encoding="utf-8"), measured))


def filled(text: str, measured: dict[str, str]) -> str:
    """Returns a text in which the rows of recipes that were measured say so; others stay as they are."""

    def row(found: re.Match[str]) -> str:
        name, source, expected = found.groups()
        return f"| `{name}` |{source}|{expected}| {measured[name]} |" if name in measured else found[0]

    missing = measured.keys() - {found[1] for found in _ROW.finditer(text)}
    if missing:
        raise ValueError(f"The table has no row of {', '.join(sorted(missing))}. Add one first.")
    return _ROW.sub(row, text)


def in_words(report: dict[str, Any]) -> str:
    """Returns what came out, and by which command, commit and machine, and when."""
    expected, made = report["expected"], report["evaluated"]
    rows = [f"{name} {row['measured']:.1f} % ({row['verdict']})" for name, row in expected["rows"].items()]
    commands = RECIPES[expected["recipe"]].commands(expected["recipe"])
    where = f"commit {made['commit']}, {made['machine']}, {made['date']}"
    return f"{', '.join(rows)}; `{'`, `'.join(commands)}`; {where}".replace("|", "/")


def _reports(runs: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(runs.glob("*/fusion/split*/report.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        if report.get("expected"):
            yield path, report


def _why_not(report: dict[str, Any]) -> str:
    """Returns why a report fills no row, or nothing."""
    changed, commit = report["expected"]["changed"], report["evaluated"]["commit"]
    if changed:
        return f"fills no row: the runs depart from the recipe by {', '.join(changed)}"
    if commit == "unknown" or commit.endswith("-dirty"):
        return f"fills no row: its commit is {commit}"
    return ""


if __name__ == "__main__":
    run(main)
