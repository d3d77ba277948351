"""The report as one HTML page: self-contained, opened from disk, readable on a phone and in print."""

import csv
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from fusion import charts
from fusion.combine import probabilities
from fusion.evidence import Evidence
from fusion.examples import Example, wheel_picture

_STREAM_TONES = ("var(--first)", "var(--second)", "var(--third)", "var(--fourth)")
FUSED = "var(--fused)"


def page(
    report: Mapping[str, Any],
    evidence: Evidence,
    fused: np.ndarray,
    examples: Sequence[Example],
    histories: Mapping[str, Path],
) -> str:
    """Returns the page of a report; `fused` are the probabilities of the method that the page shows in detail."""
    tones = tones_of(report)
    sections = [
        _head(report, tones),
        _results(report, tones),
        _agreement(report, tones),
        _examples(report, tones, evidence, fused, examples),
        _confusions(report, tones),
        _histories(histories, tones),
        _settings(report),
    ]
    title = f"{report['data_set']}, split {report['split']}"
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>\n{style}</style></head>\n<body><main>\n'
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def tones_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Returns the colour of each stream and method: streams have their own, fusion has one."""
    streams = {name: _STREAM_TONES[place % len(_STREAM_TONES)] for place, name in enumerate(report["streams"])}
    return streams | dict.fromkeys(report["methods"], FUSED)


def _head(report: Mapping[str, Any], tones: Mapping[str, str]) -> str:
    protocols = sorted({stream["protocol"] for stream in report["streams"].values()})
    shown = [*report["streams"], report["methods"][0]]
    tiles = "".join(
        f'<div class="card tile" style="--tone:{tones[name]}"><h3>{_title(name)}</h3>'
        f'<div class="value">{100 * report["video_accuracy"][name]:.1f}<small> %</small></div>'
        f"{charts.interval(report['video_accuracy'][name], *report['interval'][name], tone=tones[name])}</div>"
        for name in shown
    )
    return (
        '<p class="eyebrow">Two-stream action recognition</p>'
        f"<h1>{escape(report['data_set'])}, split {report['split']}</h1>"
        f'<p class="quiet">{report["num_videos"]} test videos from {report["num_groups"]} groups, '
        f"{len(report['classes'])} classes · {escape(', '.join(protocols))} views × crops a video</p>"
        f"{_warning(report)}<div class='tiles'>{tiles}</div>"
        '<p class="quiet small">Video accuracy, and its 95 % interval by drawing whole groups again.</p>'
    )


def _warning(report: Mapping[str, Any]) -> str:
    guilty = [name for name, stream in report["streams"].items() if stream["selection"] == "test-selected"]
    if not guilty:
        return ""
    return (
        f'<div class="warning"><strong>Chosen on the test list: {escape(" and ".join(guilty))}.</strong> '
        "The weights were selected by their accuracy on these very videos, so the numbers below flatter them and "
        "can’t be compared with honest ones.</div>"
    )


def _results(report: Mapping[str, Any], tones: Mapping[str, str]) -> str:
    best = max(report["video_accuracy"].values())
    with_top5 = len(report["classes"]) > 5
    rows = []
    for name, accuracy in report["video_accuracy"].items():
        low, high = report["interval"][name]
        frame = report["frame_accuracy"].get(name)
        cells = [
            f"<td>{_dot(tones[name])}{_title(name)}</td>",
            f"<td>{accuracy:.1%}</td>",
            f'<td class="wide">{charts.interval(accuracy, low, high, tone=tones[name])}</td>',
            f"<td>{low:.1%} – {high:.1%}</td>",
            f"<td>{'' if frame is None else f'{frame:.1%}'}</td>",
            f"<td>{report['top5'][name]:.1%}</td>" if with_top5 else "",
            f"<td>{report['mean_class_accuracy'][name]:.1%}</td>",
        ]
        rows.append(f"<tr{' class=best' if accuracy == best else ''}>{''.join(cells)}</tr>")
    return (
        "<h2>Results</h2><div class='scroll'><table><thead><tr><th></th><th>Video<br>accuracy</th><th></th>"
        f"<th>95 % interval</th><th>Frame<br>accuracy</th>{'<th>Among the<br>top 5</th>' if with_top5 else ''}"
        f"<th>Mean class<br>accuracy</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _agreement(report: Mapping[str, Any], tones: Mapping[str, str]) -> str:
    names, counts = list(report["streams"]), report["agreement"]
    if len(names) < 2:
        return ""
    parts = [("all streams", counts["all"], FUSED)]
    parts += [(f"only {name}", counts[f"only_{place}"], tones[name]) for place, name in enumerate(names)]
    parts += [("several, not all", counts["several"], "var(--third)")] if counts["several"] else []
    parts += [("none", counts["none"], "var(--quiet)")]
    total = report["num_videos"]
    bars = "".join(
        f'<span style="--tone:{tone};flex:{count}" title="{escape(name)}: {count}">'
        f"{count if count > total / 25 else ''}</span>"
        for name, count, tone in parts
        if count
    )
    legend = "".join(f"<span>{_dot(tone)}{escape(name)}: {count}</span>" for name, count, tone in parts)
    return (
        "<h2>Who is right</h2>"
        f'<p class="quiet">How many of the {total} videos each stream recognises by itself. A judge who always knew '
        f"which stream to believe would reach {1 - counts['none'] / total:.1%}; adding up scores can go beyond, where "
        "the right class is the second choice of both.</p>"
        f'<div class="stack">{bars}</div><div class="legend">{legend}</div>'
    )


def _examples(
    report: Mapping[str, Any],
    tones: Mapping[str, str],
    evidence: Evidence,
    fused: np.ndarray,
    examples: Sequence[Example],
) -> str:
    if not examples:
        return ""
    chances = dict(zip(evidence.streams, probabilities(evidence), strict=True)) | {report["methods"][0]: fused}
    cards = []
    for example in examples:
        label = report["labels"][example.place]
        strips = _strip(example.frames, "frame") + _strip(example.flow, "flow")
        says = "".join(
            f'<div style="--tone:{tones[name]}"><div class="who">{_title(name)}</div>'
            f"{_top_three(shares[example.place], report['classes'], label)}</div>"
            for name, shares in chances.items()
        )
        cards.append(
            f'<article class="card example"><header><h3>{escape(_reason(example.reason, report))}</h3>'
            f'<span class="quiet small">{escape(report["videos"][example.place])}, '
            f"truly {escape(report['classes'][label])}</span></header>"
            f'<div class="body"><div>{strips}</div><div class="says">{says}</div></div></article>'
        )
    return (
        "<h2>Examples</h2><div class='beside'>"
        f'<img class="wheel" src="{wheel_picture()}" alt="colour wheel">'
        '<p class="quiet">Above frames, below the flow from each to the next: the hue is the direction in which a '
        "point moves, as in the wheel; the stronger the colour, the faster; white stands still. Beside them what each "
        "stream said, the true class in bold.</p></div>" + "".join(cards)
    )


def _strip(pictures: Sequence[str], kind: str) -> str:
    images = "".join(f'<img src="{uri}" alt="{kind}">' for uri in pictures)
    return f'<div class="strip">{images}</div>' if images else ""


def _top_three(shares: np.ndarray, classes: Sequence[str], label: int) -> str:
    rows = []
    for place in np.argsort(-shares, kind="stable")[:3]:
        right, name = " right" if place == label else "", escape(classes[place])
        rows.append(
            f'<div class="bar"><span class="name{right}" title="{name}">{name}</span>'
            f'<span class="track"><i style="width:{100 * shares[place]:.1f}%"></i></span>'
            f'<span class="share">{shares[place]:.0%}</span></div>'
        )
    return "".join(rows)


def _confusions(report: Mapping[str, Any], tones: Mapping[str, str]) -> str:
    shown = [*report["streams"], report["methods"][0]]
    drawn = {
        name: charts.confusion(
            np.array(report["confusion"][name]), report["classes"], tones[name], f"confusions of {name}"
        )
        for name in shown
    }
    cards = "".join(f'<div class="card"><h3>{_title(name)}</h3>{svg}</div>' for name, svg in drawn.items())
    return (
        "<h2>What is taken for what</h2>"
        '<p class="quiet">Rows are the true classes, columns what they were taken for; the darker, the larger the '
        f'share of its row.</p><div class="grid">{cards}</div>'
    )


def _histories(histories: Mapping[str, Path], tones: Mapping[str, str]) -> str:
    cards = []
    for stream, path in histories.items():
        columns = _read_history(path)
        if not columns:
            continue
        for measure, percent in (("accuracy", True), ("loss", False)):
            series = {name: columns[name] for name in (measure, f"val_{measure}") if name in columns}
            if series:
                drawn = charts.lines(
                    series, dict.fromkeys(series, tones[stream]), percent=percent, label=f"{measure} of {stream}"
                )
                name = "frame accuracy" if measure == "accuracy" else "loss"
                cards.append(f'<div class="card"><h3>{_title(stream)}, {name}</h3>{drawn}</div>')
    if not cards:
        return ""
    return (
        "<h2>Learning curves</h2>"
        '<p class="quiet">Over the epochs: on the training videos (solid, with dropout and random crops) and on the '
        f'validation videos (dashed).</p><div class="grid pairs">{"".join(cards)}</div>'
    )


def _read_history(path: Path) -> dict[str, list[float]]:
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [_number(row[name]) for row in rows] for name in rows[0]} if rows else {}


def _number(text: str | None) -> float:
    return float(text) if text else float("nan")


def _settings(report: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{_title(name)}</td><td class='text'>{escape(stream['selection'])}</td>"
        f"<td>{escape(stream['protocol'])}</td>"
        f"<td class='text'><code>{escape(stream['model_hash'][:16])}</code></td></tr>"
        for name, stream in report["streams"].items()
    )
    return (
        "<h2>How it was made</h2><div class='scroll'><table><thead><tr><th></th><th class='text'>Weights chosen by</th>"
        "<th>Views × crops</th><th class='text'>Model, SHA-256</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _reason(reason: str, report: Mapping[str, Any]) -> str:
    names = list(report["streams"])
    return reason.replace("the first stream", names[0]).replace("the last stream", names[-1])


def _title(name: str) -> str:
    return escape(name[:1].upper() + name[1:].replace("_", " "))


def _dot(tone: str) -> str:
    return f'<span class="dot" style="--tone:{tone}"></span>'
