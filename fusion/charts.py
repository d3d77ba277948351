"""Charts of the report as inline SVG: small, sharp at every size, in the colours of the page."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

# From this many classes on, a confusion matrix shows neither names nor counts: they could not be read.
MOST_NAMED_CLASSES = 24


def interval(value: float, low: float, high: float, *, tone: str) -> str:
    """Draws a share and its interval on a track from 0 to 100 %."""
    x, left, right = (f"{2 * 100 * share:.1f}" for share in (value, low, high))
    return (
        f'<svg viewBox="-4 0 208 16" style="--tone:{tone}" role="img" '
        f'aria-label="{value:.1%}, {low:.1%} to {high:.1%}">'
        '<line class="axis" x1="0" y1="8" x2="200" y2="8"/>'
        f'<line class="line" x1="{left}" y1="8" x2="{right}" y2="8" style="stroke-width:4;opacity:.4"/>'
        f'<circle class="cell" cx="{x}" cy="8" r="5"/></svg>'
    )


def lines(series: Mapping[str, Sequence[float]], tones: Mapping[str, str], *, percent: bool, label: str) -> str:
    """Draws curves over epochs; names that begin with `val_` are dashed."""
    width, height, left, bottom = 340, 180, 38, 26
    values = [value for curve in series.values() for value in curve if np.isfinite(value)]
    top = 1.0 if percent else _round_top(max(values, default=1.0))
    length = max((len(curve) for curve in series.values()), default=1)

    def place(step: int, value: float) -> str:
        x = left + (width - left) * step / max(length - 1, 1)
        return f"{x:.1f},{(height - bottom) * (1 - min(value, top) / top):.1f}"

    parts = [f'<svg viewBox="0 -6 {width + 6} {height + 4}" role="img" aria-label="{escape(label)}">']
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = (height - bottom) * (1 - share)
        tick = f"{share:.0%}" if percent else f"{top * share:.2g}"
        parts.append(f'<line class="axis" x1="{left}" y1="{y:.1f}" x2="{width}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick}</text>')
    for name, curve in series.items():
        points = " ".join(place(step, value) for step, value in enumerate(curve) if np.isfinite(value))
        kind = "line dashed" if name.startswith("val_") else "line"
        parts.append(f'<polyline class="{kind}" style="--tone:{tones[name]}" points="{points}"/>')
    parts.append(f'<text x="{left}" y="{height - 6}">1</text>')
    parts.append(f'<text x="{width}" y="{height - 6}" text-anchor="end">epoch {length}</text></svg>')
    return "".join(parts)


def confusion(counts: np.ndarray, classes: Sequence[str], tone: str, label: str) -> str:
    """Draws how often each class (a row) was taken for each (a column); a row's colours add up to one."""
    named = len(classes) <= MOST_NAMED_CLASSES
    cell = 26 if named else max(2.5, 300 / len(classes))
    margin = 6.3 * max(map(len, classes)) + 8 if named else 4
    side = cell * len(classes)
    head = margin * 0.75
    # Names of columns lean to the right at 45 degrees, and the last one needs its room.
    width, height = margin + side + (head - 20 if named else 4), head + side + 4
    parts = [
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="--tone:{tone}" role="img" aria-label="{escape(label)}">'
    ]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in zip(*np.nonzero(counts), strict=True):
        x, y, share = margin + column * cell, head + row * cell, shares[row, column]
        said = f"{classes[row]} taken for {classes[column]}: {counts[row, column]}"
        parts.append(
            f'<rect class="cell" x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" '
            f'fill-opacity="{share:.2f}"><title>{escape(said)}</title></rect>'
        )
        if named:
            ink = "fill:var(--card)" if share > 0.55 else "fill:var(--ink)"
            parts.append(
                f'<text x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}" text-anchor="middle" style="{ink}">'
                f"{counts[row, column]}</text>"
            )
    if named:
        for place, name in enumerate(classes):
            middle = (place + 0.5) * cell
            parts.append(
                f'<text x="{margin - 6:.0f}" y="{head + middle + 4:.1f}" text-anchor="end">{escape(name)}</text>'
            )
            x = margin + middle + 3
            parts.append(f'<text transform="translate({x:.1f} {head - 5:.1f}) rotate(-45)">{escape(name)}</text>')
    parts.append(f'<rect class="frame" x="{margin:.1f}" y="{head:.1f}" width="{side:.1f}" height="{side:.1f}"/></svg>')
    return "".join(parts)


def reliability(bins: Sequence[Mapping[str, float]], tone: str, label: str) -> str:
    """Draws how often videos are right against how sure, with the line on which both are the same."""
    side, left = 180, 34
    parts = [
        f'<svg viewBox="0 -8 {left + side + 10} {side + 34}" style="--tone:{tone};max-width:320px" role="img" '
        f'aria-label="reliability {escape(label)}">'
    ]
    for share in (0, 0.5, 1):
        y, x = side * (1 - share), left + side * share
        parts.append(f'<line class="axis" x1="{left}" y1="{y:.0f}" x2="{left + side}" y2="{y:.0f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{share:.0%}</text>')
        parts.append(f'<text x="{x:.0f}" y="{side + 18}" text-anchor="middle">{share:.0%}</text>')
    parts.append(f'<line class="axis" x1="{left}" y1="{side}" x2="{left + side}" y2="0" stroke-dasharray="3 4"/>')
    places = [(left + side * each["confidence"], side * (1 - each["accuracy"])) for each in bins]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts.append(f'<polyline class="line" style="opacity:.5" points="{points}"/>')
    most = max((each["count"] for each in bins), default=1)
    for each, (x, y) in zip(bins, places, strict=True):
        radius = 2.5 + 5 * (each["count"] / most) ** 0.5
        said = f"{each['count']} videos: sure {each['confidence']:.0%}, right {each['accuracy']:.0%}"
        parts.append(f'<circle class="cell" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"><title>{said}</title></circle>')
    return "".join([*parts, "</svg>"])


def _round_top(highest: float) -> float:
    """Returns the next number above whose quarters are short to write."""
    power = 10.0 ** np.floor(np.log10(max(highest, 1e-9)))
    return float(next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= highest))


def change(share: float) -> str:
    """Draws a difference of shares as a bar to the right of zero, or to its left."""
    left, tone = (60 + 60 * min(share, 0), "var(--fused)" if share >= 0 else "var(--wrong)")
    return (
        f'<svg class="change" viewBox="0 0 170 16" style="--tone:{tone}" role="img" aria-label="{share:+.0%}">'
        '<line class="axis" x1="60" y1="0" x2="60" y2="16"/>'
        f'<rect class="cell" x="{left:.1f}" y="3" width="{60 * abs(share):.1f}" height="10" rx="2"/>'
        f'<text class="ink" x="168" y="12" text-anchor="end">{share:+.0%}</text></svg>'
    )
