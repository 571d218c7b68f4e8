"""`Crew`: all replicas of all services of a running system."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hanse.core.errors import InvalidInput, NotFound
from hanse.system.environment import HOST
from hanse.system.ports import listen
from hanse.system.replica import Ground, Phase, Replica
from hanse.system.topology import ServiceRef, System

MAX_REPLICAS = 64
_WORST_FIRST = (Phase.FAILED, Phase.RESTARTING, Phase.STARTING, Phase.READY, Phase.STOPPED)


class Crew:
    """Binds the sockets of all replicas first, then runs them.

    Args:
        note: told in one line about a port that was taken and replaced.
    """

    def __init__(self, system: System, note: Callable[[str], None]) -> None:
        self._system = system
        self._note = note
        self._ground: Ground | None = None
        self._sockets: dict[str, list[socket.socket]] = {}
        self._replicas: dict[str, list[Replica]] = {}
        self._numbers: dict[str, int] = {}

    def bind(self) -> None:
        """Take a port for every replica. Raises PortTaken when a fixed one is held by somebody."""
        for service in self._system.services:
            for index in range(service.replicas):
                self._sockets.setdefault(service.name, []).append(self._listen(service, index))

    def release(self) -> None:
        """Give back the sockets that no replica has taken over. Idempotent."""
        for sockets in self._sockets.values():
            while sockets:
                sockets.pop().close()

    def start(self, ground: Ground) -> None:
        """Run a replica on each socket."""
        self._ground = ground
        for service in self._system.services:
            self._replicas[service.name] = []
            for listener in self._sockets.pop(service.name, []):
                self._add(service, listener)

    async def settled(self, service: str) -> str:
        """Until all replicas of the service have come up or failed; the worst of their phases."""
        for replica in list(self._replicas[service]):
            await replica.settled()
        return self._phase(self._replicas[service])

    async def renew(self, services: Iterable[str], *, hurry: bool = False) -> None:
        """Replace the processes of these services by new ones; returns when those are ready or have failed.

        Args:
            hurry: the old processes shall end almost at once, whatever they have in hand.

        Raises:
            NotFound: there is no such service.
        """
        chosen = [replica for name in services for replica in self._of(name)]
        for replica in chosen:
            replica.renew(hurry=hurry)
        for replica in chosen:
            await replica.settled()

    async def scale(self, name: str, count: int) -> None:
        """Run `count` replicas of a service, 0 to 64; the youngest go first, drained.

        Raises:
            NotFound: there is no such service.
            InvalidInput: the count is out of bounds.
        """
        replicas = self._of(name)
        if not 0 <= count <= MAX_REPLICAS:
            raise InvalidInput(f"{name}={count}: 0 to {MAX_REPLICAS} replicas can run")
        service = next(ref for ref in self._system.services if ref.name == name)
        while len(replicas) < count:
            self._add(service, self._listen(service, len(replicas)))
        leaving = replicas[count:]
        del replicas[count:]
        await asyncio.gather(*(replica.stop() for replica in leaving), *(replica.settled() for replica in replicas))

    async def stop(self) -> None:
        """Drain all replicas at once and close their sockets. Idempotent."""
        replicas = [replica for group in self._replicas.values() for replica in group]
        await asyncio.gather(*(replica.stop() for replica in replicas))
        self.release()

    def kill(self) -> None:
        """Do not wait for drains any longer."""
        for group in self._replicas.values():
            for replica in group:
                replica.kill()

    def ready_endpoints(self) -> set[tuple[str, int]]:
        """(service, port) of every replica that is ready."""
        groups = self._replicas.items()
        return {(name, replica.port) for name, group in groups for replica in group if replica.phase is Phase.READY}

    def status(self) -> list[dict[str, Any]]:
        """One entry per service, with one per replica in it."""
        return [self._service_status(name, group) for name, group in self._replicas.items()]

    def _service_status(self, name: str, group: list[Replica]) -> dict[str, Any]:
        replicas = [_replica_status(replica) for replica in group]
        starts = [replica.start_s for replica in group if replica.start_s is not None]
        return {
            "service": name,
            "state": self._phase(group),
            "reason": next((replica.reason for replica in group if replica.reason), ""),
            "start_s": round(max(starts), 3) if starts else None,
            "memory_bytes": sum(replica["memory_bytes"] for replica in replicas),
            "restarts": sum(replica.restarts for replica in group),
            "replicas": replicas,
        }

    def _phase(self, group: list[Replica]) -> str:
        phases = {replica.phase for replica in group}
        return next((phase.value for phase in _WORST_FIRST if phase in phases), Phase.STOPPED.value)

    def _of(self, name: str) -> list[Replica]:
        if name not in self._replicas:
            raise NotFound(f'there is no service "{name}"; there are: {", ".join(self._replicas)}')
        return self._replicas[name]

    def _add(self, service: ServiceRef, listener: socket.socket) -> None:
        if self._ground is None:
            raise RuntimeError("start() comes first")
        number = self._numbers[service.name] = self._numbers.get(service.name, 0) + 1
        replica = Replica(self._ground, service, number, listener)
        self._replicas[service.name].append(replica)
        self._ground.env.scope.spawn(replica.run(), name=replica.name)

    def _listen(self, service: ServiceRef, index: int) -> socket.socket:
        wanted = service.port if index == 0 else None
        made, choice = listen(HOST, wanted, fixed=service.fixed and index == 0, label=service.name)
        if choice.note:
            self._note(choice.note)
        return made


def _replica_status(replica: Replica) -> dict[str, Any]:
    return {
        "replica": replica.name,
        "pid": replica.pid,
        "state": replica.phase.value,
        "reason": replica.reason,
        "address": f"{HOST}:{replica.port}",
        "start_s": None if replica.start_s is None else round(replica.start_s, 3),
        "memory_bytes": memory_bytes(replica.pid) if replica.pid else 0,
        "restarts": replica.restarts,
    }


def memory_bytes(pid: int) -> int:
    """The proportional set size of a process: shared pages are counted in parts. 0 where the kernel does not tell."""
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:")), 0)
