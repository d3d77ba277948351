"""Computes flow for many pairs at once, on the CPU or on a GPU, as `--engine cpu|gpu|auto` chooses.

An engine takes batches of frames of one size. The CPU engine takes one pair per batch; to use all cores, the caller
runs several processes or threads. The GPU engine needs many pairs per call, ideally from several videos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from data.optical_flow.frames import Prepared, check_same_size, in_few_bytes, levels_of_pair
from data.optical_flow.methods import find_kind
from data.optical_flow.parameters import Values
from data.optical_flow.trial import may_have_gpu, trouble_of_gpu
from data.optical_flow.tvl1.parameters import TVL1Parameters

ENGINES = ("cpu", "gpu", "auto")
# Enough pairs to keep a large GPU busy at 340×256. Smaller GPUs need fewer, but lose nothing with this many.
GPU_BATCH = 64


@dataclass(frozen=True)
class FlowEngine:
    """Computes flow [B, H, W, 2] from B first and B second frames; it is fastest if B is `batch`.

    `prepare` does the work on single frames, and `flow_of_prepared` the work on pairs.
    """

    name: str
    batch: int
    prepare: Callable[[np.ndarray], Prepared]
    flow_of_prepared: Callable[[Sequence[Prepared], Sequence[Prepared]], np.ndarray]

    def flow_of_batch(self, firsts: Sequence[np.ndarray], seconds: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the flow of a batch of pairs of any size."""
        for first, second in zip(firsts, seconds, strict=True):
            check_same_size(first, second)
        pairs = [levels_of_pair(first, second) for first, second in zip(firsts, seconds, strict=True)]
        return self.flow_of_prepared(*([self.prepare(pair[place]) for pair in pairs] for place in (0, 1)))

    def flow_of_pairs(self, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Yields the flow of each pair, in order; neighbours of one form are a batch, even from different videos."""
        for _, alike in groupby(pairs, key=lambda pair: [(frame.shape, frame.dtype) for frame in pair]):
            while batch := list(islice(alike, self.batch)):
                yield from self.flow_of_batch(*zip(*batch, strict=True))


def flow_engine(
    name: str = "auto", method: str = "tvl1", preset: str = "balanced", batch: int = GPU_BATCH, **parameters: float
) -> FlowEngine:
    """Returns an engine; `auto` is the GPU if one works and the method is `tvl1`, the only one that can use it."""
    if name not in ENGINES:
        raise ValueError(f"The engine must be one of {', '.join(ENGINES)}. Received {name!r}.")
    if name == "cpu" or (name == "auto" and not (method == "tvl1" and _gpu_works())):
        return _cpu_engine(method, preset, parameters)
    if method != "tvl1":
        raise ValueError(f"A GPU can only compute tvl1 flow. Received {method!r}. Use --engine cpu.")
    if name == "gpu" and not has_gpu():
        raise ValueError("TensorFlow finds no GPU. Use --engine cpu or --engine auto.")
    return xla_engine(preset, batch, **parameters)


def xla_engine(preset: str = "balanced", batch: int = GPU_BATCH, **parameters: float) -> FlowEngine:
    """Returns the GPU engine on any device that TensorFlow has; on a CPU it gives the same flow, but slowly."""
    from data.optical_flow.tvl1.xla import XlaTVL1  # TensorFlow takes seconds to import.

    solver = XlaTVL1(TVL1Parameters(**find_kind("tvl1", preset, parameters).values))

    def flow_of_prepared(firsts: Sequence[np.ndarray], seconds: Sequence[np.ndarray]) -> np.ndarray:
        # The last pair is repeated to fill the batch, since each other batch size would have to be compiled.
        rest = max(0, batch - len(firsts))
        full = [np.stack([*images, *[images[-1]] * rest]) for images in (firsts, seconds)]
        return solver.solve_batch(*full)[: len(firsts)]

    return FlowEngine("gpu", batch, in_few_bytes, flow_of_prepared)


def _cpu_engine(method: str, preset: str, parameters: Values) -> FlowEngine:
    kind = find_kind(method, preset, parameters)

    def flow_of_prepared(firsts: Sequence[Prepared], seconds: Sequence[Prepared]) -> np.ndarray:
        return np.stack([kind.solve(first, second) for first, second in zip(firsts, seconds, strict=True)])

    return FlowEngine("cpu", 1, kind.prepare, flow_of_prepared)


def _gpu_works() -> bool:
    """Tells whether a GPU computes flow; if there is one that does not, says so."""
    trouble = trouble_of_gpu()
    if trouble:
        print(
            f"The GPU can't compute flow: {trouble}. The processor does (--engine cpu leaves out this trial).",
            flush=True,
        )
    return trouble is None


def has_gpu() -> bool:
    """Tells whether TensorFlow sees a GPU. TensorFlow is imported only if there is a device file."""
    if not may_have_gpu():
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
