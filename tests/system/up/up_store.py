"""A small system of real services, and `hanse up` as a process around it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

APP = """\
import os

from hanse import Service

service = Service("{name}")
WORD = "one"


@service.get("/word")
async def word() -> dict[str, str | int]:
    return {{"word": WORD, "pid": os.getpid()}}


@service.post("/slow")
async def slow() -> dict[str, str | int]:
    print("slow begins", flush=True)
    await service.env.clock.sleep(1.0)
    return {{"word": WORD, "pid": os.getpid()}}
"""

TOPOLOGY = """\
from hanse import System

system = System("store")
orders = system.service("store.orders.app:service")
users = system.service("store.users.app:service")
gateway = system.gateway({gateway})
gateway.route("/api/orders", orders, strip="/api/orders")
gateway.route("/api/users", users, strip="/api/users")
"""

HANSE = (sys.executable, "-m", "hanse.cli.main")
PATIENCE_S = 20.0


def eventually(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """What `condition` returns, once that is true."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)
    return found


class Up:
    """`hanse up` of one system, and questions to it."""

    def __init__(self, path: Path, output: Path) -> None:
        self.path = path
        self.folder = path if path.is_dir() else path.parent
        self.output = output
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> "Up":
        """Start it in the background of the test, and wait until it is up."""
        self.launch(*options)
        eventually(self.is_up, f"up: {self.text()}")
        return self

    def launch(self, *options: str) -> None:
        with (self.output / "out").open("ab") as out, (self.output / "err").open("ab") as err:
            self.process = subprocess.Popen([*HANSE, "up", str(self.path), *options], stdout=out, stderr=err)

    def is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.text()
        done = self.ask("ps")
        return done.returncode == 0 and json.loads(done.stdout)["state"] == "up"

    def ask(self, verb: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A verb with `--json`."""
        place = [str(self.path)] if verb in {"ps", "down", "check", "up"} else ["--system", str(self.path)]
        return hanse(verb, *arguments, *place, "--json")

    def ps(self) -> dict[str, Any]:
        done = self.ask("ps")
        assert done.returncode == 0, done.stdout + done.stderr
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self.ps()["services"] if one["service"] == name)
        return found

    def pids(self, name: str) -> list[int]:
        return [replica["pid"] for replica in self.service(name)["replicas"]]

    def engine(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self.ps()["engines"] if one["name"] == name)
        return found

    def family(self) -> list[psutil.Process]:
        """The supervisor and all that it has started."""
        root = psutil.Process(self.ps()["pid"])
        return [root, *root.children(recursive=True)]

    def get(self, path: str) -> tuple[int, Any]:
        """Through the gateway: status and body."""
        return fetch(self.ps()["gateway"] + path)

    def text(self) -> str:
        return "".join(file.read_text() for file in sorted(self.output.iterdir()))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait for it; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE_S)


def hanse(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*HANSE, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def fetch(url: str, method: str = "GET") -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")
    except OSError:
        return 0, None


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie that its adoptive parent has not buried yet does not."""
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def write_store(root: Path, gateway: str = "") -> Path:
    folder = root / "systems" / "store"
    for name in ("orders", "users"):
        (folder / name).mkdir(parents=True)
        (folder / name / "app.py").write_text(APP.format(name=name))
    (folder / "system.py").write_text(TOPOLOGY.format(gateway=gateway))
    return folder


def end_all(up: Up) -> None:
    lock = up.folder.rglob("lock")
    for file in lock:
        pid = file.read_text().strip()
        if pid and psutil.pid_exists(int(pid)) and "hanse" in " ".join(psutil.Process(int(pid)).cmdline()):
            os.kill(int(pid), signal.SIGTERM)
    if up.process is not None and up.process.poll() is None:
        up.process.terminate()
        try:
            up.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            up.process.kill()
            up.process.wait()
