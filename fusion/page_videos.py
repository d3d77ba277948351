"""The section of the page with example videos: frames, flow, what each stream said and where it looked."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from fusion.combine import probabilities
from fusion.evidence import Evidence
from fusion.examples import Example
from fusion.markup import section, title, tones_of
from fusion.pictures import wheel_picture


def examples_of(report: Mapping[str, Any], evidence: Evidence, fused: np.ndarray, examples: Sequence[Example]) -> str:
    """Returns the section; `fused` are the scores of the first method of the report."""
    if not examples:
        return ""
    scores = dict(zip(evidence.streams, probabilities(evidence), strict=True)) | {report["methods"][0]: fused}
    cards = "".join(_card(report, scores, example) for example in examples)
    words = (
        "Above frames, below the flow from each to the next: the hue is the direction in which a point moves, as in "
        "the wheel; the stronger the colour, the faster; white stands still. Beside them what each stream said, what "
        "is true in bold. The warm spots show what spoke for the true class in the middle of the video (Grad-CAM)."
    )
    wheel = f'<img class="wheel" src="{wheel_picture()}" alt="colour wheel">'
    return section("Examples", "", f'<div class="beside">{wheel}<p class="quiet">{words}</p></div>{cards}')


def _card(report: Mapping[str, Any], scores: Mapping[str, np.ndarray], example: Example) -> str:
    tones, truth = tones_of(report), _truth(report["labels"][example.place])
    says = "".join(
        f'<div style="--tone:{tones[name]}"><div class="who">{title(name)}</div>'
        f"{_top_three(shares[example.place], report['classes'], truth)}</div>"
        for name, shares in scores.items()
    )
    looks = "".join(
        f'<figure><img src="{uri}" alt="where {escape(name)} looks"><figcaption style="--tone:{tones[name]}">'
        f"{title(name)} looks here</figcaption></figure>"
        for name, uri in example.looks.items()
    )
    pictures = _strip(example.frames, "frame") + _strip(example.flow, "flow")
    pictures += f'<div class="looks">{looks}</div>' if looks else ""
    shown = ", ".join(report["classes"][label] for label in truth) or "none of the classes"
    return (
        f'<article class="card example"><header><h3>{escape(_reason(example.reason, report))}</h3>'
        f'<span class="quiet small">{escape(report["videos"][example.place])}, truly {escape(shown)}</span></header>'
        f'<div class="body"><div>{pictures}</div><div class="says">{says}</div></div></article>'
    )


def _strip(pictures: Sequence[str], kind: str) -> str:
    images = "".join(f'<img src="{uri}" alt="{kind}">' for uri in pictures)
    return f'<div class="strip">{images}</div>' if images else ""


def _top_three(shares: np.ndarray, classes: Sequence[str], truth: Sequence[int]) -> str:
    rows = []
    # Scores that are no probabilities have bars relative to the highest of them, and no number.
    are_shares = shares.min() >= 0 and shares.max() <= 1
    relative = shares if are_shares else np.exp(shares - shares.max())
    for place in np.argsort(-shares, kind="stable")[:3]:
        right, name = " right" if place in truth else "", escape(classes[place])
        number = f"{shares[place]:.0%}" if are_shares else ""
        rows.append(
            f'<div class="bar"><span class="name{right}" title="{name}">{name}</span>'
            f'<span class="track"><i style="width:{100 * relative[place]:.1f}%"></i></span>'
            f'<span class="share">{number}</span></div>'
        )
    return "".join(rows)


def _truth(label: int | Sequence[int]) -> list[int]:
    return [label] if isinstance(label, int) else [place for place, shown in enumerate(label) if shown]


def _reason(reason: str, report: Mapping[str, Any]) -> str:
    names = list(report["streams"])
    return reason.replace("the first stream", names[0]).replace("the last stream", names[-1])
