"""`Supervisor`: runs a whole system on this machine until it is told to stop."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hanse.core import Env
from hanse.core.errors import HanseError
from hanse.system.control import ControlServer
from hanse.system.crew import Crew
from hanse.system.door import Door
from hanse.system.environment import Environment
from hanse.system.forks import ForkServer
from hanse.system.identity import Keys
from hanse.system.lock import SystemLock
from hanse.system.logs import Logs
from hanse.system.nats import Nats
from hanse.system.orders import Orders
from hanse.system.replica import Ground
from hanse.system.state import StateFolder
from hanse.system.topology import System
from hanse.system.watch import Sources, edits

if TYPE_CHECKING:
    from hanse.registry import Registry

_SETTLE_S = 60.0
_FORGET_S = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to run.

    Args:
        clean: forget databases, messages and keys first.
        reload: load a service again when its files change.
        grace_s: the longest that requests in flight may take at a stop.
        port: another port for the gateway, fixed.
    """

    clean: bool = False
    reload: bool = True
    grace_s: float = 5.0
    port: int | None = None


class Witness:
    """Hears how a start goes on; the command line shows it."""

    def began(self, part: str) -> None:
        """`nats`, `envoy` or a service is being started."""

    def came(self, part: str, state: str) -> None:
        """It is up (`ready`), or it is not (`failed`, `restarting`, `starting` after a minute)."""

    def up(self, status: dict[str, Any]) -> None:
        """Everything has been started; `status` as of `Supervisor.status`."""


