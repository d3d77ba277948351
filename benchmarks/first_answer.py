"""Measures how long a single prediction takes from the command to its answer, and what the time goes to.

python benchmarks/first_answer.py

A clip of 3 s (75 frames of 320x240, MPEG-4), two small networks, 25 x 10 views, one core, kernels already compiled.
Expected: under 4 s of processor time. Figures are the least of some turns, because others may use the machine.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.predict import REAL, cut, networks
from commands.files import PROJECT, scratch_folder
from commands.options import positive
from commands.running import quiet_tensorflow, run
from commands.waiting import Now

FRAMES, EXPECTED = 75, 4.0
TENSORFLOW = "import fusion.predict as p; p.quiet_tensorflow()"
# What is timed by itself, and is a part of the whole command.
PARTS = {
    "Python, NumPy, OpenCV, our own modules": "import fusion.predict",
    "and TensorFlow with Keras": TENSORFLOW,
    "and the modules that need them, and numba": f"{TENSORFLOW}; import fusion.each_video, data.optical_flow.compiled",
}
# After its answer a process frees its memory, for which nobody waits.
CLOCK = "; import time; print(time.process_time())"


def main(argv: Sequence[str] | None = None) -> None:
    """Prints processor seconds up to each part, and up to the answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=positive, default=3, metavar="N", help="default: %(default)s")
    parser.add_argument("--video", type=Path, default=REAL, metavar="FILE", help="cut to 75 frames")
    options = parser.parse_args(argv)
    quiet_tensorflow()
    with scratch_folder() as folder:
        video, found = cut(options.video, folder / "clip.avi", FRAMES, "XVID"), folder / "found.json"
        models = [f"--{name}={path}" for name, path in networks(folder).items()]
        command = [str(video), *models, "--json", str(found)]
        ways = {**PARTS, "the answer": f"import fusion.predict as p; p.main({command})"}
        Now.doing = "Filling the caches"
        seconds_until(ways["the answer"])
        least = {name: min(seconds_until(code) for _ in range(options.turns)) for name, code in ways.items()}
        stages = json.loads(found.read_text(encoding="utf-8"))["predictions"][0]["seconds"]
    print("| processor seconds until | |\n|---|---|")
    for name, seconds in least.items():
        print(f"| {name} | {seconds:.2f} |")
    print("\nOf the last turn, by the clock:", ", ".join(f"{name} {spent:.2f} s" for name, spent in stages.items()))
    print(f"Expected: under {EXPECTED:g}. {'Reached.' if least['the answer'] < EXPECTED else 'Missed.'}")


def seconds_until(code: str) -> float:
    """Returns the processor seconds of a new process on one core, from its start to the end of the code."""

    def limit() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])

    words = [sys.executable, "-c", code + CLOCK]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, preexec_fn=limit)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    run(main)
