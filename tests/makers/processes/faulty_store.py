"""Object stores of this machine for tests, S3's and Google's, behind a server that answers some requests wrongly."""

import contextlib
import http.client
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

# One answer in five is wrong. The last of them comes after a client has stopped waiting.
FAULTS = ("refused", "half", "refused", "half", "late")
EVERY, PATIENCE = 5, 6.0
_OF_A_CONNECTION = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Faulty(ThreadingHTTPServer):
    """Passes requests on to another port of this machine, and spoils some of the answers."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), _Passing)
        self.port, self.asked, self.spoiled = port, 0, []

    def next_fault(self):
        self.asked += 1
        fault = FAULTS[self.asked // EVERY % len(FAULTS)] if self.asked % EVERY == 0 else ""
        self.spoiled += [fault] if fault else []
        return fault


class _Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # Clients of S3 ask whether to go on before they send a file.

    def _pass(self):
        content = self._content()
        fault = self.server.next_fault()
        if fault == "refused":
            self._answer(503, {}, b"Slow Down")
            return
        if fault == "late":
            time.sleep(PATIENCE + 2)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_A_CONNECTION}
        connection.request(self.command, self.path, content, headers)
        answer = connection.getresponse()
        body = answer.read()
        self._answer(answer.status, dict(answer.getheaders()), body[: len(body) // 2] if fault == "half" else body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _pass  # noqa: N815

    def _content(self):
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _answer(self, status, headers, body):
        with contextlib.suppress(ConnectionError):  # Nobody waits for it any more.
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in _OF_A_CONNECTION:
                    self.send_header(name, value)
            length = next((value for name, value in headers.items() if name.lower() == "content-length"), len(body))
            self.send_header("Content-Length", length if self.command == "HEAD" else len(body))
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def faulty(port):
    """Runs such a server in front of a port; gives it."""
    server = Faulty(port)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def s3_store():
    """Runs moto's server of S3's protocol; gives the port and what clients need beside the address."""
    from moto.backends import get_backend
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    # Else buckets of a store before this one would be there still, and clients would ask at its address.
    get_backend("s3").reset()
    S3FileSystem.clear_instance_cache()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    keys = {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "up", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        yield server.get_host_and_port()[1], keys
    finally:
        server.stop()


@contextlib.contextmanager
def gs_store():
    """Runs an emulator of Google's storage; gives the port and what clients need beside the address."""
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    try:
        yield server._api._httpd.server_port, {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}
    finally:
        server.stop()
