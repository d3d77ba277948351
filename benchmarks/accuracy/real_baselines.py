"""Simple baselines on real video, which a recipe must beat: logistic regression on frozen features or on flow.

They are fitted on the same videos as the recipe. Their regularisation is chosen in the same way, by cross-validation
over groups within the training part.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler

from commands.files import replacing
from data.catalog import DataSet, Video
from data.extraction.decoder import read_frames
from data.extraction.video_files import find_sources

# Inverse strengths of regularisation that are tried, the strongest first.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
INNER_FOLDS = 3
# Flow is computed between frames of at most so many pixels along the short side: a histogram needs no finer ones.
FLOW_SIDE = 128
CELLS, BINS, DIRECTIONS = 4, 8, 8
_IN_A_FILE = 100  # Videos whose histograms are kept in one file.


def fit_and_predict(
    features: np.ndarray, labels: np.ndarray, groups: Sequence[str], train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Returns the probabilities of the test videos, [V, C]; features are standardised, and fitted on `train` alone."""
    x, y, group, num_classes = features[train], labels[train], np.asarray(groups)[train], int(labels.max()) + 1
    losses = np.zeros(len(STRENGTHS))
    count = min(INNER_FOLDS, len(set(group)))
    with warnings.catch_warnings(action="ignore"):  # Of classes that have fewer videos than there are folds.
        inner = list(StratifiedGroupKFold(count, shuffle=True, random_state=0).split(x, y, group))
    for rows, others in inner:
        for place, shares in enumerate(_path(x[rows], y[rows], x[others], num_classes, STRENGTHS)):
            losses[place] -= np.log(shares[np.arange(len(others)), y[others]] + 1e-6).sum()
    best = STRENGTHS[int(np.argmin(losses))]
    (found,) = _path(x, y, features[test], num_classes, [best])
    return found


def _path(
    x: np.ndarray, y: np.ndarray, others: np.ndarray, num_classes: int, strengths: Sequence[float]
) -> list[np.ndarray]:
    """Returns the scores of other videos by fits of several regularisations; each fit starts from the one before."""
    scaler = StandardScaler().fit(x)
    x, others = scaler.transform(x), scaler.transform(others)
    model, found = LogisticRegression(warm_start=True, max_iter=200), []
    for strength in strengths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(x, y)
        shares = np.zeros((len(others), num_classes))
        shares[:, model.classes_] = model.predict_proba(others)
        found.append(shares)
    return found


def flow_histograms(dataset: DataSet, videos: Sequence[Video], folder: Path, key: str) -> tuple[np.ndarray, float]:
    """Returns histograms of flow directions, [V, D], and the CPU-seconds for them; both are kept in `folder`."""
    sources, rows, seconds = find_sources(dataset, dataset.root / "videos"), [], 0.0
    for start in track(range(0, len(videos), _IN_A_FILE), "Histograms of flow"):
        some = videos[start : start + _IN_A_FILE]
        paths = [sources[video.name] for video in some]
        made = kept(folder / f"flow_histograms_{key}_{start}.npz", partial(_histograms, paths))
        rows.append(made["rows"])
        seconds += float(made["seconds"])
    return np.concatenate(rows), seconds


def kept(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns the arrays in a file, and the CPU-seconds that making them took; makes the file if necessary."""
    if not path.exists():
        start = time.process_time()
        made = make()
        with replacing(path) as temporary:
            np.savez(temporary, allow_pickle=False, **made, seconds=np.array(time.process_time() - start))
    with np.load(path) as file:
        return dict(file)


def _histograms(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    return {"rows": np.stack([_histogram(path) for path in paths])}


def _histogram(path: Path) -> np.ndarray:
    """Returns the amount of motion by direction, place and time: roots of means over cells and time bins."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before, maps = None, []
    for frame in read_frames(path):
        grey = _small(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
        if before is not None and before.shape == grey.shape:
            maps.append(_directions(flow.calc(before, grey, None)))
        before = grey
    if not maps:
        return np.zeros(BINS * CELLS * CELLS * DIRECTIONS, np.float32)
    edges = np.linspace(0, len(maps), BINS + 1)
    bins = [np.mean(maps[int(low) : max(int(low) + 1, int(np.ceil(high)))], axis=0) for low, high in pairwise(edges)]
    return np.sqrt(np.stack(bins)).ravel().astype(np.float32)


def _small(grey: np.ndarray) -> np.ndarray:
    scale = FLOW_SIDE / min(grey.shape)
    return cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey


def _directions(field: np.ndarray) -> np.ndarray:
    """Returns the length of flow by direction and cell, [cells, cells, directions]."""
    length, angle = np.hypot(field[..., 0], field[..., 1]), np.arctan2(field[..., 1], field[..., 0])
    direction = np.rint(angle / (2 * np.pi) * DIRECTIONS).astype(int) % DIRECTIONS
    height, width = length.shape
    down = np.arange(height) * CELLS // height
    right = np.arange(width) * CELLS // width
    cell = down[:, None] * CELLS + right
    sums = np.bincount((cell * DIRECTIONS + direction).ravel(), length.ravel(), CELLS * CELLS * DIRECTIONS)
    return sums.reshape(CELLS, CELLS, DIRECTIONS) / (height * width / CELLS**2)
