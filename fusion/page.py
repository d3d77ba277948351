"""The report as one HTML page: self-contained, opened from disk, readable on a phone and in print."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from fusion import charts
from fusion.evidence import Evidence
from fusion.examples import Example
from fusion.markup import FUSED, by_reason, detailed, dot, percent, section, table, title, tones_of
from fusion.page_classes import confusions, per_class, reliability, repaired
from fusion.page_training import learning_curves
from fusion.page_videos import examples_of
from fusion.published import PUBLISHED


def page(
    report: Mapping[str, Any],
    evidence: Evidence,
    fused: np.ndarray,
    examples: Sequence[Example],
    histories: Mapping[str, Path],
) -> str:
    """Returns the page of a report; `fused` are the scores of the method that the page shows in detail."""
    return document(
        f"{report['data_set']}, split {report['split']}",
        [
            head(report),
            results(report),
            _comparison(report),
            _agreement(report),
            examples_of(report, evidence, fused, examples),
            confusions(report),
            repaired(report),
            per_class(report),
            reliability(report),
            learning_curves(histories, tones_of(report), report["streams"]),
            _settings(report),
        ],
    )


def document(name: str, sections: Sequence[str]) -> str:
    """Returns a whole page, with its style and nothing from elsewhere."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(name)}</title><style>\n{style}</style></head>\n<body><main>\n'
        + "\n".join(part for part in sections if part)
        + "\n</main></body></html>\n"
    )


def head(report: Mapping[str, Any]) -> str:
    """Returns the title, what was evaluated, and the main numbers."""
    protocols = sorted({stream["protocol"] for stream in report["streams"].values()})
    tones = tones_of(report)
    several = "mean_average_precision" in report
    values = report["mean_average_precision" if several else "video_accuracy"]
    intervals = report["precision_interval" if several else "interval"]
    tiles = "".join(
        f'<div class="card tile" style="--tone:{tones[name]}"><h3>{title(name)}</h3>'
        f'<div class="value">{100 * values[name]:.1f}<small> %</small></div>'
        f"{charts.interval(values[name], *intervals[name], tone=tones[name])}</div>"
        for name in detailed(report)
    )
    measure = "Mean average precision" if several else "Video accuracy"
    return (
        '<p class="eyebrow">Two-stream action recognition</p>'
        f"<h1>{escape(report['data_set'])}, split {report['split']}</h1>"
        f'<p class="quiet">{report["num_videos"]:,} test videos from {report["num_groups"]:,} groups, '
        f"{len(report['classes'])} classes · views × crops: {escape(', '.join(protocols))}</p>"
        f"{selection_warning(report)}<div class='tiles'>{tiles}</div>"
        f'<p class="quiet small">{measure}, and its 95 % interval by drawing whole groups again.</p>'
    )


def results(report: Mapping[str, Any]) -> str:
    """Returns the table of streams and methods, with published numbers of the same lists."""
    best = max(report["video_accuracy"].values())
    tones = tones_of(report)
    several, with_top5 = "mean_average_precision" in report, len(report["classes"]) > 5
    columns = ["", "Video<br>accuracy", "", "95 % interval", "Frame<br>accuracy"]
    columns += ["Among the<br>top 5"] if with_top5 else []
    columns += ["Mean average<br>precision" if several else "Mean class<br>accuracy", "Learned"]
    rows = []
    for name, accuracy in report["video_accuracy"].items():
        low, high = report["interval"][name]
        last = report["mean_average_precision" if several else "mean_class_accuracy"][name]
        shown = f"<b>{accuracy:.1%}</b>" if accuracy == best else f"{accuracy:.1%}"
        cells = [f"{dot(tones[name])}{title(name)}", shown, charts.interval(accuracy, low, high, tone=tones[name])]
        cells += [f"{low:.1%} – {high:.1%}", percent(report["frame_accuracy"].get(name))]
        cells += [f"{report['top5'][name]:.1%}"] if with_top5 else []
        rows.append([*cells, f"{last:.1%}", escape(report["learned"].get(name, ""))])
    content = table(columns, rows, text=[len(columns) - 1], marks="results")
    return section("Results", _learning(report), content + _missing(report) + _published(report))


