"""The service as its users meet it: over HTTP, from a process of its own, and in a browser."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from commands.files import owner
from fusion.serving.limits import Limits
from fusion.serving.worker import JobError, Worker
from pipelines.inputs import KINDS
from tests.makers.chromium import Browser
from tests.makers.models import CLASSES, make_video

pytest.importorskip("fastapi", reason="needs pip install -r requirements-serve.txt")
pytest.importorskip("uvicorn", reason="needs pip install -r requirements-serve.txt")

PROJECT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@contextmanager
def serving(models, temporary, *options, files=1024, own=()):
    """Runs the service, which may have so many files open, and gives its address; its errors go to a file.

    `own` starts a shell with a temporary folder of its own, if it should have one.
    """
    command = [sys.executable, str(PROJECT / "fusion" / "serve.py"), "--port", "0", *options]
    command += [f"--{name}={path}" for name, path in models.items()]
    with (temporary / "errors").open("w") as errors:
        process = subprocess.Popen(
            [*own, "sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
    try:
        for line in process.stdout:
            if found := re.search(r"https?://[^\s,]+", line):
                yield found[0]
                return
        pytest.fail("the service did not start")
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    """Where the service keeps what it is sent, while it needs it."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def service(models, uploads):
    with serving(models, uploads, "--duration", "20", "--megabytes", "2", "--queue", "8") as address:
        yield address


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return make_video(tmp_path_factory.mktemp("videos") / "clip.avi", 30)


def post(address, contents, *, name="clip.avi", field="video", headers=None):
    """Uploads a file as a form does; returns the status, the headers and the answer."""
    border = "----two-streams"
    head = f'--{border}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    body = head.encode() + contents + f"\r\n--{border}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={border}"}
    return ask(urllib.request.Request(address, body, {**kind, **(headers or {})}))


def ask(request):
    if isinstance(request, str):
        request = urllib.request.Request(request)
    with closing(http.client.HTTPConnection(request.host, timeout=120)) as connection:
        # A service that has seen enough answers, and closes, before all is sent; urllib would not read the answer.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(request.get_method(), request.selector, request.data, dict(request.header_items()))
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


def left_behind(uploads):
    # TensorFlow keeps code that it has made of ours there, too.
    ours = ("errors",)
    return [
        path for path in uploads.rglob("*") if path.is_file() and "autograph" not in path.name and path.name not in ours
    ]


def test_a_video_is_answered_with_what_each_stream_says(service, video, uploads):
    status, headers, text = post(f"{service}/predict", video.read_bytes())

    answer = json.loads(text)
    assert status == 200
    assert list(answer["top"]) == ["spatial", "temporal", "fused"]
    assert {entry["class"] for entry in answer["top"]["fused"]} == set(CLASSES)
    assert answer["timeline"]["stretches"]["fused"][-1]["end"] == pytest.approx(2.5)
    assert set(answer["moments"][0]["looks"]) == {"spatial", "temporal"}
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert left_behind(uploads) == []


@pytest.mark.parametrize(
    ("contents", "status", "message"),
    [
        (b"This is a text. " * 50, 422, "can't be opened as a video"),
        (b"", 422, "is empty"),
        (b"#EXTM3U\n/etc/passwd\n", 422, "playlist"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 422, "playlist"),
        (b"0" * 3_000_000, 413, "at most 2 MB"),
    ],
)
def test_what_is_no_video_is_refused_and_forgotten(service, uploads, contents, status, message):
    found, _, text = post(f"{service}/predict", contents)

    assert (found, message in json.loads(text)["detail"]) == (status, True), text
    assert left_behind(uploads) == []


