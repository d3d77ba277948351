"""From a folder of clips to an answer: checks and prepares them, trains both streams, fuses them, reports and exports.

./run own FOLDER
./run own FOLDER --minutes 10

FOLDER has one folder a class, with videos or folders of pictures in it, or a videos.csv. Ctrl-C stops it at any moment,
and the same command goes on.
"""

import argparse
import contextlib
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from commands.files import DATASETS, PROJECT, RUNS
from commands.running import run, usable_processors
from data.extraction.video_files import is_video, walk_files
from streams.recipes.chosen import OWN, PRETRAINED, QUICK
from streams.recipes.imagenet_files import find_imagenet

# The preset of the flow that the recipe was measured with.
PRESET = "fast"
# Seconds of one processor that a clip of two seconds takes, as measured: preparing it, and looking with both streams.
PREPARING = 1.5
LOOKING = {OWN: 1.2, QUICK: 0.6}
STARTING = 60.0  # Seconds for imports, graphs and the report, however few the clips.


_NO_WEIGHTS = """There are no ImageNet weights on this machine: the spatial stream learns from scratch, and sees less.
Put mobilenet_1_0_224_tf_no_top.h5, which Keras publishes, into the folder weights of this project, then start again."""


@dataclass(frozen=True)
class Plan:
    """How the time is spent."""

    recipe: str
    limit: int  # How many clips; 0 for all.
    minutes: float


def main(argv: Sequence[str] | None = None) -> None:
    """Takes the steps one after the other, and ends with what came out and what to type next."""
    options = _parse(argv)
    folder = options.folder.resolve()
    name = options.name or _name_of(folder)
    count = _count_clips(folder)
    plan = plan_for(count, options.minutes, usable_processors())
    _say_plan(name, count, plan, options.minutes)
    start = time.monotonic()
    where = ["--root", str(options.datasets / name)]
    learning = ["--dataset", name, *where, "--runs", str(options.runs)]
    has_weights = any(find_imagenet(backbone) for backbone in PRETRAINED)
    if not has_weights:
        print(_NO_WEIGHTS)
    preparing = ["--videos", str(folder), "--preset", PRESET]
    preparing += ["--limit", str(plan.limit)] if plan.limit else []
    methods = ["--method", "weighted-logits", "--method", "average"]
    spatial = ["--weights", "none"] if not has_weights else ["--recipe", plan.recipe]
    steps: list[tuple[str, list[str]]] = [
        ("Preparing frames and flow", ["data/prepare.py", name, *where, *preparing]),
        ("Checking the clips", ["data/doctor.py", name, *where]),
        ("Training the temporal stream", ["temporal/train.py", *learning, "--recipe", plan.recipe]),
        ("Training the spatial stream", ["spatial/train.py", *learning, *spatial]),
        (
            "Fusing and reporting",
            ["fusion/evaluate.py", *learning, *methods],
        ),
        ("Exporting one model", ["fusion/export.py", "--dataset", name, "--runs", str(options.runs)]),
    ]
    for number, (title, words) in enumerate(steps, 1):
        left = plan.minutes - (time.monotonic() - start) / 60
        print(f"\n[{number}/{len(steps)}] {title}; about {max(1, round(left))} min left in all.", flush=True)
        _step(words, fatal=title != "Checking the clips")
    _say_end(name, options, time.monotonic() - start)


def plan_for(count: int, minutes: float | None, processors: int) -> Plan:
    """Returns the best plan that fits the time; if none does, one that takes a part of the clips."""
    for recipe in LOOKING:
        needed = _minutes(count, recipe, processors)
        if minutes is None or needed <= minutes:
            return Plan(recipe, 0, needed)
    each = _minutes(1, recipe, processors) - STARTING / 60
    limit = min(count, max(20, int(((minutes or 0) - STARTING / 60) / each)))
    return Plan(recipe, limit, _minutes(limit, recipe, processors))


def _minutes(count: int, recipe: str, processors: int) -> float:
    return (STARTING + count * (PREPARING + LOOKING[recipe]) / processors) / 60


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./run own", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("folder", type=Path, help="one folder a class with clips in it, or a videos.csv beside them")
    parser.add_argument("--name", help="of the data set (default: the folder's)")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="that all of it may take (default: as long as it takes)"
    )
    parser.add_argument("--datasets", type=Path, default=DATASETS, metavar="DIR", help="where frames and flow go")
    parser.add_argument("--runs", type=Path, default=RUNS, metavar="DIR", help="where models and the report go")
    options = parser.parse_args(argv)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder.")
    if options.minutes is not None and not options.minutes > 0:
        parser.error(f"--minutes is {options.minutes:g}; it must be above 0.")
    return options


def _name_of(folder: Path) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in folder.name) or "clips"


def _count_clips(folder: Path) -> int:
    return sum(is_video(path) for path in walk_files(folder))


def _step(words: Sequence[str], *, fatal: bool) -> None:
    print("$ python " + " ".join(map(shlex.quote, words)), flush=True)
    process = subprocess.Popen([sys.executable, *words], cwd=PROJECT)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()
        raise KeyboardInterrupt("Stopped. The same command goes on from here.") from None
    if code and fatal:
        raise RuntimeError(
            "This step failed for the reason above. Once it is mended, the same command goes on from here."
        )


def _say_plan(name: str, count: int, plan: Plan, minutes: float | None) -> None:
    print(f"{count} clips in the data set {name}; about {plan.minutes:.0f} min on {usable_processors()} processors.")
    if minutes and plan.recipe != OWN:
        part = f", and {plan.limit} of the clips" if plan.limit else ""
        best = _minutes(count, OWN, usable_processors())
        print(f"To fit {minutes:g} min: the recipe {plan.recipe}{part}. {best:.0f} min would do for the best.")


def _say_end(name: str, options: argparse.Namespace, seconds: float) -> None:
    folder = options.runs / name / "fusion" / "split1"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    accuracy = report["video_accuracy"]
    low, high = report["interval"]["weighted-logits"]
    print(f"\nDone in {seconds / 60:.0f} min. On clips that nothing was learnt from, {report['num_videos']} of them:")
    print(f"  both streams {accuracy['weighted-logits']:.1%} (95 % interval {low:.1%} to {high:.1%}, by groups)")
    print(f"  spatial {accuracy['spatial']:.1%}, temporal {accuracy['temporal']:.1%}")
    print("\nNext:")
    print(f"  open the report   {folder / 'report.html'}")
    named = f"--dataset {name}" + ("" if options.runs == RUNS else f" --runs {options.runs}")
    print(f"  predict a video   ./run predict VIDEO {named}")
    print(f"  serve a page      ./run serve {named}")
    print(
        f"\nModels, scores and the report are in {options.runs / name}, frames and flow in {options.datasets / name}."
    )


if __name__ == "__main__":
    run(main)
