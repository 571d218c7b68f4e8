"""Services in processes of their own, spoken to over real connections."""

import http.client
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

APPS = Path(__file__).with_name("apps")
_CODE = "import sys; from hanse.service.server import run; raise SystemExit(run(sys.argv[1]))"
_READY_S = 20.0


class ServiceProcess:
    """One service process with a listening socket of ours."""

    def __init__(self, app: str, folder: Path, listener: socket.socket, env: dict[str, str]) -> None:
        self.port: int = listener.getsockname()[1]
        self.log_file = folder / f"{app.partition(':')[0]}-{self.port}-{time.monotonic_ns()}.log"
        self.connections: list[http.client.HTTPConnection] = []
        reading, writing = os.pipe()
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _CODE, app],
                cwd=folder,
                env={
                    **{key: value for key, value in os.environ.items() if not key.startswith("HANSE_")},
                    "PYTHONPATH": str(APPS),
                    "HANSE_READY_FD": str(writing),
                    "HANSE_LISTEN_FD": str(listener.fileno()),
                    **env,
                },
                pass_fds=(writing, listener.fileno()),
                stdout=log,
                stderr=log,
            )
        os.close(writing)
        self._reading: int | None = reading
        self.said = ""

    def read(self) -> None:
        """Wait for what it says on the status descriptor until it closes it."""
        assert self._reading is not None
        fd, self._reading = self._reading, None
        with selectors.DefaultSelector() as selector, os.fdopen(fd, "rb") as pipe:
            selector.register(pipe, selectors.EVENT_READ)
            assert selector.select(_READY_S), f"neither ready nor failed:\n{self.log()}"
            self.said = pipe.read().decode()

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        if self._reading is not None:
            os.close(self._reading)

    def log(self) -> str:
        return self.log_file.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    def connect(self) -> http.client.HTTPConnection:
        self.connections.append(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10))
        return self.connections[-1]

    def begin(self, path: str) -> http.client.HTTPConnection:
        """A GET that is being served, and not answered yet."""
        connection = self.connect()
        connection.request("GET", path)
        end = time.monotonic() + 10
        while "http_server_active_requests 1.0" not in self.call("GET", "/metrics")[2]:
            assert time.monotonic() < end
        return connection

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        connection = self.connect()
        sent = {"content-type": "application/json", **(headers or {})}
        connection.request(method, path, json.dumps(body) if body is not None else None, sent)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        names = {name.lower(): value for name, value in answer.getheaders()}
        text = "json" not in names.get("content-type", "")
        return answer.status, names, data.decode() if text else json.loads(data)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 10.0) -> int:
        return self.process.wait(timeout)


Launch = Callable[..., ServiceProcess]


def listener() -> socket.socket:
    it = socket.socket()
    it.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    it.bind(("127.0.0.1", 0))
    it.listen(512)
    return it


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    started: list[ServiceProcess] = []
    sockets: list[socket.socket] = []

    def start(app: str, *, on: socket.socket | None = None, wait: bool = True, **env: str) -> ServiceProcess:
        if on is None:
            on = listener()
            sockets.append(on)
        variables = {f"HANSE_{name.upper()}": value for name, value in env.items()}
        started.append(ServiceProcess(app, tmp_path, on, variables))
        if wait:
            started[-1].read()
        return started[-1]

    yield start
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()
        process.close()
    for it in sockets:
        it.close()


@pytest.fixture
def door() -> Iterator[socket.socket]:
    it = listener()
    yield it
    it.close()
