"""Compares the processor time of the 25 x 10 protocol with that of a straightforward program, in one run.

python benchmarks/scoring.py
python benchmarks/scoring.py --backbone resnet18 --crop-size 112 --frames 60

The straightforward program works like most test scripts: it opens and decodes each view separately, cuts its ten crops,
and calls `model.predict` for the view, or even for each crop. Expected: at most a fifth of that time, and the same
scores within 1e-4. The gain comes from work that is not repeated (short videos have fewer than 25 distinct views, and
stacks of flow overlap) or not started 25 or 250 times. The network itself does the same work in both, so a larger
network gains less. `bfloat16` and `full` (whole frames instead of ten crops) give other scores; their time is shown
relative to ours.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
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

from commands.files import write_json
from commands.running import quiet_tensorflow, run
from data.catalog import OURS, DataSet, Split, Video
from data.optical_flow.levels import mirror_levels

EXPECTED, TOLERANCE, VIEWS = 0.2, 1e-4, 25
Work = Callable[[], np.ndarray]


def main(argv: Sequence[str] | None = None) -> None:
    """Scores a synthetic video in all ways, one after the other, and prints their costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="small")
    parser.add_argument("--crop-size", type=int, default=64)
    parser.add_argument("--frames", type=int, nargs="+", default=[16, 60, 180], help="lengths of the video")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    columns = ["frames", "stream", "ours, s", "views alone, s", "crops alone, s", "bfloat16", "full", "difference"]
    table, found = Table(*columns, title=f"{options.backbone}, crops of {options.crop_size}"), []
    for num_frames in options.frames:
        for kind, length in (("rgb", 1), ("flow", 10)):
            with tempfile.TemporaryDirectory() as folder:
                dataset = _made(Path(folder), num_frames, options.crop_size)
                seconds, difference = _all_ways(dataset, kind, length, options)
            plain = [f"{seconds[way]:.2f} ({seconds['ours'] / seconds[way]:.3f})" for way in ("views", "crops")]
            others = [f"{seconds[way] / seconds['ours']:.2f}" for way in ("bfloat16", "full")]
            table.add_row(str(num_frames), kind, f"{seconds['ours']:.3f}", *plain, *others, f"{difference:.0e}")
            found.append({"frames": num_frames, "stream": kind, "seconds": seconds, "difference": difference})
    Console().print(table)
    worst = max(each["seconds"]["ours"] / each["seconds"]["views"] for each in found)
    print(f"At most {worst:.2f} of the straightforward way, each view alone (expected: {EXPECTED} or less)")
    print(f"Largest difference of a score: {max(each['difference'] for each in found):.0e} (expected: {TOLERANCE:g})")
    if options.json:
        write_json(options.json, found)


def _all_ways(dataset: DataSet, kind: str, length: int, options: argparse.Namespace) -> tuple[dict[str, float], float]:
    from pipelines.clips import distinct_views
    from pipelines.inputs import Input
    from streams.networks.build import build_network
    from streams.networks.preprocessing import Pixels
    from streams.networks.scoring import score_videos

    clip, videos = Input(kind, length), list(dataset.videos.values())
    network = build_network(options.backbone, Pixels(kind, clip.channels, options.crop_size), 101)

    def quick(**how: Any) -> Iterator[np.ndarray]:
        # One scorer for more videos than will be asked for, as for a test list: its functions are traced once.
        views = distinct_views(dataset, videos * 1000, clip, num_views=VIEWS)
        return (logits for logits, _ in score_videos(network, views, flow_rule="centred", **how))

    def plain(at_once: int) -> np.ndarray:
        return np.stack([_view_alone(network, dataset, videos[0], clip, view, at_once) for view in range(VIEWS)])

    hows: dict[str, dict[str, Any]] = {
        "ours": {"num_crops": 10},
        "bfloat16": {"num_crops": 10, "precision": "bfloat16"},
        "full": {"num_crops": "full"},
    }
    seconds, scores = {}, {}
    for way, how in hows.items():
        scored = quick(**how)
        next(scored)
        seconds[way], scores[way] = _mean(lambda: next(scored), 10)  # noqa: B023
    for way, at_once in (("views", 10), ("crops", 1)):
        _view_alone(network, dataset, videos[0], clip, 0, at_once)
        seconds[way], scores[way] = _mean(lambda: plain(at_once), 1)  # noqa: B023
    return seconds, max(float(np.abs(scores["ours"] - scores[way]).max()) for way in ("views", "crops"))


def _view_alone(network: Any, dataset: DataSet, video: Video, clip: Any, view: int, at_once: int) -> np.ndarray:
    """Opens, decodes, crops and predicts one view, with a given number of its ten crops per call."""
    from pipelines.sampling import view_starts

    size = network.input_shape[1]
    count = video.num_flows if clip.is_flow else video.num_frames
    frame = _decoded(dataset, video, clip, int(view_starts(count, clip.length, VIEWS)[view]))
    crops = []
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)):
        top, left = int((frame.shape[0] - size) * down), int((frame.shape[1] - size) * right)
        crop = frame[top : top + size, left : left + size]
        mirrored = crop[:, ::-1].copy()
        if clip.is_flow:
            mirrored[..., 0::2] = mirror_levels(mirrored[..., 0::2])
        crops += [crop, mirrored]
    parts = np.stack(crops).reshape(-1, at_once, *crops[0].shape)
    return np.mean(np.concatenate([network.predict(part, verbose=0) for part in parts]), axis=0)


def _decoded(dataset: DataSet, video: Video, clip: Any, start: int) -> np.ndarray:
    if not clip.is_flow:
        return cv2.cvtColor(cv2.imread(str(OURS.frame_path(dataset.root, video, start))), cv2.COLOR_BGR2RGB)
    indices = range(start, start + clip.length)
    paths = [path for index in indices for path in OURS.flow_paths(dataset.root, video, index % video.num_flows)]
    return np.stack([np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in paths], axis=-1)


def _mean(work: Work, times: int) -> tuple[float, np.ndarray]:
    """Returns the mean processor time of several runs, as some of the next is done beside each, and the result."""
    start = time.process_time()
    results = [work() for _ in range(times)]
    return (time.process_time() - start) / times, results[-1]


def _made(root: Path, num_frames: int, crop_size: int) -> DataSet:
    """Writes frames and flow as large as a crop and a quarter, as 80 x 72 for 64 in the built-in data set."""
    height, width = crop_size * 9 // 8, crop_size * 5 // 4
    video = Video("v_Made_g01_c01", "Made", ".avi", (0,), "g01", num_frames, num_frames - 1)
    random = np.random.default_rng(0)
    OURS.frame_path(root, video, 0).parent.mkdir(parents=True)
    for index in range(num_frames):
        picture = cv2.resize(random.integers(0, 255, (height // 8, width // 8, 3), np.uint8), (width, height))
        cv2.imwrite(str(OURS.frame_path(root, video, index)), picture)
        for channel, path in enumerate(OURS.flow_paths(root, video, index)):
            cv2.imwrite(str(path), picture[..., channel])
    return DataSet("made", root, ("Made",), {video.name: video}, {1: Split((), (video.name,))})


if __name__ == "__main__":
    run(main)
