"""Draws docs/pictures/report.png: the first screen of the report of the built-in data set. Needs Chromium.

./run demo
python benchmarks/pictures/report.py
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

if not __package__:  # Run as a script: import from the root, as `python -m` would.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from commands.files import PROJECT, RUNS
from commands.options import Parser

WIDTH, HEIGHT = 1080, 700


def main() -> None:
    """Writes the picture."""
    Parser(__doc__).parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        sys.exit("Needs chromium, which is not installed.")
    report = RUNS / "shapes" / "fusion" / "split1" / "report.html"
    with tempfile.TemporaryDirectory() as profile:
        switches = f"--headless --no-sandbox --disable-gpu --hide-scrollbars --window-size={WIDTH},{HEIGHT}"
        picture = f"--screenshot={PROJECT / 'docs' / 'pictures' / 'report.png'}"
        subprocess.run([program, *switches.split(), f"--user-data-dir={profile}", picture, report.as_uri()], check=True)


if __name__ == "__main__":
    main()