class Supervisor:
    """Owns the broker, the gateway, the parent of the services and every replica.

    Order of the start: lock, ports, then the parent of the services (it takes longest) beside broker and gateway, then
    the services. Order of the stop: gateway and services drain, then the broker ends. Whatever way it ends, the kernel
    ends its children with it and gives back the lock.

    Args:
        system: validated by the caller.
    """

    def __init__(self, env: Env, system: System, options: Options, witness: Witness) -> None:
        self._env = env
        self._system = system
        self._options = options
        self._witness = witness
        self.state = StateFolder(system.state)
        self._lock = SystemLock(self.state.lock)
        self.logs = Logs(env, self.state.logs)
        self._notes: list[str] = []
        self._crew = Crew(system, self._note)
        self._nats = Nats(env, self.state.nats, self.logs.file("nats"))
        self._door = (
            Door(env, system, system.door, self.state.envoy, self.logs.file("gateway")) if system.door else None
        )
        self._forks: ForkServer | None = None
        self._registry: Registry | None = None
        self._control: ControlServer | None = None
        self._stop = asyncio.Event()
        self._stopping = asyncio.Event()
        self._began = env.clock.monotonic()
        self._up_s: float | None = None

    async def run(self) -> None:
        """Start, serve, and drain when SIGINT, SIGTERM or `hanse down` says so.

        Raises:
            AlreadyRunning: the system is up already.
            PortTaken: a fixed port is held; nothing was started.
            HanseError: broker or gateway could not be started; everything else was stopped again.
        """
        self.state.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            if self._options.clean:
                self.state.clean()
            self.state.prepare()
            self._crew.bind()
            if self._door:
                self._door.choose_port(self._options.port, self._note)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.stop)
            await self._serve()
        finally:
            await self._shut()
            self.state.release()
            self._lock.release()

    def stop(self) -> None:
        """Begin to drain; the second time, end at once."""
        if self._stop.is_set():
            self._crew.kill()
        self._stop.set()

    def status(self) -> dict[str, Any]:
        """The whole system, as JSON-compatible facts."""
        engines = [{"name": "nats", "pid": self._nats.pid, "address": self._nats.url, "restarts": self._nats.restarts}]
        if self._door:
            engines.append(self._door.status())
        return {
            "system": self._system.name,
            "pid": os.getpid(),
            "state": "stopping" if self._stop.is_set() else "starting" if self._up_s is None else "up",
            "up_s": self._up_s,
            "gateway": self._door.url if self._door else None,
            "folder": str(self._system.folder),
            "notes": list(self._notes),
            "services": self._crew.status(),
            "engines": engines,
        }

    async def _serve(self) -> None:
        with self.logs.file("hanse").open("ab") as output:
            self._forks = ForkServer(output.fileno())
            self._forks.start()
            starting = self._env.scope.spawn(self._start(self._forks), name="start")
            stopping = self._env.scope.spawn(self._until_stop(), name="stop")
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopping
            else:
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)

    async def _until_stop(self) -> None:
        await self._stop.wait()

    async def _start(self, forks: ForkServer) -> None:
        keys = Keys(self._env, self.state.keys, self._system)
        keys.prepare()
        self._witness.began("nats")
        await self._nats.start()
        self._witness.came("nats", "ready")
        from hanse.registry import from_url

        self._registry = from_url(self._env, self._nats.url)
        await self._registry.start()
        environment = Environment(self._system, self.state, keys, self._nats.url, self._options.grace_s)
        grace_s = self._options.grace_s + 2.0
        self._crew.start(
            Ground(self._env, forks, self.logs, str(self._system.root), environment.of, self._forget, grace_s)
        )
        orders = Orders(self._crew, self.logs, self.status, self.stop)
        self._control = ControlServer(self.state.socket, orders.handle)
        await self._control.start()
        if self._options.reload:
            self._env.scope.spawn(self._reload(), name="reload")
        parts = [forks.warmed(), *(self._settle(service.name) for service in self._system.services)]
        if self._door:
            parts.append(self._open(self._door, keys, self._registry))
        await asyncio.gather(*parts)
        if self._door:
            await self._door.caught_up(self._crew.ready_endpoints())
        self._up_s = round(self._env.clock.monotonic() - self._began, 3)
        self.state.write(self.status())
        self._witness.up(self.status())

    async def _open(self, door: Door, keys: Keys, registry: "Registry") -> None:
        self._witness.began("envoy")
        await door.open(registry, keys.jwks_file)
        self._witness.came("envoy", "ready")

    async def _settle(self, service: str) -> None:
        self._witness.began(service)
        state = "starting"
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                state = await self._crew.settled(service)
        self._witness.came(service, state)

    async def _reload(self) -> None:
        async for edit in edits(Sources(self._system), self._stopping, self._env.scope.spawn):
            names = ", ".join(file.name for file in edit.files)
            if edit.topology:
                self.logs.say(f"{names} changed: the topology is read at `hanse up` only", level="warning")
            if edit.services:
                began = self._env.clock.monotonic()
                await self._crew.renew(edit.services, hurry=True)
                took = f"{(self._env.clock.monotonic() - began) * 1000:.0f} ms"
                self.logs.say(f"{names} changed", reloaded=", ".join(edit.services), took=took)

    async def _forget(self, service: str, instance: str) -> None:
        if self._registry is None:
            return
        with suppress(HanseError, TimeoutError):  # the broker is down or going: the entry ends by its own time limit
            async with asyncio.timeout(_FORGET_S):
                await self._registry.deregister(service, instance)

    async def _shut(self) -> None:
        """Stop everything that was started, in order; what fails to stop does not keep the rest from it."""
        self._stopping.set()
        if self._control is not None:
            await self._control.stop()
        closing = [self._crew.stop()]
        if self._door is not None:
            closing.append(self._door.stop(self._options.grace_s))
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, Exception):
                self._env.scope.on_error("stop", outcome)
        if self._registry is not None:
            with suppress(HanseError, TimeoutError):
                async with asyncio.timeout(_FORGET_S):
                    await self._registry.stop()
        if self._forks is not None:
            await self._forks.stop()
        await self._nats.stop()
        await self.logs.finish()
        await self._env.scope.close()

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self.logs.say(text, level="warning")
