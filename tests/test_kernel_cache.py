import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data import kernel_cache
from data.flow import flow_between
from tests.moving_pictures import shifted_pair

PROJECT = Path(__file__).resolve().parents[1]
SOURCES = PROJECT / "data"
SHOW_HASH = "from tests.test_kernel_cache import flow_hash; from data.vectors import LANES; print(LANES, flow_hash())"


def flow_hash() -> str:
    """Names the exact bits of one flow, with all kernels in it."""
    first, second = shifted_pair(3, -2)
    return hashlib.sha256(flow_between(first, (second * 0.9).astype(np.uint8), preset="fast").tobytes()).hexdigest()


def start(cache: Path, **settings: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **settings}
    return subprocess.Popen(
        [sys.executable, "-c", SHOW_HASH], cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    )


def result(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=200)
    lanes, flow = output.split()
    return int(lanes), flow


@pytest.mark.parametrize("source", ["vectors.py", "tvl1_pyramid.py"])
def test_a_changed_constant_is_never_served_from_old_machine_code(tmp_path, source):
    shutil.copytree(SOURCES, tmp_path / "data", ignore=shutil.ignore_patterns("__pycache__"))
    same = kernel_cache.cache_key(tmp_path / "data")
    with (tmp_path / "data" / source).open("a") as file:
        file.write("\nANOTHER = 1\n")

    assert same == kernel_cache.cache_key(SOURCES)
    assert kernel_cache.cache_key(tmp_path / "data") != same


def test_every_file_that_kernels_are_made_of_is_in_the_key():
    compiled = {path.name for path in SOURCES.glob("*.py") if "@kernel\n" in path.read_text() + "\n"}
    compiled |= {path.name for path in SOURCES.glob("*.py") if "@intrinsic\n" in path.read_text()}

    assert len(compiled) >= 7
    assert compiled <= {path.name for pattern in kernel_cache.SOURCES for path in SOURCES.glob(pattern)}


def test_where_no_folder_can_be_written_there_is_no_cache(tmp_path):
    (tmp_path / "file").write_text("in the way")

    assert kernel_cache.cache_folder([tmp_path / "file"]) is None
    assert kernel_cache.cache_folder([tmp_path / "file", tmp_path]).parent == tmp_path


@pytest.mark.slow
def test_processes_that_compile_at_once_and_those_that_load_give_the_same_bits(tmp_path):
    compiling = [start(tmp_path) for _ in range(2)]
    compiled = [result(process)[1] for process in compiling]
    loaded = result(start(tmp_path))[1]

    assert {*compiled, loaded} == {flow_hash()}
    assert list(tmp_path.glob("kernels-*/**/*.nbc"))


@pytest.mark.slow
def test_narrower_vectors_give_the_same_bits(tmp_path):
    features = kernel_cache.target_features()
    if "+fma" not in features.split(","):
        pytest.skip("needs an x86 processor with fused multiply-add")
    narrow = ",".join(name for name in features.split(",") if "avx2" not in name and "avx512" not in name)

    lanes, flow = result(start(tmp_path, NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES=narrow))

    assert lanes == 4
    assert flow == flow_hash()
