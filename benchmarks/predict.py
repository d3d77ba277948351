"""Compares predicting one video with a straightforward program: processor seconds of each stage, and the answers.

python benchmarks/predict.py                     60 frames of a real clip if there is one, else synthetic ones
python benchmarks/predict.py clip.avi --frames 200

The straightforward program does what most code of this field does: OpenCV's TV-L1 frame by frame, then one call of the
network for each of the 25 x 10 crops of each stream. Both networks are small, with random weights and crops of 112, so
that flow dominates, as it does for larger networks on a GPU. Expected: at least 20 times faster with the same answer.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from commands.files import PROJECT, write_json
from commands.running import quiet_tensorflow, run
from data.extraction.decoder import read_frames, write_video
from data.flow import quantise

EXPECTED = 20
VIEWS, CROPS, LENGTH, SIZE = 25, 10, 10, 112
SURENESS = 30.0
CLASSES = tuple(f"class {number}" for number in range(101))
REAL = PROJECT.parent / "shared/data/clips/ucf101/v_Biking_g01_c04.avi"


def main(argv: Sequence[str] | None = None) -> None:
    """Predicts one video in both ways and prints the cost of each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", type=Path, help="a clip of 320x240 or so")
    parser.add_argument("--frames", type=int, default=60, help="how many of its frames")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    from fusion import TwoStream

    with tempfile.TemporaryDirectory() as folder:
        video = cut(options.video or REAL, Path(folder) / "clip.avi", options.frames)
        two_stream = TwoStream(networks(Path(folder)))
        two_stream.predict(video)  # Compiles flow and networks, as the first video of many does.
        ours, our_answer = _ours(two_stream, video)
        plain, plain_answer = _straightforward(two_stream, video)
        again, _ = _ours(two_stream, video)
    ours = {stage: min(seconds, again[stage]) for stage, seconds in ours.items()}
    _report(ours, plain, our_answer, plain_answer, options.json)


def _ours(two_stream: Any, video: Path) -> tuple[dict[str, float], np.ndarray]:
    start = time.process_time()
    prediction = two_stream.predict(video, views=VIEWS, crops=CROPS)
    total = time.process_time() - start
    elapsed = sum(prediction.seconds.values())
    # Stages are known by the clock; their shares are applied to the processor time of the whole.
    stages = {name: seconds / elapsed * total for name, seconds in prediction.seconds.items()}
    decode = sum(stages.pop(name) for name in ("count", "decode", "frames"))
    return {"decode": decode, **stages, "all": total}, prediction.verdict


def _straightforward(two_stream: Any, video: Path) -> tuple[dict[str, float], np.ndarray]:
    frames, decode = _timed(lambda: list(read_frames(video)))
    solver = cv2.optflow.DualTVL1OpticalFlow_create()  # type: ignore[attr-defined]

    def solve() -> list[np.ndarray]:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        return [quantise(solver.calc(first, second, None)) for first, second in pairwise(grey)]

    fields, flow = _timed(solve)
    seconds = {"decode": decode, "flow": flow}
    answers = []
    for name in ("spatial", "temporal"):
        network = two_stream.scorers[name].network
        crops = _crops(frames if name == "spatial" else fields, 1 if name == "spatial" else LENGTH)
        logits, seconds[name] = _timed(lambda: [network.predict_on_batch(crop[None])[0] for crop in crops])  # noqa: B023
        powers = np.exp(np.mean(logits, axis=0))
        answers.append(powers / powers.sum())
    return {**seconds, "all": sum(seconds.values())}, np.mean(answers, axis=0)


def _crops(items: list[np.ndarray], length: int) -> Iterator[np.ndarray]:
    """Yields each crop of each view separately, made from its frames or flow each time."""
    for start in np.linspace(0, len(items) - length, VIEWS).round().astype(int):
        for number in range(CROPS):
            stack = np.concatenate(items[start : start + length], axis=-1)
            down, right = [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)][number % 5]
            top, left = int((stack.shape[0] - SIZE) * down), int((stack.shape[1] - SIZE) * right)
            crop = stack[top : top + SIZE, left : left + SIZE]
            if number >= 5:
                crop = crop[:, ::-1].copy()
                if length > 1:
                    crop[..., 0::2] = 0 - crop[..., 0::2]
            yield crop


def networks(folder: Path) -> dict[str, Path]:
    """Makes two small networks with random weights, and returns their files."""
    import keras

    from data.flow import flow_description
    from streams.networks.build import build_network
    from streams.networks.preprocessing import Pixels
    from streams.runs.model_file import ModelCard, save_model

    keras.utils.set_random_seed(0)
    files = {}
    for name, pixels in (("spatial", Pixels("rgb", 3, SIZE)), ("temporal", Pixels("flow", 2 * LENGTH, SIZE))):
        kind = ("rgb", 1) if name == "spatial" else ("flow", LENGTH)
        described = {} if name == "spatial" else flow_description("tvl1")
        card = ModelCard(name, *kind, CLASSES, "made", 1, "validation", described)
        files[name] = folder / f"{name}.keras"
        network = build_network("small", pixels, len(CLASSES))
        # Random weights find all classes alike; larger scores tell them apart, as a trained network's do.
        kernel = network.get_layer("logits").kernel
        kernel.assign(SURENESS * kernel)
        save_model(network, card, files[name])
    return files


def cut(source: Path, path: Path, count: int, codec: str = "FFV1") -> Path:
    """Writes the first frames of a clip, or of a synthetic one if there is none; without loss unless told otherwise."""
    if not source.exists():
        random = np.random.default_rng(0)
        texture = cv2.resize(random.integers(0, 255, (120, 320, 3), np.uint8), (640, 240))
        frames: Iterator[np.ndarray] = (np.roll(texture, 3 * i, axis=1)[:, :320].copy() for i in range(count))
    else:
        frames = islice(read_frames(source), count)
    print(f"{count} frames of {source if source.exists() else 'a made-up clip'}", flush=True)
    write_video(path, frames, 25, codec)
    return path


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    return work(), time.process_time() - start


def _report(
    ours: dict[str, float], plain: dict[str, float], our_answer: np.ndarray, plain_answer: np.ndarray, path: Path | None
) -> None:
    table = Table("stage", "straightforward, s", "ours, s", "times faster")
    for stage, seconds in plain.items():
        table.add_row(stage, f"{seconds:.2f}", f"{ours[stage]:.2f}", f"{seconds / ours[stage]:.1f}")
    Console().print(table)
    same, difference = our_answer.argmax() == plain_answer.argmax(), float(np.abs(our_answer - plain_answer).max())
    times = plain["all"] / ours["all"]
    print(f"Times faster: {times:.1f} (expected: {EXPECTED} or more)")
    print(f"The same class: {'yes' if same else 'no'}; largest difference of a probability: {difference:.4f}")
    if path:
        write_json(path, {"straightforward": plain, "ours": ours, "same": bool(same), "difference": difference})


if __name__ == "__main__":
    run(main)
