"""Measures the flow that encoders leave in videos: its error on made-up motion, and what it costs beyond decoding.

python benchmarks/flow/motion_vectors.py
python benchmarks/flow/motion_vectors.py --videos 4 --methods tvl1:fast dis:fast

Made-up videos of 340×256 pixels are coded as cameras and data sets do. Flow by other methods is computed on the decoded
frames. Time is processor time of one thread, a frame; that of vectors is what decoding takes longer with them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import cv2
import numpy as np

from benchmarks.flow.pairs import KINDS, FlowVideo, end_point_error, made_up_video
from commands.files import write_json
from commands.running import run
from data.extraction.coded_video import decoder_for
from data.extraction.decoder import USUAL, Decoder
from data.flow import flow_of_video
from data.store.description import Recipe
from tests.makers.videos import write_coded

# Seeds from this one on were not used to choose how vectors become flow.
FIRST_SEED = 31_000
FRAMES = 25
# Encoders with their settings: what is usual for H.264, the same for quick coding, and MPEG-4 as in UCF-101.
CODES: dict[str, tuple[str, dict[str, str | int]]] = {
    "H.264, medium": ("libx264", {"preset": "medium", "crf": 23}),
    "H.264, veryfast": ("libx264", {"preset": "veryfast", "crf": 23}),
    "H.264, zero latency": ("libx264", {"preset": "veryfast", "tune": "zerolatency", "crf": 23}),
    "MPEG-4": ("mpeg4", {"qmin": 4, "qmax": 4}),
    "MPEG-4, B frames": ("mpeg4", {"qmin": 4, "qmax": 4, "bf": 2}),
}
OTHERS = ("tvl1:fast", "dis:fast", "farneback:fast")
MOST_MILLISECONDS = 0.5  # Wanted of the vectors of a frame.
VECTORS = Recipe(method="motion-vectors")


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=1, help="made-up videos of each kind (default: 1)")
    parser.add_argument("--methods", nargs="+", default=OTHERS, metavar="METHOD:PRESET", help="others to compare with")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    kinds = [kind for kind, hard in KINDS.items() if not hard.bend]
    videos = [made_up_video(kind, FIRST_SEED + number, FRAMES) for kind in kinds for number in range(options.videos)]
    found: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for code, (codec, settings) in CODES.items():
            name = f"clip.{'avi' if codec == 'mpeg4' else 'mp4'}"
            paths = [Path(folder) / code / str(number) / name for number in range(len(videos))]
            for path, video in zip(paths, videos, strict=True):
                colour = [cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB) for frame in video.frames]
                write_coded(path, colour, codec, **settings)
            found[code] = {
                name: _measured(name, videos, paths) for name in ("none", "motion-vectors", *options.methods)
            }
            _print(code, kinds, found[code])
    slowest = max(each["motion-vectors"]["milliseconds"] for each in found.values())
    print(f"\nVectors cost at most {slowest:.2f} ms a frame beyond decoding; wanted at most {MOST_MILLISECONDS}")
    if options.json:
        write_json(options.json, found)


def _measured(name: str, videos: Sequence[FlowVideo], paths: Sequence[Path]) -> dict[str, float]:
    """Returns the mean end-point error of a method on videos of each kind, and its milliseconds a frame."""
    errors: dict[str, list[float]] = {}
    taken = []
    for video, path in zip(videos, paths, strict=True):
        fields = [np.zeros_like(truth) for truth in video.truth] if name == "none" else list(_flows(name, path))
        pairs = zip(fields, video.truth, strict=True)
        errors.setdefault(video.group, []).extend(end_point_error(*pair) for pair in pairs)
        if name != "none":
            beyond = _seconds(partial(_flows, name, path)) - _seconds(partial(_frames, path))
            taken.append(1000 * beyond / len(fields))
    means = {kind: float(np.mean(each)) for kind, each in errors.items()}
    return {**means, "milliseconds": float(np.median(taken)) if taken else 0.0}


def _flows(name: str, path: Path) -> Iterator[np.ndarray]:
    method, _, preset = name.partition(":")
    recipe = Recipe(method=method, preset=preset or Recipe.preset)
    frames = (frame for _, frame in decoder_for(path, recipe, USUAL).frames())
    return flow_of_video(frames, method, recipe.preset)


def _frames(path: Path) -> Iterator[np.ndarray]:
    return (frame for _, frame in Decoder(path).frames())


def _seconds(work: Callable[[], Iterator[np.ndarray]]) -> float:
    """Returns the processor time of going through all that work yields, the least of three times."""
    taken = []
    for _ in range(3):
        start = time.process_time()
        deque(work(), maxlen=0)
        taken.append(time.process_time() - start)
    return min(taken)


def _print(code: str, kinds: Sequence[str], found: dict[str, dict[str, float]]) -> None:
    """Prints the table of one encoder."""
    print(f"\n{code:24}" + "".join(f"{kind:>15}" for kind in (*kinds, "mean", "ms a frame")))
    for name, numbers in found.items():
        mean = float(np.mean([numbers[kind] for kind in kinds]))
        print(f"  {name:22}" + "".join(f"{each:15.3f}" for each in (*(numbers[k] for k in kinds), mean)), end="")
        print(f"{numbers['milliseconds']:15.2f}", flush=True)


if __name__ == "__main__":
    run(main)
