"""Opens a page in headless Chromium, by its DevTools protocol over pipes."""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAM = shutil.which("chromium")


class Page:
    """A page that is open.

    Attributes:
        events: What the browser told of it: requests, messages, errors.
    """

    def __init__(self, write, read):
        self._write, self._read, self._number = write, read, 0
        self._buffer, self._session, self.events = b"", None, []
        target = self.send("Target.createTarget", url="about:blank")
        self._session = self.send(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _receive(self, seconds):
        until = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select(
                [self._read], [], [], max(0, until - time.monotonic())
            )
            part = os.read(self._read, 1 << 20) if ready else b""
            if not part:
                raise TimeoutError("Chromium must answer. Received: nothing.")
            self._buffer += part
        told, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(told)

    def send(self, method, **params):
        """Calls a method of the protocol and returns its result."""
        self._number += 1
        call = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            call["sessionId"] = self._session
        os.write(self._write, json.dumps(call).encode() + b"\0")
        while True:
            told = self._receive(60)
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(told["error"])
                return told["result"]
            self.events.append(told)

    def open(self, path, seconds=60):
        """Opens a file and waits until its script has run; returns seconds."""
        began = time.monotonic()
        self.send("Page.navigate", url=f"file://{path}")
        while self.value("document.body?.dataset.ready") != "yes":
            if time.monotonic() - began > seconds:
                raise TimeoutError(self.errors())
            time.sleep(0.02)
        return time.monotonic() - began

    def value(self, expression):
        """The value of an expression of JavaScript."""
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def mouse(self, kind, x, y):
        """Moves, presses or releases the mouse."""
        held = {} if kind == "mouseMoved" else {"button": "left"}
        self.send(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            clickCount=1,
            **held,
        )

    def resize(self, width, height):
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, path, full=False):
        told = self.send(
            "Page.captureScreenshot", format="png", captureBeyondViewport=full
        )
        path.write_bytes(base64.b64decode(told["data"]))

    def errors(self):
        """Texts of the console's errors and warnings, and of exceptions."""
        found = []
        for event in self.events:
            params = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(json.dumps(params)[:500])
            elif event.get("method") == "Log.entryAdded":
                found.append(params["entry"]["text"])
            elif event.get("method") == "Runtime.consoleAPICalled":
                found.append(json.dumps(params["args"])[:500])
        return found

    def requests(self):
        """Addresses that the page has asked for, itself among them."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]


@contextlib.contextmanager
def browser():
    """A page of a browser that ends with the block."""
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    # Its helpers may still write there for a moment after it was killed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [
            PROGRAM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}",
        ]
        # It reads from 3 and writes to 4.
        shell = f'exec "$@" 3<&{to_read} 4>&{from_write}'
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(to_read, from_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(from_write)
        try:
            yield Page(to_write, from_read)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(to_write)
            os.close(from_read)