def test_a_video_that_plays_too_long_is_refused(service, tmp_path):
    long = make_video(tmp_path / "long.avi", 50, frame_rate=2, width=32, height=32)

    status, _, text = post(f"{service}/predict", long.read_bytes())

    assert (status, "more than 20 seconds" in text) == (422, True), text


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "a\\\\..\\\\b.avi", "x" * 400])
def test_no_path_of_a_client_reaches_the_disk(service, video, uploads, name):
    status, _, text = post(f"{service}/predict", video.read_bytes(), name=name)

    shown = json.loads(text)["video"]
    assert status == 200
    assert "/" not in shown and len(shown) <= 120
    assert left_behind(uploads) == []


def test_a_form_without_a_video_is_a_mistake(service):
    assert post(f"{service}/predict", b"x", field="other")[0] == 400


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://elsewhere.example"}, {"Host": "elsewhere.example"}, {"Origin": "null"}]
)
def test_pages_from_elsewhere_can_not_use_it(service, video, headers):
    assert post(f"{service}/predict", video.read_bytes(), headers=headers)[0] == 403


def test_it_describes_itself(service):
    described = json.loads(ask(f"{service}/openapi.json")[2])
    health = json.loads(ask(f"{service}/health")[2])
    metrics = ask(f"{service}/metrics")[2]

    assert {"/predict", "/health", "/metrics", "/jobs/{identifier}"} <= set(described["paths"])
    assert health["status"] == "ok"
    assert 'two_stream_videos_total{outcome="done"}' in metrics


def test_fifty_at_once_are_answered_or_told_to_come_again(service, video, uploads):
    broken = [b"no video", b"", video.read_bytes()[:2000], b"0" * 3_000_000]
    sent = [broken[number % 4] if number % 3 == 0 else video.read_bytes() for number in range(50)]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda contents: post(f"{service}/predict", contents), sent))

    statuses = [status for status, _, _ in answers]
    assert set(statuses) <= {200, 413, 422, 503}
    assert statuses.count(200) >= 1
    assert statuses.count(503) >= 1
    assert all(int(headers["Retry-After"]) >= 1 for status, headers, _ in answers if status == 503)
    assert all(json.loads(text)["detail"] for status, _, text in answers if status != 200)
    assert post(f"{service}/predict", video.read_bytes())[0] == 200
    assert json.loads(ask(f"{service}/health")[2])["active"] == 0
    assert left_behind(uploads) == []


def test_a_video_that_takes_too_long_costs_only_its_own_request(models, tmp_path):
    hard = make_video(tmp_path / "hard.avi", 400, width=320, height=240)

    with serving(models, tmp_path, "--seconds", "0.5") as address:
        status, _, text = post(f"{address}/predict", hard.read_bytes())
        metrics = ask(f"{address}/metrics")[2]
        there = list(tmp_path.glob("two-stream-*"))

    assert (status, "longer than 0.5 seconds" in text) == (504, True), text
    assert 'two_stream_videos_total{outcome="failed"} 1' in metrics
    assert (len(there), list(tmp_path.glob("two-stream-*"))) == (1, [])


def test_an_upload_that_takes_too_long_is_cut_off(models, tmp_path):
    with serving(models, tmp_path, "--upload-seconds", "0.5") as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=30)
        with closing(connection):
            connection.putrequest("POST", "/predict")
            connection.putheader("Content-Type", "multipart/form-data; boundary=b")
            connection.putheader("Content-Length", "100000")
            connection.endheaders()
            connection.send(b'--b\r\nContent-Disposition: form-data; name="video"; filename="slow.avi"\r\n\r\n')
            answer = connection.getresponse()

            assert answer.status == 408
            assert "0.5 seconds" in json.loads(answer.read())["detail"]


def test_packages_that_are_missing_are_named_with_what_installs_them(monkeypatch):
    from fusion import serve

    monkeypatch.setitem(sys.modules, "uvicorn", None)  # As if it were not installed.

    with pytest.raises(ImportError, match=r"needs uvicorn: pip install -r requirements-serve.txt"):
        serve.main([])


