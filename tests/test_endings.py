"""How every command ends when it is stopped, when nobody reads what it says, and where disks or memory are short."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
COMMANDS = (
    *("data/prepare.py", "data/doctor.py", "data/pack.py", "data/flow.py", "pipelines/show.py", "spatial/train.py"),
    *("temporal/train.py", "fusion/train.py", "fusion/evaluate.py", "fusion/predict.py", "fusion/export.py"),
    *("fusion/serve.py", "fusion/own.py"),
)
FULL = Path("/dev/full")


def test_no_command_is_forgotten_here():
    scripts = {
        path.relative_to(PROJECT).as_posix()
        for path in PROJECT.glob("*/*.py")
        if path.parts[-2] not in ("tests", "benchmarks") and "packages.check()" in path.read_text()
    }

    assert scripts - {"commands/packages.py"} == set(COMMANDS)


@pytest.mark.parametrize("script", COMMANDS)
def test_no_command_minds_a_reader_that_goes_away(script):
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run([sys.executable, script, "--help"], cwd=PROJECT, stdout=writing, stderr=-1, text=True)

    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("script", COMMANDS)
def test_what_a_full_disk_does_not_take_of_the_output_is_said(script):
    with FULL.open("w") as full:
        done = subprocess.run([sys.executable, script, "--help"], cwd=PROJECT, stdout=full, stderr=-1, text=True)

    assert (done.returncode, done.stderr) == (
        1,
        "Error: No space left on device. Make room, then run the same command again.\n",
    )


@pytest.mark.parametrize("script", COMMANDS)
@pytest.mark.parametrize(("kind", "letter"), [(resource.RLIMIT_AS, "v"), (resource.RLIMIT_DATA, "d")])
def test_too_little_memory_is_said_before_a_library_crashes_for_lack_of_it(script, kind, letter):
    def limit():
        resource.setrlimit(kind, (500_000 * 1024,) * 2)

    done = subprocess.run([sys.executable, script, "x"], cwd=PROJECT, preexec_fn=limit, capture_output=True, text=True)

    (said,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert said.startswith(f"Error: This process may use 0.48 GiB of memory (ulimit -{letter}), and needs at least")
