"""A live source on the terminal: what is seen now, how late that is said, and what was dropped."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from commands.files import write_json
from fusion.models import load_streams
from fusion.timeline import clock
from fusion.written import STANDARD_OUTPUT

if TYPE_CHECKING:
    from fusion.live import Glance

BAR = 20


def watch_live(options: argparse.Namespace) -> None:
    """Shows what the streams see in a live source until it ends or is stopped."""
    out = Console(stderr=options.json == STANDARD_OUTPUT, highlight=False)
    two_stream = load_streams(options, out.print)
    from fusion.live import watch

    glances: list[dict[str, Any]] = []
    try:
        with Live(console=out, refresh_per_second=8) as display:
            for glance in watch(two_stream, options.camera, window=options.window, top=options.top):
                if glance.note:
                    out.print(f"Note: {glance.note}.")
                display.update(_shown(glance))
                glances.append(asdict(glance))
    except KeyboardInterrupt:
        out.print("Stopped.")
    if options.json == STANDARD_OUTPUT:
        json.dump(glances, sys.stdout, indent=2)
        print()
    elif options.json:
        write_json(Path(options.json), glances)
    if not glances:
        raise ValueError(f"The source {options.camera} ended before one clip of it was complete.")


def _shown(glance: "Glance") -> Text:
    lines = [
        Text.assemble(("━" * round(share * BAR)).ljust(BAR), f" {share:6.1%} {label}\n", style="bold" if first else "")
        for first, (label, share) in zip((True, *[False] * len(glance.top)), glance.top, strict=False)
    ]
    state = (
        f"{clock(glance.seconds)}  latency {1000 * glance.latency:.0f} ms  flow {glance.method}  "
        f"{glance.dropped} of {glance.frames} frames dropped"
    )
    return Text.assemble(*lines, (state, "bright_black"))
