"""Unpacks zip, tar and rar archives, also nested ones, and never writes outside the given folder."""

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

# Programs that unpack rar, with their arguments for listing and for unpacking.
RAR_TOOLS = {
    "unrar": (("lb", "--"), ("x", "-o+", "-idq", "--")),
    "bsdtar": (("-tf",), ("-xf",)),
}
INSTALL = "Install one: apt install unrar (or libarchive-tools for bsdtar), brew install libarchive."
NESTED = (".rar", ".zip", ".tar")


def require_tool(file: str) -> str:
    """Returns the program that an archive needs, or ""; raises RuntimeError with install advice if it is missing."""
    if not file.endswith(".rar"):
        return ""
    found = next((tool for tool in RAR_TOOLS if shutil.which(tool)), None)
    if found is None:
        raise RuntimeError(f"Unpacking {file} needs {' or '.join(RAR_TOOLS)}. {INSTALL}")
    return found


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks an archive, and then the archives in it (HMDB-51 has some), each into its own folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _unpack_one(archive, folder)
    # Only one level deep, because an archive may contain itself.
    for path in sorted(folder.rglob("*")):
        if path.suffix in NESTED and path.is_file() and not path.is_symlink():
            _unpack_one(path, path.parent)
            path.unlink()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{archive} holds a link to a place outside it: {path.name}. The archive is not used.")


def _unpack_one(archive: Path, folder: Path) -> None:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            _refuse_escapes(archive, zipped.namelist())
            zipped.extractall(folder)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tarred:
            _refuse_escapes(archive, tarred.getnames())
            # This filter also refuses devices and links to places outside the folder.
            tarred.extractall(folder, filter="data")
    elif archive.suffix == ".rar":
        _unpack_rar(archive, folder)
    else:
        raise ValueError(f"{archive} is not a zip, tar or rar archive, or is damaged. Delete it and download it again.")


def _unpack_rar(archive: Path, folder: Path) -> None:
    tool = require_tool(archive.name)
    listing, unpacking = RAR_TOOLS[tool]
    listed = _run([tool, *listing, str(archive)], archive, folder)
    _refuse_escapes(archive, listed.splitlines())
    _run([tool, *unpacking, str(archive)], archive, folder)


def _run(command: list[str], archive: Path, folder: Path) -> str:
    # The programs run inside the target folder, so the archive needs its absolute path.
    command[-1] = str(archive.resolve())
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="surrogateescape")
    if done.returncode:
        raise RuntimeError(f"{command[0]} can't unpack {archive}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _refuse_escapes(archive: Path, names: list[str]) -> None:
    for name in names:
        place = PurePosixPath(name.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"{archive} holds a file outside its own folder: {name!r}. The archive is not unpacked.")
