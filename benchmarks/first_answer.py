"""Measures how long a single prediction takes from the command to its answer, and what the time goes to.

python benchmarks/first_answer.py

A clip of 3 s (75 frames of 320x240), two small networks, 25 x 10 views, one core, compiled kernels in the cache.
Expected: under 4 s of processor time. Figures are the least of some turns, because others may use the machine.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.predict import REAL, cut, networks
from benchmarks.processes import run_command
from commands.files import scratch_folder
from commands.options import positive
from commands.running import quiet_tensorflow, run
from commands.waiting import Now

FRAMES, EXPECTED = 75, 4.0
# What is timed by itself, and is a part of the whole command.
PARTS = {
    "Python, NumPy, OpenCV, our own modules": "import fusion.predict",
    "and TensorFlow with Keras": "import fusion.predict as p; p.quiet_tensorflow(); import tensorflow, keras",
    "and the modules that need them": "import fusion.predict as p; p.quiet_tensorflow(); from fusion import each_video",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Prints processor seconds up to each part, and of the whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=positive, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--video", type=Path, default=REAL, metavar="FILE", help="cut to 75 frames")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    with scratch_folder() as folder:
        video, found = cut(options.video, folder / "clip.avi", FRAMES), folder / "found.json"
        models = [f"--{name}={path}" for name, path in networks(folder).items()]
        command = ["fusion/predict.py", str(video), *models, "--json", str(found)]
        ways = {name: ["-c", code] for name, code in PARTS.items()} | {"the answer": command}
        Now.doing = "Filling the caches"
        run_command(command, cores=1)
        least = {name: min(run_command(words, cores=1) for _ in range(options.turns)) for name, words in ways.items()}
        stages = json.loads(found.read_text(encoding="utf-8"))["predictions"][0]["seconds"]
    print("| processor seconds until | |\n|---|---|")
    for name, seconds in least.items():
        print(f"| {name} | {seconds:.2f} |")
    print("\nOf the last turn, by the clock:", ", ".join(f"{name} {spent:.2f} s" for name, spent in stages.items()))
    print(f"Expected: under {EXPECTED:g}. {'Reached.' if least['the answer'] < EXPECTED else 'Missed.'}")


if __name__ == "__main__":
    run(main)
