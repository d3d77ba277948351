"""Reads and writes flow in the formats of other tools: .flo, .npy, and pairs of images."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from data.optical_flow.levels import dequantise
from data.store.pictures import read_grey

# A .flo file begins with the four bytes PIEH, which are this number as float32.
FLO_MARK = np.float32(202021.25)
FLO_HEADER = 12
# Greater numbers mean "unknown" in Middlebury's files.
FLO_UNKNOWN = 1e9


def read_flow(path: str | Path) -> np.ndarray:
    """Reads a `.flo` or `.npy` file as float32[H, W, 2] in pixels; unknown flow in a .flo file becomes NaN."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no flow file {path}.")
    if path.suffix.lower() == ".flo":
        return _read_flo(path)
    if path.suffix.lower() == ".npy":
        try:
            return field_of(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} {error}.") from error
    raise ValueError(f"Flow files end in .flo or .npy. Received {path.name}. For a pair of images: read_flow_images.")


def field_of(content: bytes) -> np.ndarray:
    """Returns the flow in the bytes of a `.npy` file as float32[H, W, 2] in pixels.

    NumPy itself reads the header, so that any order of the bytes and of the axes in memory is understood.
    """
    try:
        # Not np.load, which would also accept an archive of arrays.
        flow: np.ndarray = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # A damaged header lets NumPy raise nearly anything.
        raise ValueError(f"can't be read as an array: {error}") from error
    if flow.dtype.kind != "f" or flow.ndim != 3 or 2 not in (flow.shape[0], flow.shape[2]) or not flow.size:
        raise ValueError(f"must hold floats [H, W, 2] or [2, H, W]. It holds {flow.dtype} {list(flow.shape)}")
    return np.ascontiguousarray(flow if flow.shape[2] == 2 else np.moveaxis(flow, 0, -1), np.float32)


def read_flow_images(x_path: str | Path, y_path: str | Path, bound: float = 20.0, rule: str = "centred") -> np.ndarray:
    """Reads a pair of 8-bit images as float32[H, W, 2] in pixels; images of other tools need another rule."""
    planes = []
    for path in (x_path, y_path):
        if not Path(path).is_file():
            raise FileNotFoundError(f"There is no image of flow {path}.")
        plane = read_grey(Path(path))
        if plane is None:
            raise ValueError(f"{path} can't be read as an image: it is damaged or cut off. Make or copy it again.")
        planes.append(plane)
    if planes[0].shape != planes[1].shape:
        raise ValueError(
            f"{x_path} and {y_path} must have the same size. Received {planes[0].shape}, {planes[1].shape}."
        )
    return dequantise(np.stack(planes, axis=-1), bound, rule)


def flow_image_pairs(folder: str | Path) -> list[tuple[Path, Path]]:
    """Returns the pairs of images of x and y flow of a video, in order.

    They are in two folders `u` and `v` (or `x` and `y`, `flow_x` and `flow_y`), or in one folder with names that begin
    so.
    """
    folder = Path(folder)
    for x, y in (("u", "v"), ("x", "y"), ("flow_x", "flow_y")):
        pairs = _pairs(_images(folder / x, ""), _images(folder / y, "")) or _pairs(
            _images(folder, f"{x}_"), _images(folder, f"{y}_")
        )
        if pairs:
            return pairs
    raise FileNotFoundError(
        f"{folder} holds no pairs of flow images: neither folders u and v nor names like flow_x_1.jpg."
    )


def write_flo(path: str | Path, flow: np.ndarray) -> None:
    """Writes flow as a .flo file."""
    height, width = flow.shape[:2]
    header = FLO_MARK.tobytes() + np.array([width, height], "<i4").tobytes()
    Path(path).write_bytes(header + np.ascontiguousarray(flow, "<f4").tobytes())


def _read_flo(path: Path) -> np.ndarray:
    content = path.read_bytes()
    if len(content) < FLO_HEADER or np.frombuffer(content[:4], "<f4")[0] != FLO_MARK:
        raise ValueError(f"{path} is not a .flo file: it doesn't begin with PIEH.")
    width, height = (int(side) for side in np.frombuffer(content[4:FLO_HEADER], "<i4"))
    if width < 1 or height < 1 or len(content) != FLO_HEADER + width * height * 8:
        raise ValueError(f"{path} is damaged: {width}×{height} flow doesn't fit its {len(content)} bytes.")
    flow = np.frombuffer(content[FLO_HEADER:], "<f4").reshape(height, width, 2).astype(np.float32)
    return np.where(np.abs(flow).max(axis=-1, keepdims=True) > FLO_UNKNOWN, np.float32(np.nan), flow)


def _images(folder: Path, beginning: str) -> dict[int, Path]:
    """Returns the images of a folder by number; their names are `beginning`, maybe letters, and the number."""
    found = {}
    pattern = re.compile(rf"{re.escape(beginning)}(?:[A-Za-z_]*?)(\d+)\.(?:jpe?g|png)$", re.IGNORECASE)
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        match = pattern.match(path.name)
        if match:
            found[int(match.group(1))] = path
    return found


def _pairs(x_images: dict[int, Path], y_images: dict[int, Path]) -> list[tuple[Path, Path]]:
    if x_images.keys() != y_images.keys():
        missing = min(x_images.keys() ^ y_images.keys())
        found = x_images.get(missing) or y_images[missing]
        raise ValueError(f"Flow images must come in pairs of x and y; number {missing} has only {found}.")
    return [(x_images[number], y_images[number]) for number in sorted(x_images)]
