"""Makes a model and a report from a folder of clips: checks, prepares, trains both streams, fuses and exports.

./run own FOLDER
./run own FOLDER --minutes 10

FOLDER has one subfolder per class, with videos or folders of pictures in it; or it has a videos.csv. Ctrl-C stops the
work at any moment, and the same command goes on with it.
"""

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from commands import packages

    packages.check()  # Before the first import that may fail.

from commands.files import DATASETS, PROJECT, RUNS, write_json
from commands.help_page import TYPED
from commands.options import Parser
from commands.running import run, usable_processors
from commands.schema import read_json
from commands.table import COMMANDS
from commands.waiting import Now
from data.store.index import description_path, index_file
from fusion.own_plan import Clips, Clock, Plan, duration, plan_for, sentences
from streams.recipes.chosen import PRETRAINED, STREAMS
from streams.recipes.imagenet_files import find_imagenet

# The flow preset for which the recipe was measured.
PRESET = "fast"
TITLES = {
    "prepare": "Preparing frames and flow",
    "doctor": "Checking the clips",
    "temporal": "Training the temporal stream",
    "spatial": "Training the spatial stream",
    "report": "Fusing and reporting",
    "export": "Exporting one model",
}

# Measured on 150 clips of five words on lips: 50 % of the test videos right instead of 90 %, in four times the time.
_NO_WEIGHTS = """There are no ImageNet weights on this machine, so the spatial stream learns from scratch.
With few clips this costs accuracy: in our trial 50 % of the videos were right instead of 90 %, and it took longer.
Put mobilenet_1_0_224_tf_no_top.h5, which Keras publishes, into the folder weights of this project, then start again."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the steps one after the other. Then prints the result and what to type next."""
    options = _parse(argv)
    folder = options.folder.resolve()
    name = options.name or _name_of(folder)
    Now.doing = f"Looking at the clips in {folder}"
    clips = Clips.of(folder)
    if not clips.count:
        raise ValueError(
            f"{folder} holds no videos and no folders of pictures. Put the clips of each class into a folder in it."
        )
    plan = plan_for(clips, options.minutes, usable_processors())
    print(f"Data set {name}:", *sentences(clips, plan, options.minutes, usable_processors()), flush=True)
    commands = _commands(options, folder, name, plan)
    start, clock = time.monotonic(), Clock(plan.seconds)
    for number, (step, words) in enumerate(commands.items(), 1):
        left = duration(clock.left([*commands][number - 1 :]))
        print(f"\n[{number}/{len(commands)}] {TITLES[step]}; about {left} left in total.", flush=True)
        began = time.monotonic()
        trained = Trained(options.runs / name / "own.json", step, state_of(options.datasets / name, folder, words))
        again = step in STREAMS and trained.is_of_before
        if again:
            print("The clips or the recipe have changed, so this stream is trained again.")
        _step([*words, *(["--again"] if again else [])], fatal=step != "doctor")
        if step in STREAMS:
            trained.keep()
        clock.taken[step] = time.monotonic() - began
    _say_end(name, options, plan, time.monotonic() - start)


def _commands(options: argparse.Namespace, folder: Path, name: str, plan: Plan) -> dict[str, list[str]]:
    """Returns the command of each step."""
    where = ["--root", str(options.datasets / name)]
    runs = ["--dataset", name, "--runs", str(options.runs)]
    learning = [*runs, *where]
    has_weights = any(find_imagenet(backbone) for backbone in PRETRAINED)
    if not has_weights:
        print(_NO_WEIGHTS)
    limit = ["--limit", str(plan.limit)] if plan.limit else []
    methods = ["--method", "weighted-logits", "--method", "average"]
    return {
        "prepare": ["prepare", name, *where, "--videos", str(folder), "--preset", PRESET, *limit],
        "doctor": ["doctor", name, *where],
        "temporal": ["train temporal", *learning, "--recipe", plan.recipe],
        "spatial": ["train spatial", *learning] + (["--recipe", plan.recipe] if has_weights else ["--weights", "none"]),
        "report": ["evaluate", *learning, *methods, *([] if plan.questions else ["--no-questions"])],
        "export": ["export", *runs, "--check", str(options.datasets / name / "videos")],
    }


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="folder with a subfolder of clips per class, or with clips and a videos.csv",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the data set (default: that of the folder)")
    parser.add_argument(
        "--minutes", type=float, metavar="MINUTES", help="time limit for everything, in minutes (default: none)"
    )
    parser.add_argument(
        "--datasets", type=Path, default=DATASETS, metavar="FOLDER", help="where frames and flow are stored"
    )
    parser.add_argument(
        "--runs", type=Path, default=RUNS, metavar="FOLDER", help="where models and the report are stored"
    )
    options = parser.parse_args(argv)
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder.")
    if options.minutes is not None and not options.minutes > 0:
        parser.error(f"--minutes is {options.minutes:g}; it must be above 0.")
    return options


