"""Checks for missing packages and memory before any package is imported, and tells what to type."""

import importlib.metadata
import importlib.util
import os
import re
import shlex
import signal
import sys
from pathlib import Path

from commands import memory
from commands.files import INSTALLED, PROJECT
from commands.table import COMMANDS

# The import name of each package of requirements.txt.
MODULES = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
    "opencv-contrib-python-headless": "cv2",
    "av": "av",
    "scikit-learn": "sklearn",
    "threadpoolctl": "threadpoolctl",
    "h5py": "h5py",
    "matplotlib": "matplotlib",
    "rich": "rich",
    "numba": "numba",
    "dask[distributed]": "distributed",
    "fsspec": "fsspec",
    "psutil": "psutil",
    "jinja2": "jinja2",
}


def check() -> None:
    """Ends the command with exit code 1 if a package or memory is missing, after telling what to type.

    From here on, Ctrl-C and SIGTERM end the command at once, without a traceback. Later, `run` handles them.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        is_worker = "__mp_main__" in sys.modules  # A worker imports the command's script too, but the command ends it.
        if signal.getsignal(number) is not signal.SIG_IGN and not is_worker:
            signal.signal(number, _stop)
    missing = [name for name, module in MODULES.items() if importlib.util.find_spec(module) is None]
    of_data = Path(sys.argv[0]).resolve().parent == PROJECT / "data"  # All other commands may need TensorFlow.
    said = _message(missing) if missing else memory.lacking(memory.LIBRARIES if of_data else memory.TENSORFLOW)
    if said:
        print(f"Error: {said}", file=sys.stderr)
        sys.exit(1)


def _stop(*_: object) -> None:
    """Ends a command that has not begun, whatever it is importing."""
    os.write(2, b"\nStopped before it began.\n")
    os._exit(130)


def _message(missing: list[str]) -> str:
    many = f"{', '.join(missing[:3])} and {len(missing) - 3} more packages" if len(missing) > 4 else ", ".join(missing)
    error = f"{sys.executable} lacks {many}. Type instead:"
    if INSTALLED:
        wanted = (each for each in importlib.metadata.requires("two-stream") or () if "extra ==" not in each)
        needed = (each for each in wanted if re.split(r"[<>=!~ ]", each)[0] in missing)
        return f"{error}\n  {sys.executable} -m pip install {shlex.join(needed)}"
    requirements = shlex.quote(str(PROJECT / "requirements.txt"))
    return "\n".join(
        [
            error,
            *(f"  {line}" for line in _by_run()),
            "which installs what is missing into .venv. Or, for this Python:",
            f"  {sys.executable} -m pip install -r {requirements}",
        ]
    )


def _by_run() -> list[str]:
    """Returns the present command as ./run takes it, or for one that ./run doesn't know, with the Python in .venv."""
    script, words = Path(sys.argv[0]).resolve().relative_to(PROJECT), shlex.join(sys.argv[1:])
    run = "./run" if Path.cwd() == PROJECT else shlex.quote(str(PROJECT / "run"))
    name = next((name for name, command in COMMANDS.items() if command.script == script.as_posix()), None)
    if name:
        return [f"{run} {name} {words}".rstrip()]
    python = PROJECT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return [
        f"{run} predict --help",
        f"{shlex.quote(str(python))} {shlex.quote(str(PROJECT / script))} {words}".rstrip(),
    ]
