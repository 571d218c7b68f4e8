"""All patterns of a process, so that people can see and steer them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeVar

from hanse.core import Env
from hanse.core.errors import ConfigurationError, InvalidInput, NotFound
from hanse.resilience.breaker import CircuitBreaker
from hanse.resilience.breaker_config import BreakerConfig
from hanse.resilience.events import EventSink
from hanse.resilience.pattern import Pattern
from hanse.resilience.pipeline import Pipeline

PatternT = TypeVar("PatternT", bound=Pattern)
Source = Callable[[], Iterable[Pattern]]


class ResilienceRegistry:
    """Live patterns by kind and name.

    What is there for the whole life of a process is added once; who has patterns that come and go (a client with a
    breaker per instance) adds itself as a source, which is asked each time. A pipeline stands for its patterns.

    Args:
        env: for the breakers that it makes itself.
        on_event: gets their events.
    """

    def __init__(self, env: Env, *, on_event: EventSink | None = None) -> None:
        self._env = env
        self._on_event = on_event
        self._patterns: dict[tuple[str, str], Pattern] = {}
        self._sources: list[Source] = []

    def add(self, pattern: PatternT) -> PatternT:
        """Show `pattern` from now on; returns it.

        Raises:
            ConfigurationError: there is another one of that kind and name.
        """
        key = (pattern.kind, pattern.name)
        if self._patterns.setdefault(key, pattern) is not pattern:
            raise ConfigurationError(f"there are two patterns of kind {pattern.kind} called {pattern.name}")
        return pattern

    def remove(self, pattern: Pattern) -> None:
        """Show it no longer. Idempotent."""
        if self._patterns.get((pattern.kind, pattern.name)) is pattern:
            del self._patterns[pattern.kind, pattern.name]

    def add_source(self, source: Source) -> None:
        """Show what `source()` gives at the time of asking."""
        self._sources.append(source)

    def remove_source(self, source: Source) -> None:
        """Idempotent."""
        if source in self._sources:
            self._sources.remove(source)

    def breaker(self, name: str, config: BreakerConfig | None = None) -> CircuitBreaker:
        """The breaker called `name`; made with `config` when it is asked for the first time."""
        found = self._patterns.get((CircuitBreaker.kind, name))
        if isinstance(found, CircuitBreaker):
            return found
        return self.add(CircuitBreaker(name, self._env, config, on_event=self._on_event))

    def list(self, kind: str | None = None) -> tuple[Pattern, ...]:
        """All patterns, or those of one kind, ordered by kind and name."""
        given = [*self._patterns.values(), *(pattern for source in self._sources for pattern in source())]
        found = dict[tuple[str, str], Pattern]()
        for pattern in given:
            for part in pattern.patterns if isinstance(pattern, Pipeline) else (pattern,):
                if kind is None or part.kind == kind:
                    found.setdefault((part.kind, part.name), part)
        return tuple(found[key] for key in sorted(found))

    def find(self, name: str, kind: str | None = None) -> tuple[Pattern, ...]:
        """The patterns called `name`, of one kind or of all.

        Raises:
            NotFound: there is none.
        """
        found = tuple(pattern for pattern in self.list(kind) if pattern.name == name)
        if not found:
            raise NotFound(f"there is no {kind or 'pattern'} called {name}")
        return found

    def snapshot(self, kind: str | None = None) -> Sequence[dict[str, Any]]:
        """The state of all patterns as JSON-compatible objects with `kind` and `name`."""
        return [{"kind": pattern.kind, **pattern.snapshot().as_json()} for pattern in self.list(kind)]

    def reset(self, name: str, kind: str | None = None) -> tuple[Pattern, ...]:
        """Reset what is called `name`; returns it. Raises as `find` does."""
        found = self.find(name, kind)
        for pattern in found:
            pattern.reset()
        return found

    def reset_all(self, kind: str | None = None) -> None:
        """Reset everything, or everything of one kind."""
        for pattern in self.list(kind):
            pattern.reset()

    def force(self, name: str, state: Literal["open", "closed"]) -> CircuitBreaker:
        """Hold the breaker called `name` in a state until it is reset; returns it.

        Raises:
            NotFound: there is no breaker of that name.
            InvalidInput: a breaker can't be held in that state.
        """
        if state not in ("open", "closed"):
            raise InvalidInput(f'a breaker can be forced "open" or "closed", not "{state}"')
        [breaker] = self.find(name, CircuitBreaker.kind)
        assert isinstance(breaker, CircuitBreaker)
        if state == "open":
            breaker.force_open()
        else:
            breaker.force_closed()
        return breaker