def _name_of(folder: Path) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in folder.name) or "clips"


@dataclass(frozen=True)
class Trained:
    """Records the training data of a stream, so that it is trained again if clips or recipe change."""

    file: Path
    stream: str
    state: str

    @property
    def is_of_before(self) -> bool:
        """Tells whether the stream was trained on other data than there are now."""
        return self._read().get(self.stream, self.state) != self.state

    def keep(self) -> None:
        """Records that the stream was trained on the present data."""
        write_json(self.file, {**self._read(), self.stream: self.state})

    def _read(self) -> dict[str, str]:
        with contextlib.suppress(OSError, ValueError):
            return read_json(self.file, dict[str, str])
        return {}


def state_of(root: Path, folder: Path, words: Sequence[str]) -> str:
    """Returns a hash of the prepared clips, their lists, their preparation, and the options of the training."""
    found = hashlib.sha256("\n".join(words).encode())
    for path in (index_file(root), description_path(root), folder / "videos.csv"):
        found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()


def _step(words: Sequence[str], *, fatal: bool) -> None:
    name, *rest = words
    print(f"$ ./run {name} {shlex.join(rest)}", flush=True)
    Now.doing = ""  # The step itself says what it is doing.
    script = COMMANDS[name].script
    environment = {**os.environ, TYPED: f"{script}=./run {name}"}
    process = subprocess.Popen([sys.executable, str(PROJECT / script), *rest], env=environment)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(KeyboardInterrupt):
            process.wait()
        raise KeyboardInterrupt("Stopped. The same command goes on from here.") from None
    if code and fatal:
        raise RuntimeError(
            "This step failed for the reason above. Once that is mended, the same command goes on from here."
        )


def _say_end(name: str, options: argparse.Namespace, plan: Plan, seconds: float) -> None:
    folder = options.runs / name / "fusion" / "split1"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    accuracy, method = report["video_accuracy"], report["methods"][0]
    low, high = report["interval"][method]
    print(f"\nDone in {duration(seconds)}. On {report['num_videos']} clips that were not used for training:")
    print(
        f"  both streams {accuracy[method]:.1%} (95 % interval {low:.1%} to {high:.1%}, by groups), fused by {method}"
    )
    print(f"  spatial {accuracy['spatial']:.1%}, temporal {accuracy['temporal']:.1%}")
    for warning in report["warnings"]:
        print(f"  Warning: {warning}")
    print("\nNext:")
    print(f"  open the report   {folder / 'report.html'}")
    named = f"--dataset {name}" + ("" if options.runs == RUNS else f" --runs {shlex.quote(str(options.runs))}")
    print(f"  predict a video   ./run predict VIDEO {named}")
    print(f"  serve a page      ./run serve {named}")
    if not plan.questions:
        again = f"--dataset {name} --root {shlex.quote(str(options.datasets / name))}"
        print(f"  ask for more      ./run evaluate {again} --runs {shlex.quote(str(options.runs))}")
    print(
        f"\nModels, scores and the report are in {options.runs / name}, frames and flow in {options.datasets / name}."
    )


if __name__ == "__main__":
    run(main)
