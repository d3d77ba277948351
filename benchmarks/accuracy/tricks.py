"""Measures what each trick of a training brings on real video, beside what was published of it.

python data/prepare.py fights --videos ../shared/data/clips/fights --root DIR/fights --preset fast
python benchmarks/accuracy/tricks.py fights --root DIR/fights --stream temporal

Each row trains with one trick that the first row lacks, once for each seed, and is judged by a quarter of the groups of
the training list, which each seed draws anew; the test list is never read. Gains are paired by clip: the same seed
trains and judges by the same clips. Their interval is a bootstrap over groups. Finished trainings are kept, so run the
same command again to continue. It prints a table for docs/tricks.md.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np

from benchmarks.processes import gain_over, run_command
from commands.files import RUNS, write_json
from commands.running import quiet_tensorflow, run
from commands.waiting import Now
from data.catalog import DataSet
from data.ready import ready_dataset
from data.sets.lists import training_lists
from fusion.methods.by_groups import Part
from fusion.methods.measures import video_accuracy
from fusion.scores.of_models import stream_scores
from fusion.scores.protocol import Scoring

VALIDATION = 0.25
# A small network, which two cores can afford, and a length after which it gets no better.
BASE = (
    *("--crop-size", "64", "--shown", "most", "--batch-size", "16", "--validation", str(VALIDATION), "--warmup", "1"),
    *("--weights", "none", "--epochs", "24"),
)
OF_STREAM = {"temporal": ("--length", "10"), "spatial": ("--input", "rgb_difference", "--length", "5")}


@dataclass(frozen=True)
class Trick:
    """Options, and what was published of them: points, where, and by whom."""

    words: Sequence[str]
    published: str = ""


def vary(*names: str) -> tuple[str, ...]:
    """Returns what is typed for some variations."""
    return tuple(word for name in names for word in ("--vary", name))


_TSM = "Something-Something V1, TSM of mmaction2"
_BAG = "ImageNet, ResNet-50-D, He et al. 2019, Table 6"
TRICKS: Mapping[str, Trick] = {
    "rotate": Trick(vary("rotate")),
    "scale, stretch, shear": Trick(vary("scale", "stretch", "shear")),
    "random (RandAugment)": Trick(vary("random"), f"+1.6 ({_TSM})"),
    "backwards": Trick(vary("backwards")),
    "speed": Trick(vary("speed")),
    "brightness, contrast, saturation": Trick(vary("brightness", "contrast", "saturation")),
    "erase": Trick(vary("erase")),
    "mixup": Trick(vary("mixup"), f"+.8 ({_TSM})"),
    "cutmix": Trick(vary("cutmix"), f"+.3 ({_TSM})"),
    "label smoothing .1": Trick(("--label-smoothing", "0.1"), f"+.4 ({_BAG})"),
    "averaged weights": Trick(("--ema", "0.99")),
    "weight decay .05": Trick(("--weight-decay", "0.05")),
    "class-weighted": Trick(("--loss", "class-weighted")),
    "logit-adjusted": Trick(("--loss", "logit-adjusted")),
}
# What makes no sense for a stream.
_NOT = {"temporal": ("brightness",), "spatial": ("speed",)}


def main(argv: Sequence[str] | None = None) -> None:
    """Trains every row that is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="the name of a prepared data set")
    parser.add_argument("--root", type=Path, required=True, help="its folder")
    parser.add_argument("--stream", choices=tuple(OF_STREAM), default="temporal", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each row (default: %(default)s)")
    parser.add_argument("--only", nargs="*", help="the first letters of the rows to train, instead of all")
    parser.add_argument(
        "--teacher", type=Path, help="a folder of runs of another stream, for a row that learns from it"
    )
    parser.add_argument("--work", type=Path, default=RUNS / "tricks", help="keeps trainings (default: %(default)s)")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    dataset = ready_dataset(options.dataset, options.root)
    print(f"| {options.stream}, {options.dataset} | held out | points | published | time |\n|---|---|---|---|---|")
    first = _row("none", Trick(()), options, dataset)
    accuracy, base = video_accuracy(first[0].scores, first[0].labels), first[1]
    print(f"| no trick | {accuracy:.1%} | | | 1 |".replace("%", " %"), flush=True)
    for name, trick in rows_of(options).items():
        part, seconds = _row(name, trick, options, dataset)
        accuracy = video_accuracy(part.scores, part.labels)
        line = f"| {name} | {accuracy:.1%} | {gain_over(part, first[0])} | {trick.published} | {seconds / base:.2f} |"
        print(line.replace("%", " %"), flush=True)


def rows_of(options: argparse.Namespace) -> dict[str, Trick]:
    """Returns the tricks that suit the stream and were asked for."""
    rows = {name: trick for name, trick in TRICKS.items() if not name.startswith(_NOT[options.stream])}
    if options.teacher:
        rows["a teacher"] = Trick(("--teacher", str(options.teacher)), f"+.4 ({_BAG})")
    return {name: trick for name, trick in rows.items() if not options.only or name.startswith(tuple(options.only))}


def _row(name: str, trick: Trick, options: argparse.Namespace, dataset: DataSet) -> tuple[Part, float]:
    """Returns the scores of all seeds on the videos that each held out, and the processor seconds of all trainings."""
    parts, seconds = [], 0.0
    for seed in range(options.seeds):
        folder = options.work / options.dataset / f"{options.stream}_{''.join(filter(str.isalnum, name))}_{seed}"
        seconds += _trained(trick, options, folder, seed)
        _, held_out = training_lists(dataset, 1, "validation", VALIDATION, seed)
        scoring = Scoring(runs=folder, views=3, crops="1")
        scores = stream_scores(dataset, 1, "validation", held_out, options.stream, scoring)
        parts.append(Part(scores.logits, scores.labels, [video.group for video in held_out]))
    return Part(*(np.concatenate([each[place] for each in parts]) for place in range(3))), seconds


def _trained(trick: Trick, options: argparse.Namespace, folder: Path, seed: int) -> float:
    """Trains a network unless it has been, and returns the processor seconds that it took."""
    kept = folder / "seconds.json"
    if not kept.exists():
        place = ["--dataset", options.dataset, "--root", str(options.root), "--runs", str(folder), "--seed", str(seed)]
        Now.doing = f"Training {options.stream}, {' '.join(trick.words) or 'no trick'}, seed {seed}"
        words = [*place, *BASE, *OF_STREAM[options.stream], *trick.words]
        script = f"{options.stream}/train.py"
        write_json(kept, run_command([script, *(word.format(seed=seed) for word in words)]))
    return float(kept.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run(main)
