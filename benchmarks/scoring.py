"""What the 25 x 10 protocol costs, against each view decoded and predicted alone.

python benchmarks/scoring.py

Expected: at most a fifth of the straightforward way's processor time, and the same scores within 1e-4. The gain is
what is not repeated (short videos have fewer distinct views than 25, stacks of flow overlap) and what is not started
250 times; the convolutions of different views cost what they cost, so that the larger the network, the less is gained.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from commands.running import quiet_tensorflow, run
from data.catalog import DataSet, Split, Video
from data.layouts import OURS

_HEIGHT, _WIDTH, _CROP = 72, 80, 64  # As in the built-in data set.


def main() -> None:
    """Scores a made-up video in both ways, one after the other, and prints what they cost."""
    quiet_tensorflow()
    for num_frames, kind, length in ((16, "rgb", 1), (16, "flow", 10), (180, "rgb", 1), (180, "flow", 10)):
        with tempfile.TemporaryDirectory() as folder:
            quick, plain, difference = _both_ways(_made(Path(folder), num_frames), kind, length)
        print(
            f"{num_frames} frames, {kind}: {quick:.2f} s instead of {plain:.2f} s, {quick / plain:.2f} of it "
            f"(expected 0.20 or less); scores differ by {difference:.1e} (expected 1e-4 or less)",
            flush=True,
        )


def _both_ways(dataset: DataSet, kind: str, length: int) -> tuple[float, float, float]:
    from pipelines.clips import distinct_views
    from pipelines.inputs import Input
    from streams.networks import build_network
    from streams.preprocessing import Pixels
    from streams.scoring import score_videos

    clip, videos = Input(kind, length), list(dataset.videos.values())
    network = build_network("small", Pixels(kind, clip.channels, _CROP), 101)

    def quick() -> np.ndarray:
        views = distinct_views(dataset, videos, clip, num_views=25)
        return next(score_videos(network, views, num_crops=10))[0]

    def plain() -> np.ndarray:
        return np.stack([_view_alone(network, dataset, videos, clip, view) for view in range(25)])

    # The first time of each traces its functions, which a whole test list does once.
    scores, (seconds, _) = quick(), _timed(quick)
    plain_seconds, expected = _timed(plain)
    return seconds, plain_seconds, float(np.abs(scores - expected).max())


def _view_alone(network, dataset: DataSet, videos: list[Video], clip, view: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Decodes one view and predicts its ten crops one by one, as code does that knows no better."""
    from pipelines.sampling import view_starts

    video = videos[0]
    count = video.num_flows if clip.is_flow else video.num_frames
    start = int(view_starts(count, clip.length, 25)[view])
    frame = _decoded(dataset, video, clip, start).astype(np.int16)
    logits = []
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)):
        y, x = int((_HEIGHT - _CROP) * top), int((_WIDTH - _CROP) * left)
        crop = frame[y : y + _CROP, x : x + _CROP]
        mirrored = crop[:, ::-1].copy()
        if clip.is_flow:
            mirrored[..., 0::2] = 256 - np.maximum(mirrored[..., 0::2], 1)
        logits += [network.predict(each[None].astype(np.uint8), verbose=0)[0] for each in (crop, mirrored)]
    return np.mean(logits, axis=0)


def _decoded(dataset: DataSet, video: Video, clip, start: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    import cv2

    if not clip.is_flow:
        return cv2.cvtColor(cv2.imread(str(OURS.frame_path(dataset.root, video, start))), cv2.COLOR_BGR2RGB)
    paths = [
        path for index in range(start, start + clip.length) for path in OURS.flow_paths(dataset.root, video, index)
    ]
    return np.stack([np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) for path in paths], axis=-1)


def _timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _made(root: Path, num_frames: int) -> DataSet:
    import cv2

    video = Video("v_Made_g01_c01", "Made", ".avi", (0,), "g01", num_frames, num_frames - 1)
    random = np.random.default_rng(0)
    OURS.frame_path(root, video, 0).parent.mkdir(parents=True)
    for index in range(num_frames):
        picture = cv2.resize(random.integers(0, 255, (_HEIGHT // 8, _WIDTH // 8, 3), np.uint8), (_WIDTH, _HEIGHT))
        cv2.imwrite(str(OURS.frame_path(root, video, index)), picture)
        for channel, path in enumerate(OURS.flow_paths(root, video, index)):
            cv2.imwrite(str(path), picture[..., channel])
    return DataSet("made", root, ("Made",), {video.name: video}, {1: Split((), (video.name,))})


if __name__ == "__main__":
    run(main)
