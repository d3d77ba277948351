"""Computes optical flow between two images and shows it as a colour picture and in numbers.

Flow is in pixels; +x points right, +y points down.
./run flow A.png B.png --out flow.png
./run flow A.png B.png --preset accurate --set attachment=0.2 --set warps=8
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import cv2
import numpy as np

from commands.files import read_file, replacing, write_json
from commands.options import Parser
from commands.running import run
from data.optical_flow.compute import METHODS, flow_between, flow_description, flow_of_video
from data.optical_flow.engine import ENGINES, FlowEngine, flow_engine
from data.optical_flow.levels import dequantise, mirror_levels, quantise
from data.optical_flow.methods import PRESET_NAMES
from data.optical_flow.parameters import bound_in_pixels, named_value
from data.optical_flow.picture import colour_wheel
from data.store.flow_files import flow_image_pairs, read_flow, read_flow_images, write_flo
from data.store.pictures import MOST_PIXELS, decode_picture

__all__ = [
    "ENGINES",
    "METHODS",
    "FlowEngine",
    "colour_wheel",
    "dequantise",
    "flow_between",
    "flow_description",
    "flow_engine",
    "flow_image_pairs",
    "flow_of_video",
    "mirror_levels",
    "quantise",
    "read_flow",
    "read_flow_images",
    "write_flo",
]


def main(argv: Sequence[str] | None = None) -> None:
    """Shows the flow between two images."""
    parser = Parser(__doc__)
    parser.add_argument("first", type=Path, metavar="FIRST", help="an image")
    parser.add_argument("second", type=Path, metavar="SECOND", help="the same scene a moment later")
    parser.add_argument("--method", choices=METHODS, default="tvl1", help="method of optical flow")
    parser.add_argument(
        "--preset", choices=PRESET_NAMES, default="balanced", help="preset of the method, from accurate to fast"
    )
    parser.add_argument(
        "--set",
        action="append",
        type=named_value,
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter of the method; can be repeated",
    )
    parser.add_argument("--bound", type=bound_in_pixels, default=20.0, metavar="PIXELS", help="largest motion to store")
    parser.add_argument(
        "--out",
        type=_flow_path,
        metavar="FILE",
        help="write the picture to this file; .flo or .npy stores the flow itself",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to this file")
    options = parser.parse_args(argv)
    first, second = _read_image(options.first), _read_image(options.second)
    flow_of_both = partial(flow_between, first, second, options.method, options.preset, **dict(options.set))
    flow_of_both()  # The first call compiles kernels, which must not count as time of the flow.
    start = time.process_time()
    flow = flow_of_both()
    numbers = {**flow_numbers(flow, options.bound), "cpu_milliseconds": 1000 * (time.process_time() - start)}
    _print_numbers(f"{options.method}, {options.preset}, {flow.shape[1]}×{flow.shape[0]}", numbers, options.bound)
    if options.out:
        _write(options.out, flow)
    if options.json:
        write_json(options.json, numbers)


def flow_numbers(flow: np.ndarray, bound: float) -> dict[str, float]:
    """Returns the range of the flow in x and y, its mean and greatest length, and the share that storage would clip."""
    x, y, length = flow[..., 0], flow[..., 1], np.linalg.norm(flow, axis=-1)
    return {
        "x_from": float(x.min()),
        "x_to": float(x.max()),
        "y_from": float(y.min()),
        "y_to": float(y.max()),
        "mean_length": float(length.mean()),
        "greatest_length": float(length.max()),
        "clipped_share": float((np.abs(flow).max(axis=-1) > bound).mean()),
    }


def _print_numbers(title: str, numbers: dict[str, float], bound: float) -> None:
    print(title)
    print(f"  x from {numbers['x_from']:.2f} to {numbers['x_to']:.2f} px (right is +)")
    print(f"  y from {numbers['y_from']:.2f} to {numbers['y_to']:.2f} px (down is +)")
    print(f"  length {numbers['mean_length']:.3f} px on average, {numbers['greatest_length']:.2f} px at most")
    print(f"  clipped at ±{bound:g} px: {100 * numbers['clipped_share']:.2f} % of pixels")
    print(f"  {numbers['cpu_milliseconds']:.1f} ms of processor time")


def _flow_path(word: str) -> Path:
    path = Path(word)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{path} is a folder; name a file in it, like {path / 'flow.png'}")
    if path.suffix.lower() not in ("", ".flo", ".npy") and not cv2.haveImageWriter(word):
        raise argparse.ArgumentTypeError(f"OpenCV can't write {path.suffix}; use .png, or .flo or .npy for the flow")
    return path


def _read_image(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"There is no image {path}.")
    image = decode_picture(read_file(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} can't be read as an image of at most {MOST_PIXELS / 1e6:g} megapixels.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _write(path: Path, flow: np.ndarray) -> None:
    with replacing(path) as temporary:
        if path.suffix.lower() == ".flo":
            write_flo(temporary, flow)
        elif path.suffix.lower() == ".npy":
            with temporary.open("wb") as file:  # Given a name, np.save would append ".npy" to it.
                np.save(file, flow)
        else:
            picture = cv2.cvtColor(colour_wheel(flow), cv2.COLOR_RGB2BGR)
            temporary.write_bytes(cv2.imencode(path.suffix or ".png", picture)[1].tobytes())


if __name__ == "__main__":
    run(main)