def selection_warning(report: Mapping[str, Any]) -> str:
    """Returns which networks were selected on the videos that they are evaluated on; empty where none was."""
    networks = {**report["streams"], **report.get("joint", {})}
    guilty = [
        escape(name.replace("_", "-")) for name, network in networks.items() if "test-selected" in network["selection"]
    ]
    if not guilty:
        return ""
    return (
        f'<div class="warning"><strong>Chosen on the test list: {" and ".join(guilty)}.</strong> '
        "The weights were selected by their accuracy on these very videos, so the numbers below flatter them and "
        "can’t be compared with honest ones.</div>"
    )


def _learning(report: Mapping[str, Any]) -> str:
    source = report["learned_from"]
    if not source:
        return ""
    words = f"Methods that learn did so from {escape(source)}."
    if source.startswith("the train list"):
        words += " The streams have seen these in training and are surer of them than of others."
    return words


def _missing(report: Mapping[str, Any]) -> str:
    return "".join(
        f"<p class='quiet small'>Not fused by {escape(', '.join(names))}: {escape(reason)}</p>"
        for reason, names in by_reason(report["missing"]).items()
    )


def _published(report: Mapping[str, Any]) -> str:
    rows = PUBLISHED.get((report["data_set"], str(report["split"])), ())
    if not rows:
        return ""
    cells = [
        [
            escape(row.source),
            *(percent(value and value / 100) for value in (row.spatial, row.temporal, row.average, row.svm)),
        ]
        for row in rows
    ]
    return "<h3 class='after'>Published for these lists</h3>" + table(
        ["", "Spatial", "Temporal", "Average", "SVM"], cells
    )


def _comparison(report: Mapping[str, Any]) -> str:
    if not report.get("comparison"):
        return ""
    rows = [
        [
            title(name),
            f"{row['ours']:.1%}",
            f"{row['theirs']:.1%}",
            f"{row['ours'] - row['theirs']:+.1%}",
            str(row["only_ours"]),
            str(row["only_theirs"]),
            f"{row['p_value']:.2g}",
        ]
        for name, row in report["comparison"]["rows"].items()
    ]
    columns = [
        "",
        "This one",
        "The other",
        "Difference",
        "Only this<br>one right",
        "Only the<br>other right",
        "p (McNemar)",
    ]
    words = (
        f"Beside {escape(report['comparison']['with'])}. p is how likely so uneven a count of disagreements is where "
        "both are equally good; below 0.05 the difference is hardly chance."
    )
    return section("Compared", words, table(columns, rows))


def _agreement(report: Mapping[str, Any]) -> str:
    names, counts, tones = list(report["streams"]), report["agreement"], tones_of(report)
    if len(names) < 2:
        return ""
    parts = [("all streams", counts["all"], FUSED)]
    parts += [(f"only {name}", counts[f"only_{place}"], tones[name]) for place, name in enumerate(names)]
    parts += [("several, not all", counts["several"], "var(--third)")] if counts["several"] else []
    parts += [("none", counts["none"], "var(--grey)")]
    total = sum(count for _, count, _ in parts)
    bars = "".join(
        f'<span style="--tone:{tone};flex:{count}" title="{escape(name)}: {count}">'
        f"{count if count > total / 20 else ''}</span>"
        for name, count, tone in parts
        if count
    )
    legend = "".join(f"<span>{dot(tone)}{escape(name)}: {count}</span>" for name, count, tone in parts)
    words = (
        f"How many of the {total:,} videos each stream recognises by itself. A judge who always knew which "
        f"stream to believe would reach {1 - counts['none'] / total:.1%}; adding up scores can go beyond, where "
        "the right class is the second choice of both."
    )
    return section("Who is right", words, f'<div class="stack">{bars}</div><div class="legend">{legend}</div>')


def _settings(report: Mapping[str, Any]) -> str:
    rows = [
        [
            title(name),
            escape(stream["selection"]),
            escape(stream["protocol"]),
            f"<code>{stream['model_hash'][:16]}</code>",
        ]
        for name, stream in {**report["streams"], **report.get("joint", {})}.items()
    ]
    columns = ["", "Weights chosen by", "Views × crops", "Model, SHA-256"]
    options = report.get("options")
    listed = (
        escape("\n".join(f"{name}: {'not given' if value in (None, []) else value}" for name, value in options.items()))
        if options
        else ""
    )
    more = f"<details><summary>All options</summary><pre>{listed}</pre></details>" if listed else ""
    return section("How it was made", "", table(columns, rows, text=[1, 2, 3]) + more)
