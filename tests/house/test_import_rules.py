"""Every command's help, and code that only computes with scores, start without TensorFlow."""

import subprocess
import sys

import pytest

from benchmarks.house import PROJECT, ROOMS

# What needs no TensorFlow must not pay for it: decoding, flow, scores, and every command's --help.
LIGHT_COMMANDS = sorted(
    str(path.relative_to(PROJECT))
    for room in ROOMS
    for path in (PROJECT / room).rglob("*.py")
    if "if __name__ ==" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("command", LIGHT_COMMANDS)
def test_help_answers_without_tensorflow(command):
    module = command.removesuffix(".py").replace("/", ".")
    code = f"import sys; sys.argv = ['x', '--help']; import runpy; runpy.run_module('{module}', run_name='__main__')"
    watch = f"import sys, atexit; atexit.register(lambda: print('tensorflow' in sys.modules)); {code}"

    done = subprocess.run([sys.executable, "-c", watch], cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout
    assert done.stdout.endswith("False\n")


def test_scores_are_read_and_combined_without_tensorflow():
    modules = "streams.runs.score_file, fusion.methods.fixed, fusion.methods.measures"
    code = f"import sys, {modules}; print('tensorflow' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)

    assert done.stdout == "False\n", done.stderr


def test_a_training_does_without_numba_and_without_a_package_that_is_called_tensorflow(tmp_path):
    root = PROJECT / "tests" / "endings" / "before" / "dataset"
    words = f"--dataset ucf101 --root {root} --runs {tmp_path} --validation 0.5"
    words += " --crop-size 32 --length 3 --epochs 1 --batch-size 2"
    # Those who install tensorflow-cpu, as the README recommends, have the module but no package of this name.
    code = "import sys, tests.makers.processes.hidden_metadata; from temporal.train import main"
    code += f"; main({words.split()}); print('numba' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("model.keras"))
    assert done.stdout.endswith("False\n"), "numba is for clips that are resized: see pipelines/cutting.py."
