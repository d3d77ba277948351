"""Fills HTML templates, where every value is escaped, and formats names and numbers for them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, *, folder: Path = TEMPLATES, **values: object) -> str:
    """Returns a template of `folder`, filled in. A value that the template needs but does not get is an error."""
    environment = templates_in(folder, autoescape=True)
    environment.filters |= {"display": title, "percent": percent, "points": points}
    return environment.get_template(template).render(values)


def templates_in(folder: Path, **escaping: Any) -> Environment:
    """Returns the templates of a folder. `escaping` sets how values are escaped."""
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **escaping,
    )


def title(name: str) -> str:
    """Returns the name of a stream or a method with a capital letter, and with dashes."""
    shown = name[:1].upper() + name[1:].replace("_", "-")
    for short in ("svm", "lstm", "gru"):
        shown = shown.replace(short.capitalize(), short.upper())
    return shown


def by_reason(missing: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns the methods that can't be used, grouped by the reason."""
    methods: dict[str, list[str]] = {}
    for method, reason in missing.items():
        methods.setdefault(reason, []).append(method)
    return methods


def percent(share: float | None, digits: int = 1) -> str:
    """Returns a share as percent, or a dash for None."""
    return "–" if share is None else f"{share:.{digits}%}".replace("%", "\N{NO-BREAK SPACE}%")


def points(difference: float, digits: int = 1) -> str:
    """Returns a difference of shares in percentage points, with its sign."""
    written = f"{100 * difference:+.{digits}f}"
    return written.lstrip("+-") if float(written) == 0 else written.replace("-", "\N{MINUS SIGN}")
