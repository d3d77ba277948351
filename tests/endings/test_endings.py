"""Every command ends well if it is stopped, if nobody reads its output, and if disk or memory is short."""

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.makers.commands import TINY
from tests.makers.folder import make_videos
from tests.makers.models import make_model, make_video

PROJECT = Path(__file__).resolve().parents[2]
COMMANDS = (
    *("data/prepare.py", "data/doctor.py", "data/pack.py", "data/flow.py", "pipelines/show.py", "spatial/train.py"),
    *("temporal/train.py", "fusion/train.py", "fusion/evaluate.py", "fusion/predict.py", "fusion/export.py"),
    *("fusion/serve.py", "fusion/own.py"),
)
FULL = Path("/dev/full")


def test_no_command_is_forgotten_here():
    scripts = {
        path.relative_to(PROJECT).as_posix()
        for path in PROJECT.glob("*/*.py")
        if path.parts[-2] not in ("tests", "benchmarks") and "packages.check()" in path.read_text()
    }

    # The installed command passes everything on to these.
    assert scripts - {f"commands/{name}.py" for name in ("packages", "console", "completion")} == set(COMMANDS)


@pytest.mark.parametrize("script", COMMANDS)
def test_no_command_minds_a_reader_that_goes_away(script):
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run([sys.executable, script, "--help"], cwd=PROJECT, stdout=writing, stderr=-1, text=True)

    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("script", COMMANDS)
def test_what_a_full_disk_does_not_take_of_the_output_is_said(script):
    with FULL.open("w") as full:
        done = subprocess.run([sys.executable, script, "--help"], cwd=PROJECT, stdout=full, stderr=-1, text=True)

    assert (done.returncode, done.stderr) == (
        1,
        "Error: No space left on device. Make room, then run the same command again.\n",
    )


