"""Equal trainings and evaluations leave equal bytes, in whatever folder they are done."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fusion.export import NEEDS
from tests.makers.commands import make_data, ucf101

PROJECT = Path(__file__).resolve().parents[2]
# What holds the time that a training took, by its nature.
TIMES = re.compile(rb'"seconds": [\d.]+|"date": "[\d-]+"|\d{4}-\d\d-\d\d|[\d.]+ (seconds|minutes)')


def did(script, *words):
    done = subprocess.run([sys.executable, str(PROJECT / script), *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def contents(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "tensorboard"]
    return {str(path.relative_to(folder)): TIMES.sub(b"", path.read_bytes()) for path in paths}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_equal_commands_leave_equal_files_but_for_the_time_that_they_took(tmp_path):
    places = [tmp_path / name for name in ("one", "another place")]
    formats = [name for name, packages in NEEDS.items() if all(map(find_spec, packages)) and "int8" not in name]

    for place in places:
        make_data(place / "set", "ucf101")
        for stream in ("spatial", "temporal"):
            did(f"{stream}/train.py", *ucf101({"ucf101": place / "set"}, place / "runs"))
        data = ("--dataset", "ucf101", "--root", place / "set", "--runs", place / "runs")
        did("fusion/evaluate.py", *data, "--views", "2", "--crops", "1")
        did("fusion/export.py", *data[:2], *data[4:], "--format", *formats, "--out", place / "runs" / "exported")

    one, other = (contents(place / "runs") for place in places)
    left = {Path(name).name for name in one}
    assert left >= {"model.keras", "history.csv", "curves.png", "report.html", "report.json", "two_stream.keras"}
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
