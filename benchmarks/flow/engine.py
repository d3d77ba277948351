"""Measures pairs of 340×256 frames per second on a GPU for several batch sizes; without a GPU, by XLA on the CPU.

python benchmarks/flow/engine.py
python benchmarks/flow/engine.py --batches 64 128 --preset fast
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from commands import packages

    packages.check()  # Before the first import that may fail.

import numpy as np

from benchmarks.flow.pairs import made_up_pair
from commands.running import quiet_tensorflow, run
from data.flow import flow_between
from data.optical_flow.engine import xla_engine
from data.optical_flow.methods import PRESET_NAMES

# What a card of the H200 class is to reach.
EXPECTED_ON_A_GPU = 2000
SECONDS = 10.0
GPU_BATCHES = (1, 8, 32, 64, 128, 256)
CPU_BATCHES = (1, 4)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints pairs per second for each batch size, including the transfer of frames and flow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", help="default: 1 to 256 on a GPU, 1 and 4 without")
    parser.add_argument("--preset", choices=PRESET_NAMES, default="balanced", help="default: balanced")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    device = tf.config.experimental.get_device_details(gpus[0]).get("device_name") if gpus else "no GPU: the processor"
    print(f"{device}; tvl1 {options.preset}, 340×256" + (f"; {EXPECTED_ON_A_GPU} pairs/s expected" if gpus else ""))
    pair = made_up_pair("medium motion", seed=0)
    for batch in options.batches or (GPU_BATCHES if gpus else CPU_BATCHES):
        compiling, rate, flow = _measured(pair.first, pair.second, batch, options.preset)
        apart = np.linalg.norm(flow - flow_between(pair.first, pair.second, preset=options.preset), axis=-1).mean()
        print(
            f"  batch {batch:4}: {rate:8.1f} pairs/s, compiled in {compiling:.0f} s, {apart:.1e} px from the CPU's flow"
        )


def _measured(first: np.ndarray, second: np.ndarray, batch: int, preset: str) -> tuple[float, float, np.ndarray]:
    """Returns the seconds of compiling, the pairs per second afterwards, and the flow."""
    engine = xla_engine(preset, batch)
    firsts, seconds = [first] * batch, [second] * batch
    start = time.perf_counter()
    engine.flow_of_batch(firsts, seconds)
    compiled = time.perf_counter()
    runs = 0
    while runs < 2 or time.perf_counter() - compiled < SECONDS:
        flow = engine.flow_of_batch(firsts, seconds)
        runs += 1
    return compiled - start, runs * batch / (time.perf_counter() - compiled), flow[0]


if __name__ == "__main__":
    run(main)
