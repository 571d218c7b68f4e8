"""The registry in this process: for tests, simulation, and a system whose services share one process."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from weakref import WeakKeyDictionary

from hanse.core import Env
from hanse.core.errors import Unavailable
from hanse.registry.contract import Instance, OnChange, Registry, Watch, group, ttl_s


class MemoryBoard:
    """What a registry server would keep. It outlives the nodes; its timers run in a context of their own."""

    def __init__(self) -> None:
        self._instances: dict[tuple[str, str], Instance] = {}
        self._expiries: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._context = Context()
        self.listeners: dict[Callable[[str], None], None] = {}
        """Told the name of a service when its set of instances has changed."""

    def put(self, instance: Instance, ttl: float) -> None:
        key = (instance.service, instance.id)
        if key in self._expiries:
            self._expiries[key].cancel()
        loop = asyncio.get_running_loop()
        self._expiries[key] = loop.call_later(ttl, lambda: self.remove(*key), context=self._context)
        if self._instances.get(key) != instance:
            self._instances[key] = instance
            self._tell(instance.service)

    def remove(self, service: str, id: str) -> None:
        if (expiry := self._expiries.pop((service, id), None)) is not None:
            expiry.cancel()
        if self._instances.pop((service, id), None) is not None:
            self._tell(service)

    def instances(self) -> list[Instance]:
        return list(self._instances.values())

    def _tell(self, service: str) -> None:
        for listener in list(self.listeners):
            listener(service)


# Not state of the program but of the event loop it runs on: what `memory://name` means ends with the loop.
_BOARDS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, MemoryBoard]] = WeakKeyDictionary()


class MemoryWatch(Watch):
    def __init__(self, board: MemoryBoard, service: str | None, on_change: OnChange) -> None:
        self._board = board
        self._service = service
        self._on_change = on_change
        board.listeners[self._changed] = None
        self._call()

    async def stop(self) -> None:
        self._board.listeners.pop(self._changed, None)

    def _changed(self, service: str) -> None:
        if self._service in (None, service):
            self._call()

    def _call(self) -> None:
        self._on_change(group(self._board.instances(), self._service))


class MemoryRegistry(Registry):
    """Keeps instances on a board shared by all registries of one name in the running event loop.

    Args:
        env: the node's seams.
        name: which board.
        heartbeat_s: pause between renewals.
        board: a board of one's own instead, for a simulation that owns it.
    """

    name = "registry"

    def __init__(self, env: Env, name: str = "", *, heartbeat_s: float = 3.0, board: MemoryBoard | None = None) -> None:
        self._env = env
        self._name = name
        self._heartbeat_s = heartbeat_s
        self._board = board
        self._mine: dict[tuple[str, str], Instance] = {}
        self._watches: list[Watch] = []
        self._heart: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._board is None:
            self._board = _BOARDS.setdefault(asyncio.get_running_loop(), {}).setdefault(self._name, MemoryBoard())
        self._heart = self._env.scope.supervise(self._beat, name="registry/heartbeat")

    async def ready(self) -> str | None:
        return None if self._heart is not None else "not started"

    async def stop(self) -> None:
        if self._heart is not None:
            self._heart.cancel()
            self._heart = None
        while self._watches:
            await self._watches.pop().stop()
        if self._board is not None:
            for service, id in list(self._mine):
                self._board.remove(service, id)
        self._mine.clear()

    async def register(self, instance: Instance) -> None:
        self._started().put(instance, ttl_s(self._heartbeat_s))
        self._mine[instance.service, instance.id] = instance

    async def deregister(self, service: str, id: str) -> None:
        self._mine.pop((service, id), None)
        self._started().remove(service, id)

    async def discover(self, service: str) -> tuple[Instance, ...]:
        return group(self._started().instances(), service)[service]

    async def watch(self, service: str | None, on_change: OnChange) -> Watch:
        watch = MemoryWatch(self._started(), service, on_change)
        self._watches.append(watch)
        return watch

    async def _beat(self) -> None:
        while True:
            await self._env.clock.sleep(self._heartbeat_s)
            for instance in self._mine.values():
                self._started().put(instance, ttl_s(self._heartbeat_s))

    def _started(self) -> MemoryBoard:
        if self._board is None or self._heart is None:
            raise Unavailable("the registry is not started")
        return self._board
