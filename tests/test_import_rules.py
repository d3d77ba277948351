"""Who may import whom: docs/design.md."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
ROOMS = ("commands", "data", "pipelines", "streams", "spatial", "temporal", "fusion")
ALLOWED = {
    "commands": set(),
    "data": {"commands"},
    "pipelines": {"commands", "data"},
    "streams": {"commands", "data", "pipelines"},
    "spatial": {"commands", "data", "pipelines", "streams"},
    "temporal": {"commands", "data", "pipelines", "streams"},
    "fusion": {"commands", "data", "pipelines", "streams"},
}
# What needs no TensorFlow must not pay for it: decoding, flow, scores, and every command's --help.
LIGHT_COMMANDS = sorted(
    str(path.relative_to(PROJECT))
    for room in ROOMS
    for path in (PROJECT / room).glob("*.py")
    if "if __name__ ==" in path.read_text(encoding="utf-8")
)


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            yield (node.module or "").split(".")[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_before_it(room):
    allowed = ALLOWED[room] | {room}

    for path in (PROJECT / room).rglob("*.py"):
        forbidden = {name for name in imported_rooms(path) if name in ROOMS} - allowed
        assert not forbidden, f"{path.relative_to(PROJECT)} imports {forbidden}"


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
    code = "import sys, streams.scores, fusion.combine, fusion.measures; print('tensorflow' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)

    assert done.stdout == "False\n", done.stderr
