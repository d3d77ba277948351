import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.optical_flow.tvl1 import kernel_cache
from tests.house.test_import_rules import ROOMS
from tests.makers.moving_pictures import some_flow

PROJECT = Path(__file__).resolve().parents[2]
FLOW = "from tests.makers.moving_pictures import some_flow; "
SAVE_FLOW = f"import sys, numpy; {FLOW}numpy.save(sys.argv[1], some_flow())"


def start(cache: Path, result: Path, **settings: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **settings}
    return subprocess.Popen([sys.executable, "-c", SAVE_FLOW, str(result)], cwd=PROJECT, env=environment)


def kernels_compiled_by(cache: Path, *before: str) -> int:
    """Returns how many kernels a new process compiles for some flow, as it finds none of them in the cache."""
    count = "from data.optical_flow.tvl1 import brightness, level, pyramid, solver; "
    count += "kernels = level.solve_level, pyramid.upsample, brightness.match_brightness, solver.finish; "
    count += f"{FLOW}some_flow(); "
    count += "assert all(kernel.signatures for kernel in kernels); "
    count += "print(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels))"
    done = subprocess.run(
        [*before, sys.executable, "-c", count],
        cwd=PROJECT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize(
    "source", ["data/optical_flow/tvl1/vectors.py", "data/optical_flow/tvl1/pyramid.py", "pipelines/resizing.py"]
)
def test_a_changed_constant_is_never_served_from_old_machine_code(tmp_path, source):
    for room in ("data", "pipelines"):
        shutil.copytree(PROJECT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    same = kernel_cache.cache_key(tmp_path)
    with (tmp_path / source).open("a") as file:
        file.write("\nANOTHER = 1\n")

    assert same == kernel_cache.cache_key(PROJECT)
    assert kernel_cache.cache_key(tmp_path) != same


def test_every_file_that_kernels_are_made_of_is_in_the_key():
    sources = [path for room in ROOMS for path in (PROJECT / room).rglob("*.py")]
    compiled = {path for path in sources if re.search(r"^@(kernel|intrinsic)$", path.read_text(), re.MULTILINE)}

    assert len(compiled) >= 8
    assert compiled <= {path for pattern in kernel_cache.SOURCES for path in PROJECT.glob(pattern)}


def test_a_process_that_finds_all_kernels_compiles_nothing_and_imports_no_linear_algebra(tmp_path):
    code = "import sys; from numba.core.event import install_recorder; " + FLOW
    code += "\nwith install_recorder('numba:compile') as compiled: some_flow()\n"
    code += "print(len(compiled.buffer), 'scipy.linalg' in sys.modules)"

    first, second = (
        subprocess.check_output(
            [sys.executable, "-c", code], cwd=PROJECT, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}, text=True
        )
        for _ in range(2)
    )

    assert first.split()[0] != "0"
    assert second.split() == ["0", "False"]


def test_where_no_folder_can_be_written_there_is_no_cache(tmp_path):
    (tmp_path / "file").write_text("in the way")

    assert kernel_cache.cache_folder([tmp_path / "file"]) is None
    assert kernel_cache.cache_folder([tmp_path / "file", tmp_path]).parent == tmp_path


@pytest.mark.slow
def test_processes_that_compile_at_once_and_those_that_load_give_the_same_bits(tmp_path):
    results = [tmp_path / f"{name}.npy" for name in ("compiled", "compiled_beside_it", "loaded")]
    compiling = [start(tmp_path, result) for result in results[:2]]
    assert [process.wait(200) for process in compiling] == [0, 0]
    assert start(tmp_path, results[2]).wait(200) == 0

    assert {np.load(result).tobytes() for result in results} == {some_flow().tobytes()}
    assert list(tmp_path.glob("kernels-*/**/*.nbc"))


@pytest.mark.slow
def test_a_damaged_cache_is_written_anew(tmp_path):
    def cut(content: bytes) -> bytes:
        return content[:50]

    def overwrite(content: bytes) -> bytes:
        # The machine code: LLVM would end the process.
        return content[:3000] + b"X" * 8 + content[3008:]

    assert start(tmp_path, tmp_path / "flow.npy").wait(200) == 0
    paths = sorted(tmp_path.glob("kernels-*/**/*.nb?"))
    for number, path in enumerate(paths):
        path.write_bytes((overwrite if number % 2 else cut)(path.read_bytes()))
    damaged = [path.read_bytes() for path in paths]

    assert start(tmp_path, tmp_path / "again.npy").wait(200) == 0

    assert np.load(tmp_path / "again.npy").tobytes() == some_flow().tobytes()
    assert len(damaged) > 3
    assert not set(damaged) & {path.read_bytes() for path in paths}
    assert kernels_compiled_by(tmp_path) == 0


@pytest.mark.slow
def test_a_filled_cache_serves_who_may_only_read_it(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("needs name spaces, to mount a folder that can't be written")
    assert start(cache, tmp_path / "flow.npy").wait(200) == 0

    read_only = ["unshare", "-Urm", "bash", "-c"]
    read_only += [
        'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && ! touch "$0/new" && exec "$@"',
        str(cache),
    ]

    assert kernels_compiled_by(cache, *read_only) == 0


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_only_the_cache(tmp_path):
    flow = f"{FLOW}print(some_flow().shape)"
    command = f"ulimit -f 4; exec {sys.executable} -c '{flow}'"

    done = subprocess.run(
        ["bash", "-c", command],
        cwd=PROJECT,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )

    assert done.stdout.split() == ["(80,", "100,", "2)"], done.stderr
    assert not list(tmp_path.glob("kernels-*/**/*.tmp*"))


def test_who_has_no_home_can_still_compile():
    # No HOME, and a user that the system doesn't know.
    homeless = (
        "import os; os.environ.pop('HOME'); os.getuid = lambda: 4321987; import data.optical_flow.tvl1.kernel_cache"
    )

    done = subprocess.run([sys.executable, "-c", homeless], cwd=PROJECT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("setting", [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_ENABLE_AVX": "0"}])
def test_settings_of_numba_that_take_features_away_are_heeded(tmp_path, setting):
    result = tmp_path / "flow.npy"

    assert start(tmp_path, result, **setting).wait(200) == 0

    assert np.abs(np.load(result) - some_flow()).mean() < 1e-4


@pytest.mark.slow
def test_narrower_vectors_give_the_same_flow_but_for_rounding(tmp_path):
    features = kernel_cache.target_features()
    if "+avx2" not in features.split(","):
        pytest.skip("needs an x86 processor with wide vectors")
    narrow = ",".join(name for name in features.split(",") if "avx2" not in name and "avx512" not in name)

    result = tmp_path / "narrow.npy"
    assert start(tmp_path, result, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES=narrow).wait(200) == 0

    difference = np.abs(np.load(result) - some_flow())
    assert difference.mean() < 1e-4
