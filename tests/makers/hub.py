"""A stand-in for the Hugging Face hub: it serves one folder as one model, to whoever asks as its client does."""

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def hub_of(folder, name):
    """Serves a folder as a model of this name; gives the address for HF_ENDPOINT, and the paths that were asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.path.partition("?")[0].strip("/")
            asked.append(path)
            if path.startswith(f"api/models/{name}"):
                return self.answer(json.dumps(self.listing(path)).encode(), {"Content-Type": "application/json"})
            file = folder / path.partition("/resolve/")[2].partition("/")[2]
            if not path.startswith(f"{name}/resolve/") or not file.is_file():
                return self.answer(b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"}, 404)
            content = file.read_bytes()
            tag = hashlib.sha256(content).hexdigest()
            return self.answer(content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"})

        def listing(self, path):
            files = sorted(file for file in folder.rglob("*") if file.is_file())
            if "/tree/" in path:
                return [
                    {"type": "file", "path": str(file.relative_to(folder)), "size": file.stat().st_size, "oid": "0"}
                    for file in files
                ]
            siblings = [{"rfilename": str(file.relative_to(folder))} for file in files]
            return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}

        def answer(self, content, headers, code=200):
            self.send_response(code)
            for each, value in {**headers, "Content-Length": len(content)}.items():
                self.send_header(each, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
