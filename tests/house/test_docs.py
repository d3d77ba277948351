"""The documentation: its links lead somewhere, its code can be read, and its commands run as they are printed."""

import os
import pickle
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.house import PROJECT
from docs.site.code_blocks import blocks_of, commands_in, problems_of, script_of
from tests.makers.data import write_clip
from tests.makers.imagenet import write_imagenet

# Those that are read first come first, so that what they make is there for the others.
PAGES = [
    *(PROJECT / name for name in ("README.md", "docs/index.md", "CONTRIBUTING.md")),
    *sorted(path for path in (PROJECT / "docs").rglob("*.md") if path.name != "index.md"),
]
# Commands that can't run here: other data sets, other machines, what waits for others or runs whole suites.
NOT_HERE = re.compile(
    r"ucf101|hmdb51|ccv|\bDIR\b|\.npz|camera|serve|hosts|cluster|shard|merge|NAME|FILE|benchmarks/|"
    r"run (test|check|docs)|^two-stream|completion"
)


def linked_from(page):
    """The files that a page links to."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.removeprefix("../").startswith(("http", "#", "reference/")):
            yield page.parent / target.partition("#")[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_every_link_of_a_page_leads_to_a_file(page):
    missing = [str(path) for path in linked_from(page) if not path.exists()]

    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def test_code_on_a_page_can_be_read_and_has_options_that_exist(page):
    assert not list(problems_of(page.read_text(encoding="utf-8")))


def test_wrong_code_is_found():
    page = "```\n./run predict clip.mp4 --viewz 3\n./run predikt\n```\n\n```python\nx = (\n```\n"

    found = list(problems_of(page))

    assert len(found) == 3
    assert "fusion/predict.py has no option --viewz" in found[0]
    assert "there is no command ./run predikt" in found[1]


def test_continued_lines_pipes_and_comments_are_understood():
    code = "$ ./run predict a.mp4 \\\n    --top 3   # the best\ncat a | ./run predict - --json && python run\n"

    assert list(commands_in(code)) == [["./run", "predict", "a.mp4", "--top", "3"], ["./run", "predict", "-", "--json"]]


def test_there_are_thirty_questions_in_order():
    numbers = re.findall(
        r"^\*\*(\d+)\. ", (PROJECT / "docs" / "questions.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert numbers == [str(number) for number in range(1, 31)]


def test_every_page_is_in_the_navigation():
    navigation = (PROJECT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]

    for page in PAGES:
        if page.is_relative_to(PROJECT / "docs"):
            assert page.relative_to(PROJECT / "docs").as_posix() in navigation


@pytest.mark.slow
def test_the_site_is_built_and_its_pages_lead_to_each_other(clone):
    done = subprocess.run([sys.executable, "run", "docs"], cwd=clone, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    site = clone / "site"
    linked = {
        page: re.findall(r'(?:href|src)="([^":#?]+)[#?"]', page.read_text(encoding="utf-8"))
        for page in site.rglob("index.html")
    }
    assert not [
        (page, target)
        for page, targets in linked.items()
        for target in targets
        if not target.startswith("/") and not (page.parent / target).exists()
    ]
    assert "../../background/results/" in linked[site / "data" / "own" / "index.html"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("[there](nowhere.md)", "nowhere.md"),
        ("[there](questions.md#nowhere)", "nowhere"),
        ("```\n./run predict --viewz 3\n```", "no option --viewz"),
    ],
)
def test_a_page_with_a_wrong_link_or_command_is_not_built(clone, wrong, said):
    with (clone / "docs" / "index.md").open("a") as page:
        page.write(f"\n{wrong}\n")

    done = subprocess.run([sys.executable, "run", "docs"], cwd=clone, capture_output=True, text=True)

    assert done.returncode
    assert said in done.stdout + done.stderr


@pytest.fixture
def clone(tmp_path):
    """A fresh clone whose environment is there already, with the files that the documentation names."""
    folder = tmp_path / "clone"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=PROJECT, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    venv.create(folder / ".venv", symlinks=True)
    site = next((folder / ".venv").glob("lib/python*/site-packages"))
    (site / "ours.pth").write_text(sysconfig.get_path("purelib"))
    stamp = runpy.run_path(str(folder / "run"))["_fingerprint"]
    for path in PROJECT.glob("requirements*.txt"):
        (folder / ".venv" / f".{path.name}.installed").write_text(stamp(path.name))
    write_named_files(folder)
    return folder


def write_named_files(folder):
    """Writes what the documentation calls FOLDER, my_videos, VIDEO, clip.mp4, A.png, rgb.pickle and so on."""
    for number in range(24):
        write_clip(folder / "FOLDER" / "ab"[number % 2] / f"{number}.avi", frames=12, shift=number % 2 * 3, seed=number)
    shutil.copytree(folder / "FOLDER", folder / "my_videos")
    for name in ("VIDEO", "clip.mp4", "videos/1.avi", "more/2.avi"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "FOLDER" / "a" / "0.avi", folder / name)
    write_imagenet(folder / "weights")  # The published ones can't be downloaded everywhere.
    for number in range(6):
        write_clip(folder / "long_videos" / f"{number}.avi", frames=12, seed=number)
    rows = [f"{video}.avi,{label},{when}\n" for video in range(6) for label, when in (("a", "0,0.2"), ("b", "0.2,0.4"))]
    (folder / "labels.csv").write_text("video,label,start,end\n" + "".join(rows))
    write_clip(folder / "long.avi", frames=80).rename(folder / "long.mp4")
    random = np.random.default_rng(0)
    for name in ("rgb", "flow"):
        scores = {f"v_{label}_g0{group}_c01": random.normal(size=2) for label in "AB" for group in range(1, 8)}
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(scores))
    for number, name in enumerate(("A", "B", "first", "second")):
        cv2.imwrite(str(folder / f"{name}.png"), np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_commands_of_the_documentation_run_as_they_are_printed(clone):
    commands = dict.fromkeys(
        " ".join(words)
        for page in PAGES
        for block in blocks_of(page.read_text(encoding="utf-8"))
        for words in commands_in(block.code)
        if script_of(words) is not None and not NOT_HERE.search(" ".join(words))
    )
    assert len(commands) > 8

    activated = {**os.environ, "PATH": f"{clone / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    failed = {}

    def run_in_order(chain):
        for command in chain:
            with (clone / "VIDEO").open("rb") as video:  # What `predict -` reads.
                how = {"cwd": clone, "env": activated, "stdin": video, "capture_output": True, "text": True}
                done = subprocess.run(command, shell=True, **how)
            if done.returncode:
                failed[command] = done.stdout[-1500:] + done.stderr[-1500:]

    first, *others = commands
    assert first == "./run demo"  # All others use its models, or what they make themselves.
    run_in_order([first])
    chains = {}
    for command in others:
        chains.setdefault("kitchen" if "kitchen" in command else command, []).append(command)
    with ThreadPoolExecutor(os.cpu_count()) as side_by_side:
        list(side_by_side.map(run_in_order, chains.values()))

    assert not failed, "\n\n".join(f"{command}:\n{said}" for command, said in failed.items())
    assert Path(clone / "runs" / "shapes" / "fusion" / "split1" / "report.html").is_file()