def test_a_crash_of_the_decoder_costs_only_its_own_video(models, tmp_path, video):
    worker = Worker(models, None, Limits(), tmp_path)
    worker.start()
    try:
        with ThreadPoolExecutor(1) as pool:
            under_way = threading.Event()
            long = make_video(tmp_path / "long.avi", 600, width=320, height=240)
            crashing = pool.submit(worker.look_at, long, "long.avi", lambda _: under_way.set())
            under_way.wait(60)
            os.kill(worker.process_id, signal.SIGSEGV)

            with pytest.raises(JobError, match="crashed the decoder"):
                crashing.result()
        after = worker.look_at(video, "clip.avi", lambda _: None)
    finally:
        worker.stop()

    assert after["video"] == "clip.avi"
    assert worker.restarts == 1


def killed_during(worker, videos, times):
    """Analyses a long video while the worker's process is killed so many times."""
    with ThreadPoolExecutor(1) as pool:
        under_way = threading.Event()
        analysis = pool.submit(worker.look_at, videos / "long.avi", "long.avi", lambda _: under_way.set())
        killed = {0}
        while len(killed) <= times:
            assert under_way.wait(60)
            under_way.clear()  # What the process said before it was killed may still come.
            if (process := worker.process_id) not in killed:
                os.kill(process, signal.SIGKILL)
                killed.add(process)
        return analysis.result()


def test_who_is_killed_is_asked_once_more_and_then_told_to_come_again(models, tmp_path):
    make_video(tmp_path / "long.avi", 300, width=320, height=240)
    worker = Worker(models, None, Limits(), tmp_path)
    worker.start()
    try:
        answer = killed_during(worker, tmp_path, 1)
        with pytest.raises(JobError, match="Try again later") as refused:
            killed_during(worker, tmp_path, 2)
    finally:
        worker.stop()

    assert answer["frames"] == 300
    assert refused.value.status == 503


def connected(address):
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


UPLOAD = (
    b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    b"Content-Length: 100000\r\n\r\n"
    b'--b\r\nContent-Disposition: form-data; name="video"; filename="slow.avi"\r\n\r\n'
)


def test_clients_that_ask_for_nothing_are_closed_and_others_are_answered(models, tmp_path):
    with serving(models, tmp_path, "--queue", "4", files=96) as address:
        idle = []
        for _ in range(150):
            idle.append(connected(address))
            with suppress(OSError):
                idle[-1].sendall(b"GET / HTTP/1.1\r\nX: ")
        # Those too many are closed at once; the others after ten seconds.
        ended = sum(closed_by_now(each) for each in idle)
        for each in idle[:30]:
            each.close()
        health = ask(f"{address}/health")[0]

    assert ended >= 100
    assert health == 200
    assert len((tmp_path / "errors").read_text()) < 10_000


def closed_by_now(connection):
    connection.settimeout(12)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_clients_that_go_away_cost_a_line_each(models, tmp_path):
    with serving(models, tmp_path) as address:
        for _ in range(5):
            with closing(connected(address)) as connection:
                connection.sendall(UPLOAD)
        assert ask(f"{address}/health")[0] == 200

    lines = (tmp_path / "errors").read_text().splitlines()
    assert 1 <= len(lines) <= 5
    assert all("disconnected" in line for line in lines)


@pytest.mark.parametrize(
    "host", ["127.0.0.1@elsewhere.example", "localhost.elsewhere.example", "localhost:80:80", "127.0.0.1/x", ""]
)
def test_the_host_that_a_request_names_must_be_this_one_exactly(service, host):
    with closing(connected(service)) as connection:
        connection.sendall(f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

        assert connection.recv(100).startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))


def test_a_service_that_is_stopped_waits_for_no_upload(models, tmp_path):
    with serving(models, tmp_path) as address, closing(connected(address)) as connection:
        connection.sendall(UPLOAD)
        began = time.monotonic()

    assert time.monotonic() - began < 8
    assert "Traceback" not in (tmp_path / "errors").read_text()
    assert not list(tmp_path.glob("two-stream-*"))


