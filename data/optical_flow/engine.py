"""Flow for many pairs at once, on the processor or on an accelerator: what `--engine cpu|gpu|auto` chooses.

An engine takes batches of frames of one size. The CPU engine's batches hold one pair, and its workers are
processes or threads of the caller's; the GPU engine wants many pairs in a call, best from several videos.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from data.optical_flow.frames import Prepared, check_same_size, grey, levels_of_pair
from data.optical_flow.methods import find_kind
from data.optical_flow.parameters import Values
from data.optical_flow.tvl1.parameters import TVL1Parameters

ENGINES = ("cpu", "gpu", "auto")
# Enough to fill a large card at 340×256; smaller ones are full with less and lose nothing.
GPU_BATCH = 64
# Where the drivers of NVIDIA, AMD and Windows' subsystem show their devices.
DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class FlowEngine:
    """Computes flow [B, H, W, 2] from B first and B second frames; `batch` is how many it likes best.

    What is done to each frame alone is done by `prepare`, and the rest by `flow_of_prepared`.
    """

    name: str
    batch: int
    prepare: Callable[[np.ndarray], Prepared]
    flow_of_prepared: Callable[[Sequence[Prepared], Sequence[Prepared]], np.ndarray]

    def flow_of_batch(self, firsts: Sequence[np.ndarray], seconds: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the flow of as many pairs as there are."""
        for first, second in zip(firsts, seconds, strict=True):
            check_same_size(first, second)
        pairs = [levels_of_pair(first, second) for first, second in zip(firsts, seconds, strict=True)]
        return self.flow_of_prepared(*([self.prepare(pair[place]) for pair in pairs] for place in (0, 1)))

    def flow_of_pairs(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields the flow of each pair, in order, batching neighbours of one size whichever videos they come from."""
        for _, alike in groupby(pairs, key=lambda pair: pair[0].shape):
            while batch := list(islice(alike, self.batch)):
                yield from self.flow_of_batch(*zip(*batch, strict=True))


def flow_engine(
    name: str = "auto", method: str = "tvl1", preset: str = "balanced", batch: int = GPU_BATCH, **parameters: float
) -> FlowEngine:
    """Returns an engine; `auto` is the GPU where there is one and the method is `tvl1`, which alone can use it."""
    if name not in ENGINES:
        raise ValueError(f"The engine must be one of {', '.join(ENGINES)}. Received {name!r}.")
    if name == "cpu" or (name == "auto" and not (method == "tvl1" and _has_gpu())):
        return _cpu_engine(method, preset, parameters)
    if method != "tvl1":
        raise ValueError(f"Only tvl1 flow is computed on a GPU. Received {method!r}; use --engine cpu.")
    if not _has_gpu():
        raise ValueError("There is no GPU that TensorFlow can use; use --engine cpu, or auto.")
    return xla_engine(preset, batch, **parameters)


def xla_engine(preset: str = "balanced", batch: int = GPU_BATCH, **parameters: float) -> FlowEngine:
    """Returns the accelerator's engine on whatever device TensorFlow has; without a GPU it is slow, but the same."""
    from data.optical_flow.tvl1.xla import XlaTVL1  # TensorFlow takes seconds to import.

    solver = XlaTVL1(TVL1Parameters(**find_kind("tvl1", preset, parameters).values))

    def flow_of_prepared(firsts: Sequence[np.ndarray], seconds: Sequence[np.ndarray]) -> np.ndarray:
        # A batch that isn't full is filled up by its last pair: another size would be compiled anew.
        rest = max(0, batch - len(firsts))
        full = [np.stack([*images, *[images[-1]] * rest]) for images in (firsts, seconds)]
        return solver.solve_batch(*full)[: len(firsts)]

    return FlowEngine("gpu", batch, grey, flow_of_prepared)


def _cpu_engine(method: str, preset: str, parameters: Values) -> FlowEngine:
    kind = find_kind(method, preset, parameters)

    def flow_of_prepared(firsts: Sequence[Prepared], seconds: Sequence[Prepared]) -> np.ndarray:
        return np.stack([kind.solve(first, second) for first, second in zip(firsts, seconds, strict=True)])

    return FlowEngine("cpu", 1, kind.prepare, flow_of_prepared)


def _has_gpu() -> bool:
    """Tells whether TensorFlow sees a GPU, without importing it where there is no sign of one."""
    if not any(Path(device).exists() for device in DEVICES) or importlib.util.find_spec("tensorflow") is None:
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
