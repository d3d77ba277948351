"""Measures the error in pixels and the bytes of flow as 8-bit JPEG of each quality, for docs/background/flow.md.

python benchmarks/flow/storage.py                     synthetic pairs
python benchmarks/flow/storage.py --video clip.avi    also the flow of a video's first 40 frames
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import cv2
import numpy as np

from benchmarks.flow.pairs import KINDS, end_point_error, made_up_pair
from commands.running import run
from data.extraction.decoder import read_frames
from data.flow import dequantise, flow_between, flow_of_video, quantise

QUALITIES = (100, 98, 95, 92, 90, 85, 80, 70)
FIRST_SEED = 6000


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3, help="made-up pairs of each kind (default: 3)")
    parser.add_argument("--bound", type=float, default=20.0, help="pixels at which flow is clipped (default: 20)")
    parser.add_argument("--video", type=Path, nargs="*", default=(), help="videos whose flow is stored, too")
    options = parser.parse_args(argv)
    pairs = [made_up_pair(kind, FIRST_SEED + number) for number in range(options.pairs) for kind in KINDS]
    flows = [flow_between(pair.first, pair.second) for pair in pairs]
    solved = np.mean([end_point_error(flow, pair.truth) for flow, pair in zip(flows, pairs, strict=True)])
    print(f"{len(flows)} made-up fields of 340×256; end-point error {solved:.4f} px before they are stored")
    print(f"{'':14}{'bytes':>9}{'mean error, px':>16}{'99 %':>8}{'end-point error':>17}{'still, px':>11}")
    for name, stored in _ways(options.bound).items():
        back, size = zip(*map(stored, flows), strict=True)
        error = np.concatenate([_distance(a, b) for a, b in zip(back, flows, strict=True)])
        truth = np.mean([end_point_error(flow, pair.truth) for flow, pair in zip(back, pairs, strict=True)])
        still = np.abs(stored(np.zeros((256, 340, 2), np.float32))[0]).mean()
        print(f"{_row(name, size, error)}{truth:17.4f}{still:11.4f}")
    for video in options.video:
        _print_video(video, options.bound)


def _print_video(path: Path, bound: float) -> None:
    flows = list(flow_of_video(islice(read_frames(path), 40)))
    clipped = np.mean([(np.abs(flow).max(axis=-1) > bound).mean() for flow in flows])
    print(f"\n{path.name}: {len(flows)} fields, {100 * clipped:.2f} % of pixels beyond ±{bound:g}")
    for name, stored in _ways(bound).items():
        back, size = zip(*map(stored, flows), strict=True)
        error = np.concatenate([_distance(a, np.clip(b, -bound, bound)) for a, b in zip(back, flows, strict=True)])
        print(_row(name, size, error))


def _row(name: str, sizes: Sequence[int], errors: np.ndarray) -> str:
    return f"{name:14}{np.mean(sizes):9.0f}{errors.mean():16.4f}{np.percentile(errors, 99):8.3f}"


def _distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.linalg.norm(one - other, axis=-1).ravel()


def _ways(bound: float) -> dict[str, Callable[[np.ndarray], tuple[np.ndarray, int]]]:
    """Returns ways to store a field; each returns the field as read back, and the bytes of x and y."""

    def through(coding: str, settings: Sequence[int], rule: str = "centred") -> Callable[..., tuple[np.ndarray, int]]:
        def stored(flow: np.ndarray) -> tuple[np.ndarray, int]:
            levels = quantise(flow, bound, rule)
            coded = [cv2.imencode(coding, np.ascontiguousarray(levels[..., axis]), settings)[1] for axis in (0, 1)]
            planes = [np.asarray(cv2.imdecode(plane, cv2.IMREAD_GRAYSCALE)) for plane in coded]
            return dequantise(np.stack(planes, axis=-1), bound, rule), sum(map(len, coded))

        return stored

    ways = {"PNG": through(".png", ())}
    ways |= {f"JPEG {quality}": through(".jpg", (cv2.IMWRITE_JPEG_QUALITY, quality)) for quality in QUALITIES}
    return ways | {"classic 95": through(".jpg", (cv2.IMWRITE_JPEG_QUALITY, 95), rule="classic")}


if __name__ == "__main__":
    run(main)
