"""What all patterns have in common: a name, a live state, and two ways to be put around a call."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any, ClassVar, ParamSpec, TypeVar

from hanse.core import Env
from hanse.resilience.events import EventSink, ResilienceEvent

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A pattern's live state, for people."""

    name: str

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON-compatible values."""
        return asdict(self)


class Pattern(ABC):
    """One way to deal with failure, put around calls of one kind.

        result = await pattern.call(operation)    # operation: async, no arguments; makes one attempt

        @pattern                                  # the same around every call of a function
        async def price(product: str) -> Money: ...

    Patterns whose work does not consist in calling again have a third way, `async with pattern.guard(): …`; retry has
    `async for attempt in retry.attempts(): …`; fallback and hedge can't be put around a block.

    Args:
        name: what it protects, unique among the patterns of its kind (`inventory/inventory-2`).
        env: clock and randomness.
        on_event: gets its events; may be set at any time.
    """

    __slots__ = ("_env", "name", "on_event")

    kind: ClassVar[str]
    """`breaker`, `retry`, …: as it is called at `/resilience`."""

    def __init__(self, name: str, env: Env, *, on_event: EventSink | None = None) -> None:
        self.name = name
        self.on_event = on_event
        self._env = env

    @abstractmethod
    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run `operation` under this pattern."""

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """Its state now."""

    @abstractmethod
    def reset(self) -> None:
        """Forget what was learnt, as if it were new; calls under way stay counted."""

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate an async function; in a class, too, where all instances share this pattern."""

        @wraps(function)
        async def protected(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self.call(lambda: function(*args, **kwargs))

        return protected

    def _tell(self, event: ResilienceEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)
