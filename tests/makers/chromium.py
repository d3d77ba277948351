"""A headless Chromium for tests of pages, driven over its debugging pipe: no package, no port, no network."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

WAIT_SECONDS = 60


class Browser:
    """One page in a headless Chromium; what it logs and requests is kept."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("needs chromium, which is not installed (apt-get install chromium)")
        our_reading, their_writing = os.pipe()
        their_reading, our_writing = os.pipe()

        def connect() -> None:  # Chromium talks on descriptors 3 and 4; duplicates first, lest one overwrite the other.
            reading, writing = os.dup(their_reading), os.dup(their_writing)
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        switches = (
            "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --remote-debugging-pipe"
        )
        self._process = subprocess.Popen(
            [program, *switches.split(), f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=connect,
            close_fds=False,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        os.close(their_reading)
        os.close(their_writing)
        self._in, self._out = os.fdopen(our_reading, "rb"), os.fdopen(our_writing, "wb")
        self._count, self._session, self._rest = 0, None, b""
        self.errors: list[str] = []
        self.requested: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()

    def open(self, address: str, width: int = 1100, height: int = 1500) -> None:
        """Opens a page and waits until it is loaded."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.ask("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script: str):
        """Returns the value of a piece of JavaScript."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Waits until a piece of JavaScript is true."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.run(f"Boolean({condition})"):
            assert time.monotonic() < deadline, f"{condition} did not come true"
            self.run("new Promise((resume) => setTimeout(resume, 50))")

    def choose_file(self, selector: str, path: Path) -> None:
        """Gives a file to an input, as a user who picks it."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.ask("DOM.setFileInputFiles", files=[str(path)], nodeId=node)

    def screenshot(self, path: Path) -> Path:
        """Writes a picture of the page."""
        picture = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))
        return path

    def ask(self, method: str, **parameters):
        """Sends a command and returns its answer; events that come in between are noted."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._note(answer)

    def _read(self) -> dict:
        while b"\0" not in self._rest:
            part = self._in.read1(1 << 16)
            assert part, "Chromium has ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict) -> None:
        kind, values = event.get("method"), event.get("params", {})
        if kind == "Network.requestWillBeSent":
            self.requested.append(values["request"]["url"])
        elif kind == "Runtime.exceptionThrown":
            self.errors.append(values["exceptionDetails"]["text"])
        elif kind == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.errors.append(values["entry"]["text"])
        elif kind == "Runtime.consoleAPICalled" and values["type"] == "error":
            self.errors.append(str(values["args"]))
