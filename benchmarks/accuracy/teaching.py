"""Measures a network without flow that learns from teachers with flow: accuracy, and processor time a clip.

python benchmarks/accuracy/teaching.py shapes --teacher runs/shapes/spatial/split1 --teacher runs/shapes/temporal/split1
python benchmarks/accuracy/teaching.py words --root DIR/words --teacher runs/words/temporal/split1

The student looks at differences of frames. It is trained without teachers and with them, alike but for that, and scored
on the test list beside the teachers. Finished trainings are kept. It prints a table for docs/training/tricks.md.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np

from benchmarks.processes import gain_over, run_command
from commands.files import RUNS
from commands.running import quiet_tensorflow, run
from commands.waiting import Now
from data.catalog import DataSet
from data.flow import flow_between
from data.ready import ready_dataset
from fusion.methods.by_groups import Part, accuracy_interval
from fusion.methods.fixed import softmax
from fusion.methods.measures import video_accuracy
from fusion.scores.of_models import stream_scores
from fusion.scores.protocol import Scoring
from streams.runs.model_file import ModelCard, load_model

STUDENT = ("--input", "rgb_difference", "--length", "5")
_TURNS = 30


def main(argv: Sequence[str] | None = None) -> None:
    """Trains what is missing, scores all, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="the name of a prepared data set")
    parser.add_argument("--root", type=Path, help="its folder")
    parser.add_argument("--teacher", type=Path, action="append", required=True, help="a finished run; repeat it")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each student (default: %(default)s)")
    parser.add_argument("--work", type=Path, default=RUNS / "teaching", help="keeps trainings (default: %(default)s)")
    parser.add_argument("--teacher-weight", metavar="SHARE", help="as of a training (default: that of a training)")
    parser.add_argument("--student", default="", help="options of the student's training, in quotes")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    dataset = ready_dataset(options.dataset, options.root)
    alone = _students(options, dataset, ())
    weight = [f"--teacher-weight={options.teacher_weight}"] if options.teacher_weight else []
    taught = _students(options, dataset, [*(f"--teacher={each.resolve()}" for each in options.teacher), *weight])
    models = [each / "model.keras" for each in options.teacher]
    teachers = [_part(dataset, load_model(model)[1].stream, model, options.work) for model in models]
    together = Part(
        np.log(np.mean([np.maximum(softmax(each.scores), 1e-12) for each in teachers], axis=0)), *teachers[0][1:]
    )
    print("| | test accuracy | against the same without a teacher | ms a clip |\n|---|---|---|---|")
    student = options.work / options.dataset / "alone_0" / options.dataset / "spatial" / "split1" / "model.keras"
    own = milliseconds(student, dataset)
    print(_row("student without a teacher", alone, None, own))
    print(_row("student with teachers", taught, alone, own))
    cost = sum(milliseconds(model, dataset) for model in models)
    several = Part(*(np.concatenate([values] * options.seeds) for values in together))
    print(_row("teachers", several, alone, cost))


def milliseconds(model: Path, dataset: DataSet) -> float:
    """Returns the processor time that a clip takes: flow, if the network looks at it, and the network."""
    network, card = load_model(model)
    inputs = network.inputs[0]
    frame = np.random.default_rng(0).integers(0, 256, _size(card), np.uint8)
    shown = np.zeros((1, *inputs.shape[1:]), np.uint8)
    spent = _time(lambda: np.asarray(network(shown, training=False)))
    if card.flow:
        preset = str(card.flow["preset"])
        spent += card.length * _time(lambda: flow_between(frame, np.roll(frame, 2, axis=1), preset=preset))
    return 1000 * spent


def _size(card: ModelCard) -> tuple[int, int]:
    """Returns height and width of the frames that flow is computed on; a square of the short side, if it is known."""
    side = int(str(card.frames.get("short_side") or 128))
    return side, side


def _time(work: Callable[[], object]) -> float:
    work()
    before = time.process_time()
    for _ in range(_TURNS):
        work()
    return (time.process_time() - before) / _TURNS


def _students(options: argparse.Namespace, dataset: DataSet, teachers: Sequence[str]) -> Part:
    """Returns the scores of students of all seeds, one after the other."""
    parts = []
    for seed in range(options.seeds):
        runs = options.work / options.dataset / f"{'taught' if teachers else 'alone'}_{seed}"
        place = ["--dataset", options.dataset, "--runs", str(runs), "--seed", str(seed)]
        place += ["--root", str(options.root)] if options.root else []
        Now.doing = f"Training a student, seed {seed}"  # A finished training is not repeated.
        run_command(["spatial/train.py", *place, *STUDENT, *shlex.split(options.student), *teachers])
        parts.append(_part(dataset, "spatial", runs / options.dataset / "spatial" / "split1" / "model.keras", runs))
    return Part(*(np.concatenate([each[place] for each in parts]) for place in range(3)))


def _part(dataset: DataSet, stream: str, model: Path, runs: Path) -> Part:
    videos = dataset.part(1, "test")
    scoring = Scoring(runs=runs, views=5, crops="1", models={stream: model})
    scores = stream_scores(dataset, 1, "test", videos, stream, scoring)
    return Part(scores.logits, scores.labels, [video.group for video in videos])


def _row(name: str, part: Part, base: Part | None, spent: float) -> str:
    low, high = accuracy_interval(part)
    gain = gain_over(part, base) if base else ""
    accuracy = f"{video_accuracy(part.scores, part.labels):.1%} ({low:.1%} to {high:.1%})".replace("%", " %")
    return f"| {name} | {accuracy} | {gain} | {spent:.1f} |"


if __name__ == "__main__":
    run(main)