def test_an_upload_that_the_disk_has_no_room_for_is_told_so_and_leaves_room_for_others(models, tmp_path, video):
    own_mounts = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*own_mounts, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    small = [*own_mounts, "sh", "-c", 'mount -t tmpfs -o size=4m none "$TMPDIR" && exec "$@"', "sh"]

    with serving(models, tmp_path, own=small) as address:
        status, _, text = post(f"{address}/predict", b"0" * 6_000_000)
        after = post(f"{address}/predict", video.read_bytes())[0]

    assert (status, json.loads(text)["detail"]) == (507, "The disk of the service is full.")
    assert after == 200
    assert len((tmp_path / "errors").read_text().splitlines()) == 1


def test_uploads_of_a_service_that_was_killed_are_swept_by_the_next(models, tmp_path):
    host = owner().rpartition("-")[0]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f"two-stream-{host}-{dead.pid}-abc"
    left.mkdir()
    (left / "upload").write_text("half")

    with serving(models, tmp_path):
        assert not left.exists()


def test_the_page_shows_what_the_streams_say(service, video, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(service)
        browser.choose_file("#file", video)
        browser.wait_for("!document.getElementById('result').hidden")

        best = browser.run("document.getElementById('best').textContent")
        pictures = browser.run("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
        rows = browser.run("[...document.querySelectorAll('#film .row')].map((row) => row.textContent)")
        picture = browser.screenshot(tmp_path / "page.png")

    assert best in CLASSES
    assert pictures
    assert rows == ["Frames", "Flow", "Spatial looks", "Temporal looks"]
    assert picture.stat().st_size > 20_000
    assert browser.errors == []
    assert all(address.startswith((service, "data:")) for address in browser.requested)


def test_the_page_says_what_is_wrong_with_a_file(service, tmp_path):
    wrong = tmp_path / "<b>wrong<b>.avi"
    wrong.write_text("no video")

    with Browser(tmp_path / "profile") as browser:
        browser.open(service)
        browser.choose_file("#file", wrong)
        browser.wait_for("!document.getElementById('error').hidden")

        said = browser.run("document.getElementById('error').textContent")

    assert said.startswith("<b>wrong<b>.avi: It can't be opened as a video")


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("0123456789abcdef0123\n")
    return path


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def test_other_machines_are_let_in_only_with_a_token(models, video, tmp_path, token_file):
    from fusion.serve import main

    for words in (["--host", "0.0.0.0"], ["--host", "192.0.2.1"], ["--host", "::"]):
        with pytest.raises(SystemExit) as ended:
            main([*words, *(f"--{name}={path}" for name, path in models.items())])
        assert ended.value.code == 2

    with serving(
        models, tmp_path, "--host", "0.0.0.0", "--token-file", str(token_file), "--per-minute", "3"
    ) as address:
        here = address.replace("0.0.0.0", "127.0.0.1")
        statuses = [
            post(f"{here}/predict", video.read_bytes(), headers=headers)[0]
            for headers in ({}, bearer("wrong"), bearer("0123456789abcdef0123 "), bearer("0123456789abcdef012"))
        ]
        page, model = ask(f"{here}/"), ask(f"{here}/model")
        with_token = urllib.request.Request(f"{here}/model", headers=bearer("0123456789abcdef0123"))
        described = json.loads(ask(with_token)[2])
        many = [post(f"{here}/predict", b"x", headers=bearer("0123456789abcdef0123"))[0] for _ in range(3)]
        wrong = [ask(urllib.request.Request(f"{here}/model", headers=bearer("wrong")))[0] for _ in range(9)]
        elsewhere = post(f"{here}/predict", b"x", headers={**bearer("0123456789abcdef0123"), "Origin": "http://a.b"})[0]

    assert statuses == [401, 401, 200, 401]
    assert page[0] == 200 and model[0] == 401 and model[1]["WWW-Authenticate"] == "Bearer"
    assert described["classes"] == list(CLASSES) and [each["name"] for each in described["streams"]] == list(models)
    assert many == [422, 422, 429]
    assert wrong[0] == 401 and wrong[-1] == 429
    assert elsewhere == 403


def test_a_token_that_could_be_guessed_is_refused(tmp_path):
    from fusion.serving.access import read_token

    for text in ("", "short", "two words of some length", "x" * 15):
        (tmp_path / "token").write_text(text)
        with pytest.raises(ValueError, match="at least 16 letters"):
            read_token(tmp_path / "token")


def test_a_client_that_guesses_tokens_has_to_wait_and_others_do_not():
    from fusion.serving.access import Access, Counts

    access = Access("0123456789abcdef")
    for _ in range(12):
        refused = access.refusal("192.0.2.1", "GET", "/model", "Bearer wrong")
    assert refused[0] == 429
    assert access.refusal("192.0.2.2", "GET", "/model", "Bearer 0123456789abcdef") == (0, "")
    counts = Counts()
    for number in range(5000):
        counts.add(str(number))
    assert (counts.of("0"), counts.of("4999")) == (0, 1)  # A flood of addresses does not fill the memory.


@pytest.mark.parametrize(("named", "status"), [(True, 200), (False, 429)])
def test_what_a_proxy_says_counts_only_if_it_is_named(named, status, models, tmp_path, token_file):
    proxy = ["--proxy", "127.0.0.1"] if named else []
    options = ["--token-file", str(token_file), "--origin", "https://videos.example", *proxy]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(models, tmp_path, *options, "--port", str(port)) as address:
        assert address == "https://videos.example"
        here = f"http://127.0.0.1:{port}"

        def look(client, token):
            headers = {**bearer(token), "X-Forwarded-For": client, "Host": "videos.example"}
            return ask(urllib.request.Request(f"{here}/model", headers=headers))[0]

        for _ in range(12):
            look("192.0.2.1", "wrong")
        assert look("192.0.2.2", "0123456789abcdef0123") == status


def test_two_workers_share_the_queue(models, video, tmp_path):
    with serving(models, tmp_path, "--workers", "2") as address:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: post(f"{address}/predict", video.read_bytes())[0], range(6)))
        health = json.loads(ask(f"{address}/health")[2])

    assert answers == [200] * 6
    assert health == {"status": "ok", "workers": 2, "active": 0}


