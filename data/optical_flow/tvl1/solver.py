"""Computes TV-L1 optical flow (Zach, Pock and Bischof, 2007) on the CPU, from coarse to fine, without OpenCV."""

from __future__ import annotations

import weakref
from collections import deque
from dataclasses import dataclass

import numpy as np

from data.optical_flow.frames import check_same_size, grey
from data.optical_flow.tvl1.brightness import match_brightness, typical_difference
from data.optical_flow.tvl1.level import solve_level
from data.optical_flow.tvl1.median import finish, plane_length
from data.optical_flow.tvl1.memory_layout import clear, level_length
from data.optical_flow.tvl1.parameters import TVL1Parameters
from data.optical_flow.tvl1.pyramid import image_pyramid, level_sizes, upsample
from data.optical_flow.tvl1.sampling import image_length
from data.optical_flow.tvl1.warp import scratch_length

# Memory that a solver keeps between calls: enough for sixteen threads at 640×480, but none for 4K frames.
MOST_KEPT_BYTES = 1 << 28
MOST_PYRAMIDS = 2


@dataclass(frozen=True)
class Frame:
    """A prepared frame: its brightness and derivatives on every level."""

    sizes: list[tuple[int, int]]
    images: list[np.ndarray]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.sizes[0]

    def shows_the_same(self, other: Frame) -> bool:
        """Tells whether two frames are equal; the coarsest level is compared first, since it nearly always differs."""
        images = zip(reversed(self.images), reversed(other.images), strict=True)
        return all(np.array_equal(one, another) for one, another in images)


class Workspace:
    """The memory for solving one pair of one size."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.sizes = sizes
        self.fields = [_aligned_zeros(level_length(*size)) for size in sizes]
        width = sizes[0][1]
        self.row = _aligned_zeros(scratch_length(width))
        self.planes = tuple(_aligned_zeros(plane_length(*sizes[0])) for _ in range(3))
        self.scratch = (_aligned_zeros(level_length(0, width)), np.zeros(width, np.int64), np.zeros(width, np.int64))
        self.bytes = sum(memory.nbytes for memory in (*self.fields, *self.planes))


def _aligned_zeros(size: int) -> np.ndarray:
    """Returns zeros that start at a cache line, so that no vector crosses from one line to the next."""
    line = 16
    memory = np.zeros(size + line, np.float32)
    start = -(memory.ctypes.data // memory.itemsize) % line
    return memory[start : start + size]


class TVL1:
    """Solves pairs of prepared frames. Threads may share a solver: each call borrows its own workspace."""

    def __init__(self, parameters: TVL1Parameters) -> None:
        self.parameters = parameters
        # Kept because new memory costs a tenth of the time of a solve. Old contents don't matter.
        self._workspaces: deque[Workspace] = deque()
        self._pyramids: deque[list[np.ndarray]] = deque(maxlen=MOST_PYRAMIDS)

    def prepare(self, frame: np.ndarray) -> Frame:
        """Returns the pyramid of a frame; prepare each frame of a video once, though it belongs to two pairs."""
        image = grey(frame)
        height, width = image.shape
        sizes = level_sizes(height, width, self.parameters.levels)
        prepared = Frame(sizes, image_pyramid(image, sizes, self.parameters.smooth, self._memory(sizes)))
        if MOST_PYRAMIDS * sum(memory.nbytes for memory in prepared.images) <= MOST_KEPT_BYTES:
            weakref.finalize(prepared, self._pyramids.append, prepared.images).atexit = False
        return prepared

    def _memory(self, sizes: list[tuple[int, int]]) -> list[np.ndarray]:
        """Returns arrays for a pyramid, reusing those of a frame that is no longer needed if their sizes fit."""
        lengths = [image_length(*size) for size in sizes]
        try:
            images = self._pyramids.pop()
        except IndexError:
            images = []
        return images if [image.size for image in images] == lengths else [_aligned_zeros(each) for each in lengths]

    def solve(self, first: Frame, second: Frame) -> np.ndarray:
        """Returns how far each pixel of the first frame moves: float32[H, W, 2] in pixels."""
        check_same_size(first, second)
        if first.shows_the_same(second):  # Videos may repeat frames. Solving would give zero flow too, but slowly.
            return np.zeros((*first.shape, 2), np.float32)
        try:
            workspace = self._workspaces.pop()
        except IndexError:
            workspace = Workspace(first.sizes)
        if workspace.sizes != first.sizes:
            workspace = Workspace(first.sizes)
        flow = coarse_to_fine(self.parameters, workspace, first, second)
        if (len(self._workspaces) + 1) * workspace.bytes <= MOST_KEPT_BYTES:
            self._workspaces.append(workspace)
        return flow


def coarse_to_fine(parameters: TVL1Parameters, workspace: Workspace, first: Frame, second: Frame) -> np.ndarray:
    """Solves the coarsest level starting from zero flow, and each finer level starting from the one before."""
    scheme, gain, offset = parameters.scheme, 1.0, 0.0
    for level, size in reversed(list(enumerate(first.sizes))):
        coarsest = level == len(first.sizes) - 1
        fields = workspace.fields[level]
        images = first.images[level], second.images[level]
        if coarsest:
            clear(fields, size)
        else:
            upsample(workspace.fields[level + 1], first.sizes[level + 1], fields, size, workspace.scratch)
        if parameters.match_brightness and level > 0:
            gain, offset = match_brightness(fields, images, size, scheme.pixels)
        brightness = np.float32(gain), np.float32(offset)  # With Python floats, numba would compile again.
        share = 1.0
        if not coarsest:  # On the coarsest level, frames differ by motion rather than noise.
            noise = typical_difference(fields, images, size, scheme.pixels, brightness)
            share = parameters.tolerance / max(noise, parameters.tolerance)
        heeding_noise = scheme._replace(threshold=np.float32(share * scheme.threshold))
        # Cubic on the finest level only: bilinear sampling would blur fine details, which coarser levels don't show.
        solve_level(fields, images, size, heeding_noise, brightness, level == 0, workspace.row)
    flow = np.empty((*first.sizes[0], 2), np.float32)
    finish(workspace.fields[0], first.sizes[0], scheme.pixels, workspace.planes, flow.ravel())
    return flow
