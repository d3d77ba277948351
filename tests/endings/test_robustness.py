"""Five minutes of benchmarks/robustness/changed_files.py: whatever is read, it is used or answered with one message."""

import subprocess
import sys

import pytest

from benchmarks.house import PROJECT


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_changed_input_crashes_hangs_grows_leaks_or_runs_code(tmp_path):
    words = ["--out", str(tmp_path), "--minutes", "5"]

    done = subprocess.run(
        [sys.executable, "benchmarks/robustness/changed_files.py", *words], cwd=PROJECT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
