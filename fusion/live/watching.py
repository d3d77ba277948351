"""A live source on the terminal: what is seen now, how late that is said, and what was dropped."""

import argparse
from dataclasses import asdict

from rich.console import Console
from rich.live import Live
from rich.text import Text

from fusion.live.decisions import Glance, watch
from fusion.prediction.tables import write_to
from fusion.prediction.timeline import clock
from fusion.two_stream import TwoStream

BAR = 20


def watch_live(two_stream: TwoStream, options: argparse.Namespace, out: Console) -> None:
    """Shows what the streams see in a live source until it ends or is stopped."""
    glances: list[Glance] = []
    try:
        with Live(console=out, refresh_per_second=8) as display:
            for glance in watch(two_stream, options.camera, window=options.window, top=options.top):
                if glance.note:
                    out.print(f"Note: {glance.note}.")
                display.update(_shown(glance))
                glances.append(glance)
    except KeyboardInterrupt:
        out.print("Stopped.")
    write_to(options.json, [asdict(glance) for glance in glances])
    if not glances:
        raise ValueError(f"The source {options.camera} ended before one clip of it was complete.")


def _shown(glance: Glance) -> Text:
    lines = [
        Text.assemble(("━" * round(share * BAR)).ljust(BAR), f" {share:6.1%} {label}\n", style="" if place else "bold")
        for place, (label, share) in enumerate(glance.top)
    ]
    state = (
        f"{clock(glance.seconds)}  latency {1000 * glance.latency:.0f} ms  flow {glance.method}  "
        f"{glance.dropped} of {glance.frames} frames dropped"
    )
    return Text.assemble(*lines, (state, "bright_black"))
