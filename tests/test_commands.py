"""Every command answers wrong input with one clear message and the right exit code, and leaves nothing half-written."""

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import pytest

from commands.files import locked, owner, replacing, scratch_folder, write_json
from commands.options import as_dictionary, option, parse
from commands.running import run
from commands.schema import parsed
from commands.text import as_cell, of_cell, printable
from data.store.index import read_index

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


def test_an_import_is_not_searched_for_garbage_neither_while_it_goes_on_nor_later():
    code = "import gc; from commands.running import without_collecting\n"
    code += "with without_collecting(): made, during = [[] for _ in range(1000)], gc.isenabled()\n"
    code += "print(during, gc.isenabled(), gc.get_freeze_count() > 1000)\n"
    # Once TensorFlow is there, nothing of a user's own objects may be withheld from the collector.
    code += "import sys; sys.modules['tensorflow'], frozen = sys, gc.get_freeze_count()\n"
    code += "with without_collecting(): print(gc.isenabled())\n"
    code += "print(gc.get_freeze_count() == frozen)"

    assert command("-c", code).stdout.split() == ["False", "True", "True", "True", "True"]


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
    shutil.copytree(PROJECT / "commands", tmp_path / "commands")
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
        (FileNotFoundError(2, "No usable temporary directory"), "No usable temporary directory\n"),
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


def test_a_mistake_of_the_program_is_one_line_that_says_where_it_is_and_how_to_report_it(capsys):
    with pytest.raises(SystemExit) as ended:
        run(lambda: parse(Options, 3, "A test."))

    (said,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert said.startswith("Error: TypeError in commands/options.py, line ")
    assert "SECURITY.md" in said and "--debug" in said


def test_debug_shows_the_traceback_of_any_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["command", "--debug", "word"])

    with pytest.raises(SystemExit):
        run(lambda: write_json(PROJECT / "no folder" / "file" / "\0", {}))

    assert sys.argv == ["command", "word"]
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("data/doctor.py", "--help"), ("fusion/evaluate.py", "--help"), ("data/prepare.py", "no-such-set")]
)
def test_a_reader_that_goes_away_is_told_nothing(words):
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run([sys.executable, *words], cwd=PROJECT, stdout=writing, stderr=subprocess.PIPE, text=True)

    os.close(writing)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_says_so_in_one_line(number, tmp_path):
    code = "import os, time; from commands.running import run; run(lambda: (print(flush=True), time.sleep(60)))"
    running = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=-1, stderr=-1, text=True)
    running.stdout.readline()

    running.send_signal(number)

    assert running.communicate(timeout=20)[1].strip() == "Stopped. The same command goes on from here."
    assert running.returncode == 130


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Käse und Brot 🎬", "Käse und Brot 🎬"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        (os.fsdecode(b"caf\xe9.avi"), "caf\\xe9.avi"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("two\nlines", "two\\x0alines"),
    ],
)
def test_names_are_shown_without_what_a_terminal_would_act_on(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["plain", "=1+1", "+x", "-aB3_x", "@y", "'=1+1", "''-z", "'quoted'", "", "-1.5e3"])
def test_no_cell_is_a_formula_and_every_cell_gives_its_text_back(text):
    assert not as_cell(text).startswith(("=", "+", "@"))
    assert of_cell(as_cell(text)) == text


class Described(TypedDict, total=False):
    size: list[int] | None
    rule: str


@dataclass(frozen=True)
class Card:
    name: str
    sides: tuple[int, ...]
    made: dict[str, float] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("[]", Card, r"it is \[\], not an object"),
        ('{"name": "a"}', Card, "it has no entry 'sides'"),
        ('{"name": "a", "sides": [], "more": 1}', Card, "unknown entry 'more'"),
        ('{"name": 5, "sides": []}', Card, "'name' is 5, not a text"),
        ('{"name": "a", "sides": [1, true]}', Card, r"'sides'\[1\] is True, not a whole number"),
        ('{"name": "a", "sides": [], "made": {"b": "c"}}', Card, r"'made'\['b'\] is 'c', not a number"),
        ('{"name": "\\u001b[2J", "sides": []}', Card, "'name' contains control characters"),
        ('{"size": 3}', Described, "'size' is 3, not a list"),
        ("[" * 100_000, Card, "nested too deeply"),
        ("{", Card, "not JSON"),
    ],
)
def test_json_that_is_not_of_its_kind_is_refused_with_the_place(text, kind, said):
    with pytest.raises(ValueError, match=said):
        parsed(text, kind)