@pytest.mark.parametrize("script", COMMANDS)
@pytest.mark.parametrize(("kind", "letter"), [(resource.RLIMIT_AS, "v"), (resource.RLIMIT_DATA, "d")])
def test_too_little_memory_is_said_before_a_library_crashes_for_lack_of_it(script, kind, letter):
    def limit():
        resource.setrlimit(kind, (500_000 * 1024,) * 2)

    done = subprocess.run([sys.executable, script, "x"], cwd=PROJECT, preexec_fn=limit, capture_output=True, text=True)

    (said,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert said.startswith(f"Error: This process may use 0.48 GiB of memory (ulimit -{letter}), but needs at least")


FRAME = "{made}/set/rawframes/Archery/v_Archery_g01_c01/img_0000"
SET, MODELS = ["--dataset", "ucf101", "--root", "{made}/set"], ["--dataset", "ucf101", "--runs", "{made}/runs"]
TRAINING = [*SET, "--runs", "{out}/new", *TINY, "--validation", "0.5"]
# What each command does in these tests; all that it writes is in {out}.
WORK = {
    "data/prepare.py": ["mine", "--root", "{out}/mine", "--videos", "{made}/own/videos", "--method", "dis"],
    "data/doctor.py": ["ucf101", "--root", "{made}/set", "--json", "{out}/found.json"],
    "data/pack.py": ["ucf101", "--root", "{out}/set"],
    "data/flow.py": [f"{FRAME}1.jpg", f"{FRAME}2.jpg", "--out", "{out}/flow.png"],
    "pipelines/show.py": [*SET, "--out", "{out}/shown.png"],
    **dict.fromkeys(("spatial/train.py", "temporal/train.py"), TRAINING),
    "fusion/train.py": [*TRAINING, "--spatial", "fresh", "--temporal", "fresh"],
    "fusion/evaluate.py": [*SET, "--runs", "{out}/runs", "--method", "average", "--views", "2", "--crops", "1"],
    "fusion/predict.py": ["{made}/clip.avi", *MODELS, "--views", "1", "--crops", "1", "--json", "{out}/said.json"],
    "fusion/predict.py, saving": [
        "{made}/clip.avi",
        *MODELS,
        "--views",
        "1",
        "--crops",
        "1",
        "--save",
        "{out}/said.webm",
    ],
    "fusion/export.py": [*MODELS, "--out", "{out}/exported"],
    "fusion/serve.py": [*MODELS, "--port", "0"],
    "fusion/own.py": ["{made}/own/videos", "--datasets", "{out}/sets", "--runs", "{out}/new"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory, roots):
    """A data set, models of both streams, and own videos."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(roots["ucf101"], folder / "set")
    for stream in ("spatial", "temporal"):
        model = folder / "runs" / "ucf101" / stream / "split1" / "model.keras"
        make_model(model, stream, classes=("Archery", "HandstandPushups"))
    make_video(folder / "clip.avi", 6)
    make_videos(folder / "own", count=2)
    return folder


@pytest.fixture
def out(made, tmp_path):
    """A folder with copies of what commands change."""
    for name in ("set", "runs"):
        shutil.copytree(made / name, tmp_path / "out" / name)
    return tmp_path / "out"


def command(script, made, out):
    file = PROJECT / script.partition(",")[0]
    return [sys.executable, str(file), *(word.format(made=made, out=out) for word in WORK[script])]


def left_in(*folders):
    return [path for folder in folders for path in folder.rglob("*") if path.name.startswith(("two-", ".incomplete"))]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux, which tells what a process has loaded")
@pytest.mark.parametrize("library", ["numpy", "cv2", "libtensorflow_cc"])
@pytest.mark.parametrize("script", COMMANDS)
def test_a_command_that_is_stopped_says_so_wherever_it_is(script, library, made, out, tmp_path):
    if library == "libtensorflow_cc" and (script.startswith("data/") or script in ("fusion/own.py", "fusion/serve.py")):
        pytest.skip("does not load it, or in other processes")
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()

    words = command(script, made, out)
    running = subprocess.Popen(words, env=environment, stdout=-1, stderr=-1, text=True)
    while library not in Path(f"/proc/{running.pid}/maps").read_text():
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.002)
    running.terminate()
    _, said = running.communicate(timeout=60)

    if (script, running.returncode) == ("fusion/serve.py", 0):
        return  # This is how a service is ended.
    assert running.returncode == 130, said
    assert [line for line in said.splitlines() if line][-1].startswith("Stopped")
    assert "Traceback" not in said
    assert left_in(out, tmp_path / "scratch") == []


ON_A_DISK = """
mount -t tmpfs -o size=8m none "$2" && cp -r "$3"/. "$2" || exit 99
if [ "$1" = full ]; then head -c 100M /dev/zero > "$2/filler" 2> /dev/null; else mount -o remount,ro "$2"; fi
disk=$2; shift 3; "$@"; code=$?; find "$disk" -name ".incomplete*" -o -name "two-stream-*" >&2; exit $code
"""


@pytest.fixture(scope="module")
def own_mounts():
    """What lets a command see a disk that no other sees."""
    words = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    return words


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "reason"), [("full", "No space left on device"), ("read-only", "Read-only file")])
@pytest.mark.parametrize("script", [script for script in WORK if script != "fusion/serve.py"])  # See test_serve.py.
def test_a_disk_that_takes_nothing_is_said_in_one_message(script, kind, reason, made, out, tmp_path, own_mounts):
    disk = tmp_path / "disk"
    disk.mkdir()

    words = [*own_mounts, "sh", "-c", ON_A_DISK, "sh", kind, str(disk), str(out), *command(script, made, disk)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)

    said = done.stderr.splitlines()
    if script == "fusion/own.py":
        assert said.pop().startswith("Error: This step failed for the reason above.")
    assert (done.returncode, len(said)) == (1, 1), done.stderr
    # OpenCV does not say why a video can't be written.
    assert said[0].startswith("Error: ") and (reason in said[0] or "Is the disk full?" in said[0]), done.stderr
    assert "bug in this program" not in said[0]
