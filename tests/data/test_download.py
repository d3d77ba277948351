"""Archives are fetched from where an attempt stopped, checked, and unpacked without leaving their folder."""

import hashlib
import io
import shutil
import struct
import tarfile
import threading
import zipfile
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from data.catalog import Archive
from data.extraction.download import download, fetch, install
from data.extraction.unpack import RAR_TOOLS, require_tool, unpack
from data.ready import open_dataset
from data.sets import ucf101
from tests.makers.data import ucf101_lists


@pytest.fixture
def serve():
    """Starts a server of the given bytes that breaks off each of the first `breaks` answers half-way."""
    servers = []

    def start(content, breaks=0, ranges=True):
        seen = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers.get("Range")
                seen.append(wanted)
                start = int(wanted[6:-1]) if wanted and ranges else 0
                rest = content[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest[: len(rest) // 2] if len(seen) <= breaks else rest)

            def log_message(self, *words):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/lists.zip", seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def zip_of(files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def rar_of(files):
    """Returns a RAR archive (version 4, nothing compressed), which no free program writes."""

    def block(kind, flags, body, content=b""):
        head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(head) & 0xFFFF) + head + content

    data = b"Rar!\x1a\x07\x00" + block(0x73, 0, bytes(6))
    for name, content in files.items():
        size, path = len(content), name.encode()
        fields = (size, size, 3, zlib.crc32(content), 0x210000, 20, 0x30, len(path), 0o100644)
        data += block(0x74, 0x8000, struct.pack("<IIBIIBBHI", *fields) + path, content)
    return data + block(0x7B, 0x4000, b"")


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_goes_on_and_ends_whole(serve, tmp_path, ranges):
    content = bytes(range(256)) * 5000
    address, seen = serve(content, breaks=1, ranges=ranges)
    archive = Archive(address, "annotations", len(content), hashlib.sha256(content).hexdigest())

    path = fetch(archive, tmp_path)

    assert path.read_bytes() == content
    assert seen == [None, f"bytes={len(content) // 2}-"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["lists.zip"]


def test_a_part_of_an_earlier_run_is_not_fetched_again(serve, tmp_path):
    content = b"x" * 1000
    address, seen = serve(content)
    (tmp_path / "lists.zip.part").write_bytes(content[:400])

    fetch(Archive(address, "annotations"), tmp_path)

    assert seen == ["bytes=400-"]
    assert (tmp_path / "lists.zip").read_bytes() == content


def test_a_file_with_another_checksum_is_refused_and_deleted(serve, tmp_path):
    address, _ = serve(b"something else")

    with pytest.raises(ValueError, match="SHA-256"):
        fetch(Archive(address, "annotations", sha256="0" * 64), tmp_path)

    assert not list(tmp_path.iterdir())


def test_a_data_set_is_installed_from_its_archive(serve, tmp_path):
    ucf101_lists(tmp_path / "published")
    files = {
        path.relative_to(tmp_path / "published" / "annotations").as_posix(): path.read_bytes()
        for path in (tmp_path / "published").rglob("*.txt")
    }
    address, _ = serve(zip_of(files), breaks=1)

    install(Archive(address, "annotations"), tmp_path / "ucf101")

    assert len(open_dataset("ucf101", tmp_path / "ucf101").videos) == 6
    assert sorted(path.name for path in (tmp_path / "ucf101").iterdir()) == ["annotations", "downloads"]


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "a/../../outside.txt", "..\\outside.txt"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path, kind, name):
    path = tmp_path / f"bad.{kind}"
    if kind == "zip":
        path.write_bytes(zip_of({"fine.txt": "", name: "bad"}))
    else:
        with tarfile.open(path, "w") as archive:
            archive.addfile(tarfile.TarInfo(name))

    with pytest.raises(ValueError, match="outside its own folder"):
        unpack(path, tmp_path / "in" / "folder")

    assert not list(tmp_path.rglob("outside*"))


def test_archives_within_archives_are_unpacked_beside_them(tmp_path):
    path = tmp_path / "outer.zip"
    path.write_bytes(zip_of({"wave.zip": zip_of({"wave/a [1]!.avi": "video"})}))

    unpack(path, tmp_path / "videos")

    assert [entry.relative_to(tmp_path).as_posix() for entry in (tmp_path / "videos").rglob("*")] == [
        "videos/wave",
        "videos/wave/a [1]!.avi",
    ]


def test_a_missing_program_is_named_before_anything_is_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(RuntimeError, match=r"unrar or bsdtar.*apt install unrar"):
        require_tool("UCF101.rar")
    with pytest.raises(RuntimeError, match=r"UCF101\.rar needs"):
        download(ucf101.ARCHIVES, tmp_path / "ucf101")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("tool", "listing"), [("unrar", "lb"), ("bsdtar", "-tf")])
def test_rar_is_unpacked_by_the_program_that_is_there(monkeypatch, tmp_path, tool, listing):
    """A stand-in for the programs, which are not on every machine: it lists and writes one file."""
    program = tmp_path / tool
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = {listing} ]; then echo wave/a.avi; else /bin/mkdir wave; echo video > wave/a.avi; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "videos.rar").write_bytes(b"Rar!")

    unpack(tmp_path / "videos.rar", tmp_path / "out")

    assert (tmp_path / "out" / "wave" / "a.avi").read_text() == "video\n"


def test_a_program_that_fails_is_quoted(monkeypatch, tmp_path):
    (tmp_path / "bsdtar").write_text("#!/bin/sh\necho damaged header >&2\nexit 1\n")
    (tmp_path / "bsdtar").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "videos.rar").write_bytes(b"Rar!")

    with pytest.raises(RuntimeError, match=r"bsdtar can't unpack .*videos\.rar: damaged header"):
        unpack(tmp_path / "videos.rar", tmp_path / "out")


@pytest.mark.parametrize("tool", sorted(RAR_TOOLS))
def test_real_rar_archives_are_unpacked_and_those_in_them_and_escapes_refused(monkeypatch, tmp_path, tool):
    program = shutil.which(tool)
    if not program:
        pytest.skip(f"{tool} is not installed")
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / tool).symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path / "only"))
    inner = rar_of({"wave/a [1]!(ü).avi": b"video"})
    (tmp_path / "fine.rar").write_bytes(rar_of({"wave.rar": inner}))
    (tmp_path / "bad.rar").write_bytes(rar_of({"fine.avi": b"", "../outside.avi": b"bad"}))

    unpack(tmp_path / "fine.rar", tmp_path / "videos")
    with pytest.raises(ValueError, match="outside its own folder"):
        unpack(tmp_path / "bad.rar", tmp_path / "in" / "folder")

    assert [path.read_bytes() for path in (tmp_path / "videos").rglob("*.*")] == [b"video"]
    assert not list(tmp_path.rglob("outside*"))
    assert not list((tmp_path / "in").rglob("*.avi"))
