"""What every command does with wrong input: one clear message, the right exit code, nothing half-written."""

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from commands.files import replacing, write_json
from commands.options import as_dictionary, option, parse
from commands.running import run

PROJECT = Path(__file__).resolve().parents[1]


def command(*words, folder=PROJECT):
    return subprocess.run([sys.executable, *map(str, words)], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("script", ["data/prepare.py", "spatial/train.py", "temporal/train.py", "fusion/evaluate.py"])
def test_an_unknown_option_ends_with_2_and_its_name(script):
    done = command(PROJECT / script, "--speeed", "9")

    assert done.returncode == 2
    assert "--speeed" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("data/prepare.py", "no-such-set"),
        ("spatial/train.py", "--dataset", "no-such-set"),
        ("temporal/train.py", "--dataset", "no-such-set"),
        ("fusion/evaluate.py", "--dataset", "no-such-set"),
    ],
)
def test_an_unknown_data_set_is_named_with_those_that_are_known(words, tmp_path):
    done = command(PROJECT / words[0], *words[1:], folder=tmp_path)

    assert done.returncode in (1, 2)
    assert "no-such-set" in done.stderr
    assert "shapes" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")

    done = command("data/prepare.py", "shapes", "--root", blocked / "shapes")

    assert done.returncode == 1
    assert str(blocked) in done.stderr
    assert "Traceback" not in done.stderr


@dataclass(frozen=True, kw_only=True)
class Options:
    steps: int = option(3, "how many")
    name: str | None = option(None, "of whom")
    fast: bool = option(False, "hurry")
    weights: tuple[float, ...] = option((), "one for each", repeat=True)


def test_options_come_from_words_and_go_to_a_dictionary():
    options = parse(Options, ["--steps", "5", "--weights", "1", "--weights", "2.5", "--fast"], "A test.")

    assert options == Options(steps=5, fast=True, weights=(1.0, 2.5))
    assert as_dictionary(options) == {"steps": 5, "name": None, "fast": True, "weights": [1.0, 2.5]}


def test_a_wrong_value_ends_with_2(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(Options, ["--steps", "many"], "A test.")

    assert ended.value.code == 2
    assert "--steps" in capsys.readouterr().err


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"kept": True})

    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half of")
        raise KeyboardInterrupt

    assert '"kept": true' in path.read_text()
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_two_opencv_packages_are_refused_with_their_repair(tmp_path):
    metadata = tmp_path / "opencv_python-4.13.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: opencv-python\nVersion: 4.13.0\n")

    done = subprocess.run(
        [sys.executable, "data/prepare.py", "shapes", "--root", str(tmp_path / "shapes")],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "pip uninstall -y opencv-python" in done.stderr
    assert not (tmp_path / "shapes").exists()


def test_a_killed_installation_is_begun_anew(tmp_path):
    shutil.copy(PROJECT / "run", tmp_path / "run")
    (tmp_path / "requirements.txt").write_text("# Nothing.\n")
    install = "import runpy; runpy.run_path('run')['install']('requirements.txt')"
    broken = tmp_path / ".venv" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.write_text("half of a Python")
    (tmp_path / ".venv" / ".installing").touch()

    first = command("-c", install, folder=tmp_path)
    second = command("-c", install, folder=tmp_path)

    assert first.returncode == 0, first.stderr
    assert "Installing" in first.stdout
    assert second.stdout == ""
    assert not (tmp_path / ".venv" / ".installing").exists()


def full_disk_of_tensorflow():
    import tensorflow as tf

    said = (
        "Graph execution error:\n\nDetected at node write\n  File a.py\n\na.v2; No space left on device\n\t [[write]]"
    )
    return tf.errors.ResourceExhaustedError(None, None, "{{node write}} " + said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("Unable to allocate 9 GiB"), "Out of memory: Unable to allocate 9 GiB. Ask for less at once"),
        (zipfile.BadZipFile("Bad CRC-32 for file 'a'"), "A file is damaged: Bad CRC-32 for file 'a'."),
        (full_disk_of_tensorflow(), "a.v2; No space left on device. Make room, then run the same command again."),
    ],
)
def test_what_a_user_can_mend_ends_with_1_and_one_message(error, said, capsys):
    def fail():
        raise error

    with pytest.raises(SystemExit) as ended:
        run(fail)

    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"Error: {said}")


def test_a_mistake_of_the_program_keeps_its_traceback():
    with pytest.raises(AttributeError):
        run(lambda: None.nothing)
