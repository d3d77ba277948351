"""Measures accuracy against time where flow is computed only for videos that the spatial stream is unsure of.

python benchmarks/accuracy/when_unsure.py grid_words --root DIR --runs DIR --videos 20

It needs an evaluation of both streams (`fusion/evaluate.py`), whose scores of the test list it reads. Processor seconds
are those of TwoStream.predict on some test videos, with the spatial stream alone and with both; what is computed anew
where the first is not enough (decoding) is counted. It prints the table of docs/background/results.md: one line for
each threshold, the one that the evaluation set on held-out videos in bold.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np

from commands.files import RUNS
from commands.running import quiet_tensorflow, run
from data.catalog import DataSet
from data.ready import ready_dataset
from fusion.methods.fixed import softmax
from fusion.methods.kept import Alone
from fusion.methods.measures import video_accuracy
from fusion.prediction.chosen_fusion import chosen_fusion
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores

STREAMS = ("spatial", "temporal")
SHARES = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints accuracy and time by threshold."""
    options = _parse(argv)
    dataset = ready_dataset(options.dataset, options.root)
    runs = {stream: Run.of(options.runs, options.dataset, stream, 1) for stream in STREAMS}
    scores = {stream: read_scores(run.scores("test", options.protocol)) for stream, run in runs.items()}
    labels = scores["spatial"].labels
    fusion = chosen_fusion({stream: run.model for stream, run in runs.items()})
    if fusion.alone is None:
        raise ValueError("The evaluation set no threshold. Run fusion/evaluate.py with 20 held-out videos or more.")
    logits = {stream: each.view_logits for stream, each in scores.items()}
    first, fused = softmax(logits["spatial"].mean(axis=1)), fusion.probabilities(logits)
    alone, both = _seconds(dataset, options)
    print(
        f"{options.dataset}: {len(labels):,} test videos, fused by {fusion.method}. A video takes {alone:.2f} "
        f"processor seconds with the spatial stream alone, and {both:.2f} with both.\n"
    )
    print("| spatial alone above | videos with flow | video accuracy | processor seconds a video |")
    print("|---|---|---|---|")
    sure = first.max(axis=1)
    thresholds = {float(np.quantile(sure, share)) if share < 1 else 1.01 for share in SHARES} | {fusion.alone.above}
    for above in sorted(thresholds):
        asked = sure < above
        right = video_accuracy(np.where(asked[:, None], fused, first), labels)
        mark = "**" if above == fusion.alone.above else ""
        name = f"{mark}{above:.1%}{mark}" if above <= 1 else "never"
        print(f"| {name} | {asked.mean():.0%} | {right:.1%} | {alone + asked.mean() * (both - alone):.2f} |")


def _seconds(dataset: DataSet, options: argparse.Namespace) -> tuple[float, float]:
    """Returns the mean processor seconds of a test video, with the spatial stream alone and with both."""
    quiet_tensorflow()
    from fusion import TwoStream

    two_stream = TwoStream.load(options.runs / options.dataset, when_unsure=True)
    videos = dataset.part(1, "test")
    step = max(1, len(videos) // options.videos)
    files = [dataset.root / "videos" / video.relative_path for video in videos[::step][: options.videos]]
    means = []
    for above in (0.0, 1.01):
        two_stream.alone = Alone(above, 0.0, 0.0, 0.0)
        two_stream.predict(files[0])  # Compiles.
        start = time.process_time()
        for file in files:
            two_stream.predict(file)
        means.append((time.process_time() - start) / len(files))
    return means[0], means[1]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="the name of a data set whose streams were evaluated")
    parser.add_argument("--root", type=Path, metavar="DIR", help="its folder (default: datasets/<data set>)")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="where runs are kept")
    parser.add_argument(
        "--videos", type=int, default=20, metavar="N", help="whose time is taken (default: %(default)s)"
    )
    parser.add_argument("--protocol", default="25x10", help="of the scores (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
