"""Circuit breaker: stop calling what keeps failing, and find out carefully when it works again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from hanse.core import Env
from hanse.core.errors import ConfigurationError
from hanse.resilience.errors import BreakerOpen
from hanse.resilience.events import BreakerChanged, EventSink

T = TypeVar("T")

_SPREAD = 0.2  # recovery times differ by ±20 %, so that many clients do not probe at the same instant


class BreakerState(StrEnum):
    """closed: calls pass; open: calls are refused; half_open: a few probes pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


_CLOSED = BreakerState.CLOSED


@dataclass(frozen=True, slots=True)
class BreakerConfig:
    """When a breaker opens and how it recovers."""

    failures: int = 5
    """Consecutive failures that open it (≥ 1)."""
    recovery_s: float = 1.0
    """How long it stays open the first time; doubles with every probe that fails."""
    recovery_max_s: float = 30.0
    """The longest it stays open without a probe."""
    probes: int = 1
    """Calls let through at the same time while half open (≥ 1)."""
    successes: int = 1
    """Probes that must succeed before it closes (≥ 1)."""

    def __post_init__(self) -> None:
        if min(self.failures, self.probes, self.successes) < 1 or not 0 < self.recovery_s <= self.recovery_max_s:
            raise ConfigurationError(
                f"a breaker needs failures, probes, successes ≥ 1 and 0 < recovery_s ≤ recovery_max_s, not {self}"
            )


@dataclass(frozen=True, slots=True)
class BreakerSnapshot:
    """A breaker's live state, for people."""

    name: str
    state: BreakerState
    failures: int
    """Consecutive failures so far, while closed."""
    rejected: int
    """Calls refused since it was built."""
    retry_after_s: float
    """Time until the next probe may pass; 0 unless open."""


class CircuitBreaker:
    """The three-state machine of one upstream, in one event loop.

    A call asks for a permit and reports with it how it went. A permit belongs to the period between two changes of
    state: what a call that started earlier reports is of no account, so that late answers neither close nor reopen.

        permit = breaker.acquire()      # 0: refused
        …
        breaker.success(permit)         # or failure, or abandon

    Guarantees: open, it lets nothing through for at least 0.8 × `recovery_s`; half open, at most `probes` at once.
    Source: M. Nygard, "Release It!", 2nd ed., 5.2.
    """

    __slots__ = (
        "_env", "_failed", "_generation", "_open_until", "_passed", "_probing", "_recovery_s", "_rejected",
        "config", "name", "on_event", "state",
    )  # fmt: skip

    def __init__(
        self, name: str, env: Env, config: BreakerConfig | None = None, *, on_event: EventSink | None = None
    ) -> None:
        self.name = name
        self.config = config or BreakerConfig()
        self.on_event = on_event
        self.state = _CLOSED
        self._env = env
        self._generation = 1
        self._failed = 0
        self._rejected = 0
        self._open_until = 0.0
        self._recovery_s = self.config.recovery_s
        self._probing = 0
        self._passed = 0

    def acquire(self) -> int:
        """Ask to make a call. Returns a permit to report with; 0 when the call must not be made."""
        if self.state is _CLOSED:
            return self._generation
        return self._acquire_probe()

    def admits(self) -> bool:
        """True when `acquire` would give a permit now. Changes nothing."""
        if self.state is _CLOSED:
            return True
        if self.state is BreakerState.OPEN:
            return self._env.clock.monotonic() >= self._open_until
        return self._probing < self.config.probes

    def success(self, permit: int) -> None:
        """Report that the call of this permit went well."""
        if permit == self._generation:
            if self.state is _CLOSED:
                self._failed = 0
            else:
                self._probe_passed()

    def failure(self, permit: int, reason: str = "failure") -> None:
        """Report that the call of this permit failed through the fault of what it called."""
        if permit != self._generation:
            return
        if self.state is _CLOSED:
            self._failed += 1
            if self._failed >= self.config.failures:
                self._open(f"{self._failed} failures in a row, the last: {reason}")
        else:
            self._recovery_s = min(self._recovery_s * 2, self.config.recovery_max_s)
            self._open(f"probe failed: {reason}")

    def abandon(self, permit: int) -> None:
        """Report that the call of this permit says nothing about what it called (cancelled by the caller)."""
        if permit == self._generation and self.state is BreakerState.HALF_OPEN:
            self._probing -= 1

    def trip(self, reason: str = "by hand") -> None:
        """Open it, whatever the state."""
        self._open(reason)

    def reset(self) -> None:
        """Close it and forget all failures."""
        self._recovery_s = self.config.recovery_s
        self._failed = 0
        if self.state is not _CLOSED:
            self._change(_CLOSED, "by hand")

    def snapshot(self) -> BreakerSnapshot:
        """Its state now."""
        left = self._open_until - self._env.clock.monotonic() if self.state is BreakerState.OPEN else 0.0
        return BreakerSnapshot(self.name, self.state, self._failed, self._rejected, max(left, 0.0))

    async def call(self, operation: Callable[[], Awaitable[T]], *, failed: type[Exception] = Exception) -> T:
        """Run `operation` through the breaker.

        Args:
            operation: the call.
            failed: which errors count against it; others count as success, cancellation as nothing.

        Raises:
            BreakerOpen: nothing was called.
        """
        permit = self.acquire()
        if not permit:
            raise BreakerOpen(f"{self.name} keeps failing", retry_after=self.snapshot().retry_after_s)
        try:
            result = await operation()
        except failed as error:
            self.failure(permit, type(error).__name__)
            raise
        except Exception:
            self.success(permit)
            raise
        except BaseException:
            self.abandon(permit)
            raise
        self.success(permit)
        return result

    def _acquire_probe(self) -> int:
        if self.state is BreakerState.OPEN:
            if self._env.clock.monotonic() < self._open_until:
                self._rejected += 1
                return 0
            self._probing = self._passed = 0
            self._change(BreakerState.HALF_OPEN, "recovery time is over")
        if self._probing >= self.config.probes:
            self._rejected += 1
            return 0
        self._probing += 1
        return self._generation

    def _probe_passed(self) -> None:
        self._probing -= 1
        self._passed += 1
        if self._passed >= self.config.successes:
            self._recovery_s = self.config.recovery_s
            self._failed = 0
            self._change(_CLOSED, "probes passed")

    def _open(self, reason: str) -> None:
        spread = 1 - _SPREAD + 2 * _SPREAD * self._env.random.random()
        self._open_until = self._env.clock.monotonic() + self._recovery_s * spread
        self._change(BreakerState.OPEN, reason)

    def _change(self, after: BreakerState, reason: str) -> None:
        before, self.state = self.state, after
        self._generation += 1
        if self.on_event is not None:
            self.on_event(BreakerChanged(self.name, self._env.clock.now(), before, after, reason))
