"""Fallback: another answer when the call fails."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from hanse.core import Env
from hanse.resilience.events import EventSink, FellBack
from hanse.resilience.pattern import Pattern, Snapshot
from hanse.resilience.verdict import transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FallbackConfig:
    """When the fallback answers."""

    errors: tuple[type[Exception], ...] | None = None
    """Instead of these errors; None: of all that are `transient` (refusals, network, timeouts, 429, 5xx), so that
    neither a wrong request nor a bug is covered up."""


@dataclass(frozen=True, slots=True)
class FallbackSnapshot(Snapshot):
    """A fallback's live state, for people."""

    used: int
    """Answers it gave since it was built."""
    last_error: str
    """Why it did the last time; empty before the first."""


class Fallback(Pattern):
    """Answers in the place of a call that failed.

    Args:
        name, env, config, on_event: see `Pattern`.
        answer: gets the error, gives what the call would have given; what it raises is raised.
    """

    __slots__ = ("_last_error", "_used", "answer", "config")

    kind = "fallback"

    def __init__(
        self,
        name: str,
        env: Env,
        answer: Callable[[Exception], Awaitable[Any]],
        config: FallbackConfig | None = None,
        *,
        on_event: EventSink | None = None,
    ) -> None:
        super().__init__(name, env, on_event=on_event)
        self.answer = answer
        self.config = config or FallbackConfig()
        self._used = 0
        self._last_error = ""

    async def call(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run `operation`; if it fails in the way that the config names, run the fallback."""
        try:
            return await operation()
        except Exception as error:
            errors = self.config.errors
            if not (transient(error) if errors is None else isinstance(error, errors)):
                raise
            self._used += 1
            self._last_error = f"{type(error).__name__}: {error}"
            self._tell(FellBack(self.name, self._env.clock.now(), self._last_error))
            answer: T = await self.answer(error)
            return answer

    def snapshot(self) -> FallbackSnapshot:
        return FallbackSnapshot(self.name, self._used, self._last_error)

    def reset(self) -> None:
        self._used, self._last_error = 0, ""