def test_json_of_its_kind_is_taken_as_it_is():
    text = '{"name": "ü", "sides": [1, 2], "made": {"b": 1, "c": 0.5}}'

    assert parsed(text, Card) == Card("ü", (1, 2), {"b": 1, "c": 0.5})
    assert parsed('{"size": null, "later": {}}', Described) == {"size": None, "later": {}}


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "index.csv")

    with pytest.raises(ValueError, match=r"index\.csv is a folder, a pipe or a device"):
        read_index(tmp_path / "index.csv")


def test_a_link_in_the_place_of_a_lock_is_neither_followed_nor_emptied(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")

    with pytest.raises(ValueError, match="is a link, but locks never are"), locked(tmp_path / "run"):
        pass

    assert (tmp_path / "precious").read_text() == "kept"


def test_a_folder_is_shared_by_readers_and_changed_by_one_alone(tmp_path):
    code = "import sys, pathlib; from commands.files import share; share(pathlib.Path(sys.argv[1])); print(flush=True);"
    reader = subprocess.Popen([sys.executable, "-c", f"{code} input()", tmp_path], cwd=PROJECT, stdin=-1, stdout=-1)
    reader.stdout.readline()

    with locked(tmp_path, alone=False):
        pass
    with pytest.raises(RuntimeError, match="is used by another command"), locked(tmp_path):
        pass

    reader.communicate(b"\n")
    with locked(tmp_path):
        done = command("-c", code, tmp_path)
    assert "is being packed, unpacked or changed by another command" in done.stderr


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = owner().rpartition("-")[0]
    for name in (f".incomplete.{host}-{dead.pid}-a", f".incomplete.{host}-1-b", f".incomplete.elsewhere-{dead.pid}-c"):
        (tmp_path / name).mkdir()

    with scratch_folder(tmp_path) as folder:
        there = {path.name for path in tmp_path.iterdir()}

    assert there == {f".incomplete.{host}-1-b", f".incomplete.elsewhere-{dead.pid}-c", folder.name}


SILENT = """
import time
import commands.waiting
from commands.running import run
from commands.waiting import Now

def main():
    commands.waiting._PATIENCE = 0.3
    Now.doing = "Compiling kernels"
    until = time.monotonic() + {silent}
    while time.monotonic() < until:
        print("news" * {talks}, end="", flush=bool({talks}))
        time.sleep(0.05)
    Now.doing = ""
    print("Done.")

run(main)
"""


def words_of_wait(silent, talks=0, **streams):
    code = SILENT.replace("{silent}", str(silent)).replace("{talks}", str(talks))
    loud = {**os.environ, "TWO_STREAM_SILENT": ""}
    return subprocess.run([sys.executable, "-c", code], cwd=PROJECT, text=True, env=loud, **streams)


def test_a_long_silence_is_broken_by_what_is_waited_for():
    done = words_of_wait(1.2, capture_output=True)

    assert done.stdout == "Done.\n"
    lines = done.stderr.splitlines()
    assert len(lines) >= 2
    assert all(re.fullmatch(r"Compiling kernels \.\.\. \d s", line) for line in lines)


def test_who_says_enough_is_not_interrupted():
    done = words_of_wait(1.2, talks=1, capture_output=True)

    assert done.stderr == ""


def test_on_a_terminal_the_line_of_a_wait_is_wiped_away():
    ours, theirs = os.openpty()

    words_of_wait(0.8, stdout=theirs, stderr=theirs)

    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "\r\x1b[KCompiling kernels ... " in said
    assert re.search(r"\r\x1b\[KDone\.\r\n$", said)
