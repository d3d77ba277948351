"""Equal work leaves equal bytes, in whatever folder and whenever it is done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.makers.commands import make_data, ucf101

PROJECT = Path(__file__).resolve().parents[1]


def did(folder, script, *words):
    done = subprocess.run(
        [sys.executable, str(PROJECT / script), *map(str, words)],
        cwd=folder,
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_whole_way_of_equal_commands_leaves_equal_files(tmp_path):
    places = [tmp_path / name for name in ("one", "another place")]

    for place in places:
        make_data(place / "set", "ucf101")
        words = ucf101({"ucf101": place / "set"}, place / "runs")
        for stream in ("spatial", "temporal"):
            did(place, f"{stream}/train.py", *words)
        did(place, "fusion/evaluate.py", *words[:6], "--method", "average", "--views", "2", "--crops", "1")
        did(place, "fusion/export.py", "--dataset", "ucf101", "--runs", place / "runs", "--out", place / "exported")

    one, other = map(contents, places)
    assert one.keys() - other.keys() == other.keys() - one.keys() == set()
    assert [name for name in one if one[name] != other[name]] == []
