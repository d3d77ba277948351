"""Writes both streams as one model of another format, and checks that it gives the same answers.

./run export --format litert --spatial spatial.keras --temporal temporal.keras

The inputs are squares of uint8 pixels (`rgb`, and `flow` as levels). The outputs are the probabilities of each stream
and of their fusion.
"""

import argparse
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from rich.console import Console
from rich.table import Table

from commands.files import write_json
from commands.options import Parser
from commands.running import quiet_tensorflow, run
from fusion.prediction.chosen_models import add_model_options, model_files

# What each format needs besides TensorFlow, to be written and to be checked.
_ONNX, _LITERT = ("onnx", "tf2onnx", "onnxruntime"), ("ai_edge_litert",)
NEEDS = {
    "keras": (),
    "savedmodel": (),
    "onnx": _ONNX,
    "onnx-float16": _ONNX,
    "litert": _LITERT,
    "litert-float16": _LITERT,
    "litert-int8": _LITERT,
    "hub": (),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Exports the models that the command line names."""
    options = _parse(argv)
    _check_packages(options.format)
    models = model_files(options)
    folder = options.out or next(iter(models.values())).parent / "exported"
    quiet_tensorflow()
    from fusion.exporting.formats import Asked, export

    asked = Asked(options.format, options.check, options.calibrate, options.licence)
    results = export(models, asked, folder, options.fusion)
    table = Table("format", "megabytes", "milliseconds a clip", "largest difference", "same class")
    for found in results:
        sizes = f"{found['megabytes']:.2f}", f"{found['milliseconds']:.2f}", f"{found['difference']:.1e}"
        table.add_row(found["format"], *sizes, f"{found['agreement']:.1%}")
    Console(highlight=False).print(*([table] if results else []), f"Written to {folder}", sep="\n", soft_wrap=True)
    if options.json:
        write_json(options.json, results)


def _check_packages(formats: Sequence[str]) -> None:
    for kind in formats:
        missing = [name for name in NEEDS[kind] if importlib.util.find_spec(name) is None]
        if missing:
            raise ImportError(
                f"The format {kind} needs {', '.join(missing)}, which is not installed: "
                "pip install -r requirements-export.txt"
            )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    add_model_options(parser, with_method=False)
    output = parser.add_argument_group("output")
    formats = f"one or more of {', '.join(NEEDS)}"
    output.add_argument("--format", nargs="+", choices=NEEDS, default=["keras"], metavar="NAME", help=formats)
    output.add_argument(
        "--out", type=Path, metavar="FOLDER", help="output folder (default: exported/ beside the model)"
    )
    output.add_argument(
        "--check",
        type=Path,
        nargs="+",
        default=[],
        metavar="VIDEO",
        help="videos, or folders of them, on which answers are compared",
    )
    output.add_argument(
        "--json", type=Path, metavar="FILE", help="also write sizes, latencies and differences to this file"
    )
    output.add_argument(
        "--calibrate", type=Path, nargs="+", default=[], metavar="VIDEO", help="videos that set the ranges of int8"
    )
    output.add_argument("--licence", default="", metavar="NAME", help="licence in the model card of a hub, such as mit")
    options = parser.parse_args(argv)
    if "litert-int8" in options.format and not options.calibrate:
        parser.error("litert-int8 needs --calibrate VIDEO ...: a few training videos of each class")
    if not re.fullmatch(r"[a-z0-9.-]*", options.licence):
        parser.error(f"--licence {options.licence}: write it as the hub does, such as mit or cc-by-4.0")
    return options


if __name__ == "__main__":
    run(main)
