"""`Replica`: one process of a service, kept alive; its listening socket outlives every process that serves it."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hanse.core import Env
from hanse.core.errors import Unavailable
from hanse.system.child import UNUSABLE, Order
from hanse.system.forks import Fork, ForkServer
from hanse.system.logs import Logs
from hanse.system.process import ending
from hanse.system.topology import ServiceRef

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 10.0
STABLE_S = 5.0
"""A process that lived this long starts the backoff anew when it crashes."""
ABSENT_FROM_S = 1.0
"""From this backoff on the instance is taken out of the registry; below it callers wait on the open socket."""
_HURRY_S = 0.05
_LEAVE_S = 2.0


class Phase(StrEnum):
    """What a replica does."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """Its application can't be loaded; tried again at the next edit."""
    RESTARTING = "restarting"
    """It crashed, and waits out the backoff."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Ground:
    """What replicas stand on: lent by the supervisor."""

    env: Env
    forks: ForkServer
    logs: Logs
    root: str
    environment: Callable[[ServiceRef, str, int], dict[str, str]]
    """Of (service, instance, port): the variables its process gets."""
    forget: Callable[[str, str], Awaitable[None]]
    """Take (service, instance) out of the registry, if it is there."""
    grace_s: float


class _Life:
    """One process of a replica, from fork to exit."""

    def __init__(self, fork: Fork, instance: str, began: float, report: "asyncio.Future[str]") -> None:
        self.fork = fork
        self.instance = instance
        self.began = began
        self.report = report
        """Empty when it is ready; else why it is not."""


class Replica:
    """Runs one process after the other on one socket, until `stop`.

    A restart on purpose (`renew`) starts the new process first and retires the old one when the new one is ready: both
    accept from the same socket meanwhile, so that no request is refused. When the new code can't be loaded the phase
    is `failed`, and the former process goes on answering until an edit mends it.
    """

    def __init__(self, ground: Ground, service: ServiceRef, number: int, listener: socket.socket) -> None:
        self.service = service
        self.number = number
        self.phase = Phase.STARTING
        self.reason = ""
        self.start_s: float | None = None
        self.restarts = 0
        self._ground = ground
        self._listener = listener
        self._life: _Life | None = None
        self._generation = 0
        self._pause = 0.0
        self._hurry = False
        self._ghosts: dict[str, None] = {}
        self._renew = asyncio.Event()
        self._stop = asyncio.Event()
        self._settled = asyncio.Event()
        self._done = asyncio.Event()
        self._retiring: dict[asyncio.Task[None], None] = {}

    @property
    def name(self) -> str:
        return f"{self.service.name}-{self.number}"

    @property
    def pid(self) -> int | None:
        """The process that answers now."""
        return self._life.fork.pid if self._life else None

    @property
    def port(self) -> int:
        number: int = self._listener.getsockname()[1]
        return number

    async def settled(self) -> None:
        """Until the latest start has come to an end: ready, failed or crashed."""
        await self._settled.wait()

    def renew(self, *, hurry: bool = False) -> None:
        """Replace the process by a new one, which imports the application anew.

        Args:
            hurry: the old code shall not answer for long: its requests get a twentieth of a second to end.
        """
        self._hurry = hurry
        self._settled.clear()
        self._pause = 0.0
        self._renew.set()

    async def run(self) -> None:
        """Keep a process running until `stop`."""
        try:
            while not self._stop.is_set():
                await self._turn()
        finally:
            self.phase = Phase.STOPPED
            self._settled.set()
            if self._life is not None:
                self._retire(self._life)
            while self._retiring:
                await asyncio.wait(list(self._retiring))
            self._listener.close()
            self._done.set()

    async def stop(self) -> None:
        """Drain the process and close the socket."""
        self._stop.set()
        await self._done.wait()

    def kill(self) -> None:
        """Do not wait for the drain any longer."""
        if self._life is not None:
            self._life.fork.signal(signal.SIGKILL)

    async def _turn(self) -> None:
        """One process: start it, stay with it, and wait before the next one where that is due."""
        self._renew.clear()
        if self._life is None:
            self.phase = Phase.STARTING
        try:
            life = await self._launch()
        except Unavailable as error:
            self.reason = error.message
            await self._any(timeout_s=BACKOFF_FIRST_S)
            return
        await self._any(life.report)
        if not life.report.done():
            life.fork.signal(signal.SIGKILL)
            await life.fork.exited.wait()
            return
        self.reason = life.report.result()
        if self.reason:
            await self._ended(life.fork, _LEAVE_S)  # by itself: its exit code says whether to try again
            await self._not_started(life)
        else:
            self._took_over(life)
            await self._any(life.fork.exited)
            if life.fork.exited.is_set():
                self._life = None
                await self._crashed(life)

    async def _launch(self) -> _Life:
        ground, self._generation = self._ground, self._generation + 1
        instance = f"{self.name}-{self._generation}"
        environment = ground.environment(self.service, instance, self.port)
        order = Order(self.service.app, ground.root, self.name, environment)
        stdout = ground.logs.pump(self.service.name, error=False)
        stderr = ground.logs.pump(self.service.name, error=True)
        reading, status = os.pipe()
        try:
            fork = await ground.forks.fork(order, [stdout, stderr, status, self._listener.fileno()])
        except BaseException:
            os.close(reading)
            raise
        finally:
            for descriptor in (stdout, stderr, status):
                os.close(descriptor)
        report: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        ground.env.scope.spawn(self._hear(reading, fork, report), name=f"status {instance}")
        return _Life(fork, instance, ground.env.clock.monotonic(), report)

    async def _hear(self, descriptor: int, fork: Fork, report: "asyncio.Future[str]") -> None:
        """Take the one line that a child says about its start, or its exit before it."""
        reader = asyncio.StreamReader()
        pipe = os.fdopen(descriptor, "rb", 0)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            line = (await reader.readline()).decode(errors="replace").strip()
            if not line:
                await fork.exited.wait()
                line = f"failed ended with {ending(fork.code)} before it was ready"
            if not report.done():
                report.set_result("" if line.split()[0] == "ready" else line.removeprefix("failed "))
        finally:
            transport.close()

    def _took_over(self, life: _Life) -> None:
        former, self._life = self._life, life
        self.start_s = self._ground.env.clock.monotonic() - life.began
        self.phase = Phase.READY
        self._settled.set()
        if former is not None:
            self._retire(former, hurry=self._hurry)
        for ghost in self._ghosts:
            self._spawn(self._ground.forget(self.service.name, ghost))
        self._ghosts.clear()

    async def _not_started(self, life: _Life) -> None:
        if life.fork.code != UNUSABLE:
            await self._crashed(life)
            return
        self.phase = Phase.FAILED
        self._settled.set()
        still = "; the former code still answers" if self._life else ""
        self._ground.logs.say(f"{self.name} failed: {self.reason}{still}", level="error")
        await self._any(self._life.fork.exited if self._life else None)
        if self._life is not None and self._life.fork.exited.is_set():
            self._ghosts[self._life.instance] = None
            self._life = None

    async def _crashed(self, life: _Life) -> None:
        clock = self._ground.env.clock
        stable = clock.monotonic() - life.began >= STABLE_S
        self._pause = BACKOFF_FIRST_S if stable or not self._pause else min(self._pause * 2, BACKOFF_MAX_S)
        self.phase = Phase.RESTARTING
        self.reason = self.reason or f"ended with {ending(life.fork.code)}"
        self.restarts += 1
        self._ghosts[life.instance] = None
        self._settled.set()
        self._ground.logs.say(f"{self.name} {self.reason}; restart in {self._pause:.1f} s", level="error")
        if self._pause >= ABSENT_FROM_S and self._life is None:
            for ghost in self._ghosts:
                await self._ground.forget(self.service.name, ghost)
            self._ghosts.clear()
        await self._any(timeout_s=self._pause)

    def _retire(self, life: _Life, *, hurry: bool = False) -> None:
        async def retire() -> None:
            life.fork.signal(signal.SIGTERM)
            if hurry:
                await self._ground.env.clock.sleep(_HURRY_S)
                life.fork.signal(signal.SIGTERM)  # a server that is told twice ends at once
            await self._ended(life.fork, self._ground.grace_s)
            await self._ground.forget(self.service.name, life.instance)

        self._spawn(retire())

    async def _ended(self, fork: Fork, patience_s: float) -> None:
        """Until the process has ended; it is killed when that takes longer than `patience_s`."""
        try:
            async with asyncio.timeout(patience_s):
                await fork.exited.wait()
        except TimeoutError:
            fork.signal(signal.SIGKILL)
            await fork.exited.wait()

    def _spawn(self, work: Awaitable[None]) -> None:
        async def quietly() -> None:
            await work

        task = self._ground.env.scope.spawn(quietly(), name=self.name)
        self._retiring[task] = None
        task.add_done_callback(lambda done: self._retiring.pop(done, None))

    async def _any(
        self, other: "asyncio.Event | asyncio.Future[str] | None" = None, *, timeout_s: float | None = None
    ) -> None:
        """Until `other` happens, or `renew` or `stop` is asked for, or the time is over."""
        events = [self._renew, self._stop, *([other] if isinstance(other, asyncio.Event) else [])]
        tasks = [asyncio.ensure_future(event.wait()) for event in events]
        watched: list[asyncio.Future[Any]] = [*tasks, *([other] if isinstance(other, asyncio.Future) else [])]
        try:
            await asyncio.wait(watched, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
