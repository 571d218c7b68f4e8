"""What a service registry must do, whatever product keeps the instances."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil

from hanse.core import Component
from hanse.core.errors import InvalidInput


class Capability(StrEnum):
    """In what backends may differ."""

    SERVER = "server"
    """Instances are kept by a server of its own, which can die and come back."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One running process of a service.

    Raises:
        InvalidInput: a name, id, port or weight that can't be right; says which.
    """

    service: str
    id: str
    """Unique among the service's instances; letters, digits, `_` and `-`, as the service's name."""
    host: str
    port: int
    """1–65535."""
    version: str = ""
    weight: int = 1
    """Share of the traffic relative to others, 0–1000; 0 gets none."""
    zone: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what, name in (("service", self.service), ("id", self.id)):
            if not name or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
                raise InvalidInput(f'instance: {what} "{name}" must be letters, digits, "_" and "-"')
        if not 1 <= self.port <= 65535:
            raise InvalidInput(f"instance {self.service}/{self.id}: port {self.port} is not within 1–65535")
        if not 0 <= self.weight <= 1000:
            raise InvalidInput(f"instance {self.service}/{self.id}: weight {self.weight} is not within 0–1000")

    @property
    def url(self) -> str:
        """Where it answers, for example `http://127.0.0.1:41207`."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


OnChange = Callable[[dict[str, tuple[Instance, ...]]], None]
"""Gets the full current set: instances by service, sorted by id. Must not block or raise."""


def group(instances: Iterable[Instance], service: str | None) -> dict[str, tuple[Instance, ...]]:
    """The full current set in the form that a watcher gets.

    Args:
        instances: of any services, in any order.
        service: the one that is watched, or None for all of them.
    """
    found: dict[str, list[Instance]] = {} if service is None else {service: []}
    for instance in sorted(instances, key=lambda instance: (instance.service, instance.id)):
        if service is None or instance.service == service:
            found.setdefault(instance.service, []).append(instance)
    return {name: tuple(members) for name, members in found.items()}


def ttl_s(heartbeat_s: float) -> int:
    """Time to live of an instance: three heartbeats, in whole seconds because servers count in those."""
    return max(1, ceil(3 * heartbeat_s))


class Watch(ABC):
    """A running watch."""

    @abstractmethod
    async def stop(self) -> None:
        """No more calls after it returned. Idempotent."""


class Registry(Component, ABC):
    """Keeps track of the instances of all services."""

    capabilities: frozenset[Capability] = frozenset()

    @abstractmethod
    async def register(self, instance: Instance) -> None:
        """Make an instance known and keep it known until `deregister`, `stop`, or the death of this process.

        Registering the same service and id again replaces what was known. It is renewed in the background, also across
        a restart of the server, even one that lost its store.

        Raises:
            Unavailable: the server can't be reached; nothing was registered.
            PermissionDenied: this client may not register that service.
        """

    @abstractmethod
    async def deregister(self, service: str, id: str) -> None:
        """Take an instance back. Of an unknown one: nothing happens.

        Raises:
            Unavailable: the server can't be reached; the instance will go when its time to live ends.
        """

    @abstractmethod
    async def discover(self, service: str) -> tuple[Instance, ...]:
        """The service's live instances, sorted by id; empty when there are none.

        Raises:
            Unavailable: the server can't be reached, and nothing is known from before.
        """

    @abstractmethod
    async def watch(self, service: str | None, on_change: OnChange) -> Watch:
        """Be told of the full current set, now and at each change.

        Args:
            service: one service, or None for all of them.
            on_change: called for the first time before this returns. Watching one service, its name is always a key;
                watching all, services without an instance are left out. Renewals alone do not call it. While the server
                is away nothing is called and nothing is forgotten; afterwards one call says what is different.

        Raises:
            Unavailable: the server can't be reached.
        """
