"""Fixtures for all tests: real data if it is beside the project, and tiny prepared data sets."""

import gc
import os
from pathlib import Path

# Tests run side by side, so that several threads of BLAS would only wait for each other. It looks before NumPy comes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tests.makers.commands import LISTS, make_data
from tests.makers.frames import numbered_dataset, textured_dataset

# How long a wait is said to take depends on the machine; tests of waiting ask for it again.
os.environ["TWO_STREAM_SILENT"] = "1"

PROJECT = Path(__file__).resolve().parents[1]


def pytest_collection_finish():
    """Keeps the garbage collector from looking through the million objects of TensorFlow again and again."""
    gc.freeze()


def pytest_sessionfinish():
    """Spares pytest's last collections, which take ten seconds a process and free nothing that matters then."""
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project; tests that need it are skipped where it is absent."""
    for folder in (PROJECT.parent / "shared" / "data", PROJECT.parents[1] / "shared" / "data"):
        if folder.is_dir():
            return folder
    pytest.skip("needs the real data in ../shared/data, which is not here")


@pytest.fixture(scope="session")
def roots(tmp_path_factory):
    """Two prepared data sets of two classes each, which no test changes."""
    return {name: make_data(tmp_path_factory.mktemp(name), name) for name in LISTS}


@pytest.fixture(scope="session")
def numbered(tmp_path_factory):
    """A prepared data set whose frames and fields say which they are, which no test changes."""
    return numbered_dataset(tmp_path_factory.mktemp("numbered"))


@pytest.fixture(scope="session")
def textured(tmp_path_factory):
    """A prepared data set of noise, which no test changes."""
    return textured_dataset(tmp_path_factory.mktemp("textured"))