def test_it_speaks_tls_with_a_certificate(models, video, tmp_path):
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    try:
        subprocess.run([*made, "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl")

    with serving(models, tmp_path, "--certificate", files[1], "--key", files[0]) as address:
        context = ssl.create_default_context(cafile=files[1])
        context.check_hostname = False
        with urllib.request.urlopen(f"{address}/health", context=context) as answer:
            assert json.load(answer)["status"] == "ok"
        assert address.startswith("https://127.0.0.1:")


def test_the_page_asks_for_the_token_and_then_says_what_the_models_are(models, tmp_path, token_file):
    with (
        serving(models, tmp_path, "--token-file", str(token_file)) as address,
        Browser(tmp_path / "profile") as browser,
    ):
        browser.open(address)
        browser.wait_for("!document.getElementById('token').hidden")
        browser.run("document.getElementById('secret').value = '0123456789abcdef0123'")
        browser.run("document.getElementById('token').requestSubmit()")
        browser.wait_for("!document.getElementById('model').hidden")

        classes = browser.run("[...document.querySelectorAll('#classes li')].map((each) => each.textContent)")
        tiles = browser.run("[...document.querySelectorAll('.tile h3')].map((each) => each.textContent)")
        judged = browser.run("document.getElementById('judged').textContent")
        browser.screenshot(tmp_path / "page.png")

    assert classes == list(CLASSES)
    assert tiles == ["spatial", "temporal", "fused"]
    assert "accuracy is unknown" in judged


def test_every_kind_of_input_is_described_on_the_page():
    from fusion.serving.described import CLIPS

    assert set(CLIPS) == set(KINDS)
