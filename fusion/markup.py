"""Small pieces of HTML that the sections of the page share."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_STREAM_TONES = ("var(--first)", "var(--second)", "var(--third)", "var(--fourth)")
FUSED = "var(--fused)"


def tones_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Returns the colour of each stream and method: streams have their own, fusion has one."""
    streams = {name: _STREAM_TONES[place % len(_STREAM_TONES)] for place, name in enumerate(report["streams"])}
    return streams | dict.fromkeys(report["methods"], FUSED)


def detailed(report: Mapping[str, Any]) -> list[str]:
    """Returns what the page shows in detail: every stream, and the first way of fusing them."""
    return [*report["streams"], report["methods"][0]]


def title(name: str) -> str:
    """Returns a name as it begins a line."""
    shown = name[:1].upper() + name[1:].replace("_", "-")
    for short in ("svm", "lstm", "gru"):
        shown = shown.replace(short.capitalize(), short.upper())
    return escape(shown)


def by_reason(missing: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns the methods that were left out, those for one reason together."""
    methods: dict[str, list[str]] = {}
    for method, reason in missing.items():
        methods.setdefault(reason, []).append(method)
    return methods


def dot(tone: str) -> str:
    """Returns a spot in the colour of a stream."""
    return f'<span class="dot" style="--tone:{tone}"></span>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, text: Sequence[int] = (), marks: str = "") -> str:
    """Returns a table that scrolls where it is too wide; columns in `text` hold words, `marks` is a row's class."""

    def kind(column: int) -> str:
        return ' class="text"' if column in text else ""

    top = "".join(f"<th{kind(column)}>{cell}</th>" for column, cell in enumerate(head))
    body = "".join(
        f"<tr>{''.join(f'<td{kind(column)}>{cell}</td>' for column, cell in enumerate(row))}</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table class="{marks}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def section(heading: str, words: str, content: str) -> str:
    """Returns a section with a heading and what it is about; nothing where it has no content."""
    about = f'<p class="quiet">{words}</p>' if words else ""
    return f"<section><h2>{heading}</h2>{about}{content}</section>" if content else ""


def percent(share: float | None, digits: int = 1) -> str:
    """Returns a share as percent, or a dash where there is none."""
    return "–" if share is None else f"{share:.{digits}%}"
