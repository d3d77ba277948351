"""Writes both streams as one model of another format, and checks that it gives the same answers.

python fusion/export.py --format litert --spatial spatial.keras --temporal temporal.keras

Squares of uint8 pixels go in (`rgb`, and `flow` as levels); the probabilities of each stream and of both come out.
"""

import argparse
import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from rich.console import Console
from rich.table import Table

from commands.files import DATASETS, write_json
from commands.quiet import quiet_tensorflow
from commands.running import run
from fusion.models import add_model_options, model_files

if TYPE_CHECKING:
    from fusion.two_stream import TwoStream

# What each format needs besides TensorFlow, to be written and to be checked.
NEEDS = {
    "keras": (),
    "savedmodel": (),
    "onnx": ("onnx", "tf2onnx", "onnxruntime"),
    "litert": ("ai_edge_litert",),
}
TOLERANCE = 1e-4
TIMED_RUNS = 20


def main(argv: Sequence[str] | None = None) -> None:
    """Exports the models that the command line names."""
    options = _parse(argv)
    _check_packages(options.format)
    models = model_files(options)
    folder = options.out or next(iter(models.values())).parent / "exported"
    quiet_tensorflow()
    from fusion.exported import FORMATS, joined
    from fusion.two_stream import TwoStream

    two_stream = TwoStream(models)
    model = joined(two_stream.scorers)
    source, clips = _clips(two_stream, options.check)
    print(f"Checked on {source}.")
    expected = {name: np.asarray(value) for name, value in model(clips, training=False).items()}
    folder.mkdir(parents=True, exist_ok=True)
    results = [_export(model, two_stream, kind, folder / FORMATS[kind], clips, expected) for kind in options.format]
    table = Table("format", "megabytes", "milliseconds a clip", "largest difference")
    for found in results:
        sizes = f"{found['megabytes']:.2f}", f"{found['milliseconds']:.2f}", f"{found['difference']:.1e}"
        table.add_row(found["format"], *sizes)
    Console(highlight=False).print(table, f"Written to {folder}", sep="\n", soft_wrap=True)
    if options.json:
        write_json(options.json, results)


def _export(
    model: Any,
    two_stream: "TwoStream",
    kind: str,
    path: Path,
    clips: dict[str, np.ndarray],
    expected: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Writes one format, whole or not at all, once it has given the answers of the Keras model."""
    from fusion.exported import labels_in, opened, write

    with tempfile.TemporaryDirectory(prefix=".incomplete.", dir=path.parent) as folder:
        written = Path(folder) / path.name
        write(model, two_stream.descriptions, kind, written)
        answer = opened(kind, written)
        answers = answer(clips)
        difference = max(float(np.abs(answers[name] - expected[name]).max()) for name in expected)
        if not difference <= TOLERANCE or labels_in(kind, written) != two_stream.classes:
            raise ValueError(f"The {kind} model differs by {difference:.2g} from the Keras model: nothing is written.")
        found = {
            "format": kind,
            "file": str(path),
            "megabytes": _size(written) / 1e6,
            "milliseconds": _milliseconds(answer, {name: clip[:1] for name, clip in clips.items()}),
            "difference": difference,
            "clips": len(next(iter(clips.values()))),
        }
        if path.is_dir():
            shutil.rmtree(path)
        written.replace(path)
    return found


def _clips(two_stream: "TwoStream", videos: Sequence[Path]) -> tuple[str, dict[str, np.ndarray]]:
    """Returns squares of real clips to compare answers on: those named, or of the data set, or else noise."""
    if not videos:
        folder = DATASETS / next(iter(two_stream.cards.values())).data_set / "videos"
        videos = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".txt")[:3]
    clips: dict[str, list[np.ndarray]] = {}
    for video in videos:
        for name, squares in two_stream.squares(video).items():
            clips.setdefault(name, []).extend(squares)
    if clips:
        return f"{len(videos)} videos, {videos[0]} first", {name: np.stack(parts) for name, parts in clips.items()}
    random = np.random.default_rng(0)
    inputs = (each for scorer in two_stream.scorers.values() for each in scorer.network.inputs)
    shapes = {each.name: each.shape[1:] for each in inputs}
    noise = {name: random.integers(0, 256, (8, *shape), dtype=np.uint8) for name, shape in shapes.items()}
    return "noise, as no video is named (--check VIDEO)", noise


def _milliseconds(answer: Callable[[dict[str, np.ndarray]], Any], clip: dict[str, np.ndarray]) -> float:
    times = []
    for _ in range(TIMED_RUNS):
        start = time.perf_counter()
        answer(clip)
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def _check_packages(formats: Sequence[str]) -> None:
    for kind in formats:
        missing = [name for name in NEEDS[kind] if importlib.util.find_spec(name) is None]
        if missing:
            raise ImportError(
                f"The format {kind} needs {', '.join(missing)}, which is not installed: "
                "pip install -r requirements-export.txt"
            )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add_model_options(parser, with_method=False)
    parser.add_argument("--format", nargs="+", choices=NEEDS, default=["keras"], help="one or more; keras unless given")
    parser.add_argument("--out", type=Path, metavar="DIR", help="a folder for it; exported/ beside the model")
    parser.add_argument("--check", type=Path, nargs="+", default=[], metavar="VIDEO", help="compare answers on these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write sizes, latencies and differences here too")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
