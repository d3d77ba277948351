"""Builds the wheel: the folders of this project as one package, `two_stream`, which pyproject.toml describes.

Code imports `data.catalog` in a clone and `two_stream.data.catalog` in a wheel, so that no package by a name as common
as `data` gets into an environment. The imports, and the commands in messages, are rewritten while the wheel is built.
"""

import ast
import atexit
import re
import runpy
import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

PROJECT = Path(__file__).resolve().parent
PACKAGE = "two_stream"
ROOMS = ("commands", "data", "pipelines", "streams", "spatial", "temporal", "fusion")
TABLE = PROJECT / "commands" / "table.py"
SCRIPTS = {command.script: name for name, command in runpy.run_path(str(TABLE))["COMMANDS"].items()}
# The line by which a script finds the project, and that of an installed one.
FROM_ROOT = "sys.path[0] = str(Path(__file__).resolve().parents[1])"


class BuildPy(build_py):
    """Copies modules into the package, with other imports and messages."""

    def run(self) -> None:
        """Builds, except for an installation that would import the code from where it lies."""
        if self.editable_mode:
            raise SystemExit(
                "An editable installation is not needed: the scripts of a clone run as they are, by ./run or by "
                "`python fusion/predict.py`. Leave out -e, or add the folder to PYTHONPATH."
            )
        # What an earlier build left here would get into the wheel.
        shutil.rmtree(Path(self.build_lib) / PACKAGE, ignore_errors=True)
        super().run()
        for page in Path(self.build_lib, PACKAGE).rglob("*.html"):
            page.write_text(page.read_text(encoding="utf-8").replace("./run ", "two-stream "), encoding="utf-8")

    def build_module(self, module: str, module_file: str, package: str) -> tuple[str, bool]:
        """Copies one module."""
        written, copied = super().build_module(module, module_file, package)
        path, source = Path(written), Path(module_file)
        text = source.read_text(encoding="utf-8")
        path.write_text(installed(text, str(source), messages=source.resolve() != TABLE), encoding="utf-8")
        return written, copied


def installed(text: str, name: str, *, messages: bool = True) -> str:
    """Returns a module of this project as it is in the wheel."""
    text = _with_package(text, name).replace(FROM_ROOT, FROM_ROOT.replace("[1])", "[2])"))
    if messages:
        text = re.sub(r"pip install -r requirements-(\w+)\.txt", r"pip install 'two-stream[\1]'", text)
        text = re.sub(r"(?:python )?\{([\w.]+)\}/train\.py", r"two-stream train {\1}", text)
        for script, command in SCRIPTS.items():
            text = re.sub(rf"(?:python |\b)(?<![\w/]){script}\b", f"two-stream {command}", text)
        text = text.replace("./run ", "two-stream ")
    compile(text, name, "exec")
    return text


def _with_package(text: str, name: str) -> str:
    """Returns a module whose imports of our own modules name the package."""
    lines = text.splitlines(keepends=True)
    for node in ast.walk(ast.parse(text, name)):
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] in ROOMS for alias in node.names):
            raise SystemExit(f"{name}, line {node.lineno}: write `from … import …`, which the wheel can rename.")
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ROOMS:
            line, start = lines[node.lineno - 1], node.col_offset + len("from ")
            lines[node.lineno - 1] = f"{line[:start]}{PACKAGE}.{line[start:]}"
    return "".join(lines)


def requirements(extra: str = "") -> list[str]:
    """Returns the packages that a file lists, without those of the file that it includes."""
    path = PROJECT / (f"requirements-{extra}.txt" if extra else "requirements.txt")
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("-r")]


if __name__ == "__main__":
    # Nothing is left in the project's folder.
    aside = tempfile.mkdtemp(prefix="two-stream-build-")
    atexit.register(shutil.rmtree, aside, ignore_errors=True)
    folders = [name for room in ROOMS for name in find_packages(str(PROJECT), include=[room, f"{room}.*"])]
    setup(
        packages=[PACKAGE, *(f"{PACKAGE}.{name}" for name in folders)],
        package_dir={PACKAGE: PACKAGE, **{f"{PACKAGE}.{name}": name.replace(".", "/") for name in folders}},
        package_data={"": ["*.html", "*.css", "*.js", "*.md", "templates/*"]},
        install_requires=requirements(),
        extras_require={
            **{extra: requirements(extra) for extra in ("serve", "export")},
            "gpu": ["tensorflow[and-cuda]==2.21.*"],
        },
        cmdclass={"build_py": BuildPy},
        options={"build": {"build_base": aside}, "egg_info": {"egg_base": aside}},
    )
