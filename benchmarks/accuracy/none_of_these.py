"""Measures how well clips of a class that was left out are told from the others, by three measures of sureness.

python benchmarks/accuracy/none_of_these.py grid_words --root DIR --runs DIR

It needs both streams of the data set by the recipe `own` (`./run own FOLDER`), whose training kept features. For each
class, the last layers of both streams are solved again without it, by folds over groups of the training list. The
videos of the other classes count as known and those of the class as unknown; neither was learnt from. It prints the
table of docs/background/results.md, and writes each class with --json.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np

from commands.files import RUNS, write_json
from commands.running import quiet_tensorflow, run
from data.catalog import DataSet
from data.ready import ready_dataset
from fusion.methods.doubting import KEPT, MEASURES, area_under_roc, false_alarms
from streams.runs.run_folder import Run
from streams.runs.score_file import read_scores

if TYPE_CHECKING:  # It brings Keras.
    from streams.last_layer.subsets import Subsets

STREAMS = ("spatial", "temporal")
# From the logits of both streams to how sure they are together, or one of them alone.
ROWS = {
    **{f"both streams: {name}": (name, STREAMS) for name in MEASURES},
    **{f"{stream}: {name}": (name, (stream,)) for stream in STREAMS for name in ("maximum", "energy")},
}


def main(argv: Sequence[str] | None = None) -> None:
    """Leaves out one class after the other and prints how sure the streams are of it."""
    options = _parse(argv)
    quiet_tensorflow()
    dataset = ready_dataset(options.dataset, options.root)
    if len(dataset.classes) < 3:
        raise ValueError(f"{options.dataset} has {len(dataset.classes)} classes; one can be left out of three or more.")
    subsets = {stream: _subsets(Run.of(options.runs, options.dataset, stream, 1), dataset) for stream in STREAMS}
    labels = subsets[STREAMS[0]].labels
    found: dict[str, dict[str, list[float]]] = {}
    for label in np.unique(labels):
        # The column of the class has learned nothing.
        logits = {name: np.delete(each.logits_without(label), label, axis=1) for name, each in subsets.items()}
        found[dataset.classes[label]] = _judged(logits, labels != label)
    print(f"{options.dataset}: {len(labels):,} held-out videos of {len(found)} classes, each left out once.\n")
    print(f"| sureness | area under the ROC | least of the classes | false alarms at {KEPT:.0%} kept |")
    print("|---|---|---|---|")
    for row in ROWS:
        areas, alarms = (np.array([each[row][place] for each in found.values()]) for place in (0, 1))
        print(f"| {row} | {areas.mean():.3f} | {areas.min():.3f} | {alarms.mean():.1%} |")
    if options.json:
        write_json(options.json, found)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="the name of a data set that `own` trained both streams on")
    parser.add_argument("--root", type=Path, metavar="DIR", help="its folder (default: datasets/<data set>)")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="where runs are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures of each class here too")
    return parser.parse_args(argv)


def _subsets(run: Run, dataset: DataSet) -> "Subsets":
    from fusion.report.from_networks import kept_parts
    from streams.last_layer.subsets import Subsets

    scores = read_scores(run.held_out)
    groups = [dataset.videos[name].group for name in scores.videos]
    parts = kept_parts(run.model, scores.videos)
    return Subsets(parts, scores.labels, groups, seconds=np.inf)


def _judged(logits: Mapping[str, np.ndarray], known: np.ndarray) -> dict[str, list[float]]:
    """Returns the area under the ROC and the false alarms by each measure."""
    judged = {}
    for row, (measure, streams) in ROWS.items():
        sure = MEASURES[measure]([logits[stream] for stream in streams])
        judged[row] = [area_under_roc(sure[known], sure[~known]), false_alarms(sure[known], sure[~known])]
    return judged


if __name__ == "__main__":
    run(main)
