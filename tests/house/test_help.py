"""The `--help` of every command, the answers to typos, and the advice for a Python without packages."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.house import PROJECT
from commands.packages import MODULES

COMMANDS = {
    "data.prepare": 17,
    "data.doctor": 8,
    "data.pack": 8,
    "data.flow": 8,
    "pipelines.show": 16,
    "spatial.train": 15,
    "temporal.train": 15,
    "fusion.train": 15,
    "fusion.evaluate": 15,
    "fusion.predict": 15,
    "fusion.serve": 18,
    "fusion.export": 16,
    "fusion.own": 8,
}
# What a value is called. One word means one thing in all commands.
METAVARS = {
    *("NAME", "FOLDER", "FILE", "VIDEO", "N", "SHARE", "RATE", "NUMBER", "SECONDS", "MINUTES", "PIXELS", "SOURCE"),
    *("PLACE", "STAGE", "ADDRESS", "ADDRESSES", "WxH", "N/N", "NAME=VALUE", "NAME=FILE", "NAME|FILE", "FILE:ARRAY"),
    "NUMBER,NUMBER",
}


def page_of(module, capsys, *words):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main(list(words))
    assert not ended.value.code
    return capsys.readouterr().out


def options_on(page):
    return [line.split()[0].rstrip(",") for line in page.splitlines() if re.match(r"  -", line)]


@pytest.mark.parametrize(("module", "most"), COMMANDS.items())
def test_help_shows_few_options_and_help_all_the_rest(module, most, capsys):
    page, whole = page_of(module, capsys, "--help"), page_of(module, capsys, "--help-all")

    hidden = re.search(r"^(\d+) more options: .* --help-all$", page, re.MULTILINE)
    assert len(options_on(page)) <= most
    assert len(options_on(whole)) == len(options_on(page)) + int(hidden[1] if hidden else 0)
    assert max(len(line) for line in page.splitlines() if "{" not in line) <= 110  # Lists of choices stay whole.


@pytest.mark.parametrize("module", COMMANDS)
def test_help_ends_with_examples_that_can_be_typed(module, capsys):
    page = page_of(module, capsys, "--help")

    examples = page.partition("\nExamples:\n")[2].strip().splitlines()
    assert examples
    known = subprocess.run([sys.executable, "run", "--help"], cwd=PROJECT, capture_output=True, text=True).stdout
    for line in examples:
        if line.startswith("  "):
            assert line.split()[0] == "./run"
            assert line.split()[1] in known


@pytest.mark.parametrize("module", COMMANDS)
def test_values_are_called_alike_in_all_commands(module, capsys):
    whole = page_of(module, capsys, "--help-all")

    shown = re.findall(r"^  (?:-h, )?--[a-z-]+,? ?(?:--[a-z-]+)?(.*?)(?:  |$)", whole, re.MULTILINE)
    values = {word.strip("[].") for each in shown if "{" not in each for word in each.split()} - {""}
    assert {value.replace("[:ARRAY", ":ARRAY").replace("[=", "=") for value in values} <= METAVARS


@pytest.mark.parametrize("module", [name for name, most in COMMANDS.items() if most > 8])
def test_every_option_is_in_a_group_that_says_what_it_is_about(module, capsys):
    whole = page_of(module, capsys, "--help-all")

    rest = whole.partition("\nOptions:\n")[2].partition("\nExamples:")[0]
    assert options_on(rest) == ["-h", "--help-all"]
    assert str(PROJECT) not in whole  # Defaults are shown as they would be typed.


def test_help_shows_defaults_and_the_recipe_that_was_named(capsys):
    assert "(default: 40)" in page_of("temporal.train", capsys, "--help")
    assert "(default: 0.01)" in page_of("temporal.train", capsys, "--recipe", "paper", "--help")


@pytest.mark.parametrize("words", [("run",), ("-m", "two_stream")])
def test_a_reader_of_help_may_go_before_its_end(words):
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run([sys.executable, *words, "--help"], cwd=PROJECT, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("spatial/train.py", "--lerning-rate", "1"), "Did you mean --learning-rate?"),
        (("spatial/train.py", "--schedule", "cosin"), "Did you mean cosine?"),
        (("spatial/train.py", "--backbone", "resnet_50"), "did you mean resnet50?"),
        (("fusion/predict.py", "clip.mp4", "--croops", "1"), "Did you mean --crops?"),
        (("run", "predct"), "Did you mean predict?"),
        (("run", "train", "spatal"), "Did you mean train spatial?"),
    ],
)
def test_a_typo_is_answered_with_what_may_be_meant(words, meant):
    done = subprocess.run([sys.executable, *words], cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == 2
    assert meant in done.stderr


def test_help_names_the_command_as_it_was_typed():
    typed = {"TWO_STREAM_TYPED": "fusion/predict.py=./run predict"}

    by_run = subprocess.run([sys.executable, "fusion/predict.py", "-h"], cwd=PROJECT, env=typed, capture_output=True)
    other = subprocess.run([sys.executable, "data/flow.py", "-h"], cwd=PROJECT, env=typed, capture_output=True)

    assert by_run.stdout.startswith(b"Usage: ./run predict [VIDEO ...] [options]\n")
    assert other.stdout.startswith(b"Usage: python data/flow.py FIRST SECOND [options]\n")


@pytest.mark.parametrize("module", COMMANDS)
def test_a_python_without_the_packages_is_told_what_to_type(module):
    script = f"{module.replace('.', '/')}.py"

    bare = [sys.executable, "-S", str(PROJECT / script), "my clip.mp4", "--top", "3"]
    done = subprocess.run(bare, cwd=PROJECT.parent, capture_output=True, text=True)

    assert done.returncode == 1
    assert f"{PROJECT / 'run'} " in done.stderr.replace("'", "")
    assert "'my clip.mp4' --top 3\n" in done.stderr
    assert f"-m pip install -r {PROJECT / 'requirements.txt'}" in done.stderr.replace("'", "")
    assert "Traceback" not in done.stderr


def test_every_required_package_is_looked_for():
    lines = Path(PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()

    names = {re.split(r"[<>=]", line)[0].strip() for line in lines if line and not line.startswith("#")}
    assert names == set(MODULES)
