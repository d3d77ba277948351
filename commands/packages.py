"""Says which packages this Python lacks, and the line that mends it, before any of them is imported."""

import importlib.util
import runpy
import shlex
import sys
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[1]
# What `import` calls each package of requirements.txt.
MODULES = {
    "tensorflow": "tensorflow",
    "keras": "keras",
    "numpy": "numpy",
    "opencv-contrib-python-headless": "cv2",
    "scikit-learn": "sklearn",
    "h5py": "h5py",
    "matplotlib": "matplotlib",
    "rich": "rich",
    "numba": "numba",
    "dask[distributed]": "distributed",
    "psutil": "psutil",
    "jinja2": "jinja2",
}


def check() -> None:
    """Ends the command with exit code 1 if a package is missing, and says what to type instead."""
    missing = [name for name, module in MODULES.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(_message(missing), file=sys.stderr)
        sys.exit(1)


def _message(missing: list[str]) -> str:
    many = f"{', '.join(missing[:3])} and {len(missing) - 3} more packages" if len(missing) > 4 else ", ".join(missing)
    requirements = shlex.quote(str(_PROJECT / "requirements.txt"))
    return "\n".join(
        [
            f"Error: {sys.executable} lacks {many}. Type instead:",
            f"  {_by_run()}",
            "which installs what is missing into .venv the first time. Or, for this Python:",
            f"  {sys.executable} -m pip install -r {requirements}",
        ]
    )


def _by_run() -> str:
    """Returns the present command as ./run takes it."""
    script = Path(sys.argv[0]).resolve().relative_to(_PROJECT).as_posix()
    commands = runpy.run_path(str(_PROJECT / "run"))["COMMANDS"]
    name = next((name for name, (path, _) in commands.items() if path == script), None)
    run = "./run" if Path.cwd() == _PROJECT else shlex.quote(str(_PROJECT / "run"))
    return f"{run} {name} {shlex.join(sys.argv[1:])}".rstrip() if name else f"{run} demo"
