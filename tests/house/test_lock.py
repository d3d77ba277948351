"""The lock file: it fits the requirements on every supported Python, and an environment can be installed from it."""

import platform
import re
import subprocess
import venv

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.house import PROJECT

LOCK = PROJECT / "requirements.lock"


def asked_for():
    """The requirements that the project names itself."""
    lines = [line for path in PROJECT.glob("requirements*.txt") for line in path.read_text().splitlines()]
    return [Requirement(line.partition("#")[0]) for line in lines if line.strip() and line[0] not in "#-"]


def pinned(python):
    """The version of each package that the lock file names for a Python, 3.11.7 for instance, on Linux."""
    here = {**default_environment(), "python_version": python.rpartition(".")[0], "python_full_version": python}
    lines = re.findall(r"^(\S+==.*?) \\$", LOCK.read_text(), re.MULTILINE)
    each = [Requirement(line) for line in lines]
    return {
        canonicalize_name(one.name): str(one.specifier).removeprefix("==")
        for one in each
        if one.marker is None or one.marker.evaluate(here)
    }


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_the_lock_file_fits_the_requirements(python):
    versions = pinned(python)

    wrong = {
        str(each): versions.get(canonicalize_name(each.name))
        for each in asked_for()
        if not each.specifier.contains(versions.get(canonicalize_name(each.name), "0"))
    }
    assert not wrong, "Make it again, as CONTRIBUTING.md says."


def test_every_pinned_package_has_a_hash_and_no_server_is_named():
    text = LOCK.read_text()

    for entry in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        assert entry.startswith("#") or not entry or re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert not re.search(r"://|index-url|find-links", text.replace("--no-emit-index-url", ""))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_environment_installed_from_the_lock_file_runs_the_project(tmp_path):
    venv.create(tmp_path / "made", with_pip=True)
    python = tmp_path / "made" / "bin" / "python"

    def in_it(*words):
        return subprocess.run([python, *words], cwd=PROJECT, capture_output=True, text=True)

    if in_it("-m", "pip", "download", "--no-deps", "--dest", tmp_path / "one", "iniconfig").returncode:
        pytest.skip("needs a package index")
    installed = in_it("-m", "pip", "install", "--no-cache-dir", "--require-hashes", "-r", LOCK)
    assert not installed.returncode, installed.stderr[-2000:]

    versions = in_it("-m", "pip", "list", "--format", "freeze").stdout
    found = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in versions.splitlines()}
    expected = pinned(platform.python_version())
    assert not {name: found[name] for name in found if found[name] != expected.get(name, found[name])}
    assert {canonicalize_name(each.name) for each in asked_for()} <= set(found)
    for words in (
        ("-m", "pip", "check"),
        ("-m", "pytest", "tests/training/test_rates.py"),
        ("-m", "mkdocs", "--version"),
    ):
        done = in_it(*words)
        assert not done.returncode, done.stdout + done.stderr
