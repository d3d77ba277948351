"""The sections of the page about classes: confusions, what fusion repairs and breaks, and how sure is right."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from fusion import charts
from fusion.markup import detailed, dot, percent, section, table, title, tones_of

# More classes than this fold away, and so many pairs are listed.
_OPEN_CLASSES, _PAIRS = 30, 5


def confusions(report: Mapping[str, Any]) -> str:
    """Returns a matrix for each stream and for fusion."""
    if "confusion" not in report:
        return ""
    tones = tones_of(report)
    cards = "".join(
        f'<div class="card"><h3>{title(name)}</h3>'
        f"{charts.confusion(np.array(report['confusion'][name]), report['classes'], tones[name], f'of {name}')}</div>"
        for name in detailed(report)
    )
    words = "Rows are the true classes, columns what they were taken for; the darker, the larger the share of its row."
    return section("What is taken for what", words, f'<div class="grid">{cards}</div>')


def repaired(report: Mapping[str, Any]) -> str:
    """Returns the confusions of the best stream that fusion repairs, and those that it brings in."""
    if "confusion" not in report or len(report["streams"]) < 2:
        return ""
    best = max(report["streams"], key=report["video_accuracy"].__getitem__)
    before, after = (np.array(report["confusion"][name]) for name in (best, report["methods"][0]))
    change = after - before
    np.fill_diagonal(change, 0)
    cards = []
    for heading, sign in (("Repaired", -1), ("Brought in", 1)):
        order = np.argsort(-sign * change, axis=None, kind="stable")[:_PAIRS]
        rows = []
        for truth, taken in zip(*np.unravel_index(order, change.shape), strict=True):
            if sign * change[truth, taken] > 0:
                pair = f"{escape(report['classes'][truth])} taken for {escape(report['classes'][taken])}"
                rows.append([pair, f"{before[truth, taken]} → {after[truth, taken]}"])
        content = table(["", "videos"], rows) if rows else '<p class="quiet">None.</p>'
        cards.append(f'<div class="card"><h3>{heading}</h3>{content}</div>')
    words = f"From {escape(best)}, the best stream by itself, to {escape(report['methods'][0])}."
    return section("What fusion repairs and what it breaks", words, f'<div class="grid pairs">{"".join(cards)}</div>')


def per_class(report: Mapping[str, Any]) -> str:
    """Returns each class with what each stream and fusion make of it, the greatest gain first."""
    measure = "class_accuracy" if "class_accuracy" in report else "class_precision"
    names, values, tones = detailed(report), report[measure], tones_of(report)
    labels = np.array(report["labels"])
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(report["classes"]))
    first, last = names[0], names[-1]
    shown = [place for place in range(len(counts)) if values[last][place] is not None]
    shown.sort(key=lambda place: values[first][place] - values[last][place])
    rows = [
        [
            escape(report["classes"][place]),
            str(counts[place]),
            *(percent(values[name][place], 0) for name in names),
            charts.change(values[last][place] - values[first][place]),
        ]
        for place in shown
    ]
    columns = ["", "videos", *(f"{dot(tones[name])}{title(name)}" for name in names), f"Beyond {escape(first)}"]
    empty = len(counts) - len(shown)
    note = f" {empty} classes without test videos are left out here and in the mean." if empty else ""
    what = "Accuracy" if measure == "class_accuracy" else "Average precision"
    opened = " open" if len(shown) <= _OPEN_CLASSES else ""
    content = (
        f"<details{opened}><summary>{len(shown)} classes</summary>{table(columns, rows, marks='classes')}</details>"
    )
    return section(
        "Class by class", f"{what} of each class, and what the other streams add to the first.{note}", content
    )


def reliability(report: Mapping[str, Any]) -> str:
    """Returns how sure streams and fusion are, against how often they are right."""
    tones = tones_of(report)
    cards = "".join(
        f'<div class="card"><h3>{title(name)}</h3>{charts.reliability(each["bins"], tones[name], f"of {name}")}'
        f'<p class="quiet small">off by {each["error"]:.1%} on average</p></div>'
        for name, each in report["reliability"].items()
    )
    words = (
        "Across how sure, up how often right: on the line, a probability of 70 % is right seven times in ten. Below "
        "it a stream is too sure, above it too modest. Larger dots stand for more videos."
    )
    return section("Is sure right?", words, f'<div class="grid">{cards}</div>' if cards else "")
