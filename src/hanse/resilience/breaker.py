"""Circuit breaker: stop calling what keeps failing, and find out carefully when it works again."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf, isinf
from types import TracebackType
from typing import Any, TypeVar

from hanse.core import Env
from hanse.core.errors import DeadlineExceeded
from hanse.resilience.breaker_config import BreakerConfig, BreakerSnapshot, BreakerState
from hanse.resilience.errors import BreakerOpen, Refusal
from hanse.resilience.events import BreakerChanged, CallRejected, CallTimedOut, EventSink
from hanse.resilience.pattern import Pattern
from hanse.resilience.rolling import RollingWindow
from hanse.resilience.verdict import Verdict, upstream_at_fault

T = TypeVar("T")

_SPREAD = 0.2  # recovery times differ by ±20 %, so that many clients do not probe at the same instant
_CLOSED = BreakerState.CLOSED


class CircuitBreaker(Pattern):
    """The three-state machine of one upstream, in one event loop.

    A call asks for a permit and reports with it how it went. A permit belongs to the period between two changes of
    state: what a call that started earlier reports is of no account, so that late answers neither close nor reopen.

        permit = breaker.acquire()      # 0: refused
        …
        breaker.success(permit)         # or failure, or abandon

    Args:
        name, env, config, on_event: see `Pattern`.
        failed: which errors count as failures; others count as success, refusals by another pattern and cancellation
            as nothing. None: those that don't blame the caller.
        fallback: answers instead of an error that `call` would raise, be it a refusal or a failure that counts.

    Guarantees: open, it lets nothing through for at least 0.8 × `recovery_timeout_s`; half open, at most
    `half_open_probes` at once.
    Source: M. Nygard, "Release It!", 2nd ed., 5.2; the rolling window is that of Netflix' Hystrix.
    """

    __slots__ = (
        "_bounded", "_failed", "_fallback", "_forced", "_generation", "_monotonic", "_open_until", "_passed",
        "_probing", "_recovery_s", "_rejected", "_watched", "_window", "config", "failed", "state",
    )  # fmt: skip

    kind = "breaker"

    def __init__(
        self,
        name: str,
        env: Env,
        config: BreakerConfig | None = None,
        *,
        failed: Verdict | None = None,
        fallback: Callable[[Exception], Awaitable[Any]] | None = None,
        on_event: EventSink | None = None,
    ) -> None:
        super().__init__(name, env, on_event=on_event)
        self.config = config or BreakerConfig()
        self.failed = failed or upstream_at_fault
        self._fallback = fallback
        self.state = _CLOSED
        self._monotonic = env.clock.monotonic
        self._generation = 1
        self._failed = 0
        self._rejected = 0
        self._open_until = 0.0
        self._recovery_s = self.config.recovery_timeout_s
        self._probing = 0
        self._passed = 0
        self._forced = False
        self._bounded = self.config.timeout_s is not None or self.config.slow_call_s is not None
        self._watched = self._bounded or fallback is not None
        self._window = self._new_window()

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
            return self._monotonic() >= self._open_until
        return self._probing < self.config.half_open_probes

    def success(self, permit: int, took_s: float = 0.0) -> None:
        """Report that the call of this permit went well, and how long it took if `slow_call_s` is to apply."""
        if permit != self._generation:
            return
        if self._bounded and self.config.slow_call_s is not None and took_s > self.config.slow_call_s:
            self.failure(permit, f"slow: {took_s:.3f} s")
        elif self.state is _CLOSED:
            self._failed = 0
            window = self._window
            if window is not None:
                now = self._monotonic()
                if now >= window.end:
                    window.advance(now)
                window.fresh_calls += 1
        else:
            self._probe_passed()

    def failure(self, permit: int, reason: str = "failure") -> None:
        """Report that the call of this permit failed through the fault of what it called."""
        if permit != self._generation:
            return
        if self.state is _CLOSED:
            self._failed += 1
            share = self._count_failure()
            if self._forced:
                return
            if 0 < self.config.failure_threshold <= self._failed:
                self._open(f"{self._failed} failures in a row, the last: {reason}")
            elif share:
                self._open(f"{share:.0f} % of the calls failed, the last: {reason}")
        else:
            self._recovery_s = min(self._recovery_s * 2, self.config.recovery_timeout_max_s)
            self._open(f"probe failed: {reason}")

    def abandon(self, permit: int) -> None:
        """Report that the call of this permit says nothing about what it called (cancelled by the caller)."""
        if permit == self._generation and self.state is BreakerState.HALF_OPEN:
            self._probing -= 1

    def trip(self, reason: str = "by hand") -> None:
        """Open it, whatever the state; it recovers as after failures."""
        self._open(reason)

    def force_open(self, reason: str = "forced by hand") -> None:
        """Refuse everything until `reset`."""
        self._open(reason)
        self._forced, self._open_until = True, inf

    def force_closed(self, reason: str = "forced by hand") -> None:
        """Let everything through until `reset`, whatever fails."""
        if self.state is not _CLOSED:
            self._close(reason)
        self._forced = True

    def reset(self) -> None:
        """Close it, forget all failures, end a forced state."""
        self._forced = False
        if self.state is _CLOSED:
            self._failed, self._window = 0, self._new_window()
        else:
            self._close("by hand")

    def snapshot(self) -> BreakerSnapshot:
        now = self._monotonic()
        left = self._open_until - now if self.state is BreakerState.OPEN else 0.0
        calls, errors = (0, 0) if self._window is None else self._window.counts(now)
        return BreakerSnapshot(
            self.name,
            self.state,
            self._failed,
            self._rejected,
            self.config.recovery_timeout_max_s if isinf(left) else max(left, 0.0),
            calls,
            errors,
            100 * errors / calls if calls else 0.0,
            self._forced,
        )

    def refuse(self) -> BreakerOpen:
        """Tell that a call got no permit; returns the error to raise."""
        if self.on_event is not None:
            self.on_event(CallRejected(self.name, self._env.clock.now(), f"the breaker is {self.state}"))
        return BreakerOpen(f"{self.name} keeps failing", retry_after=self.snapshot().retry_after_s)

    def guard(self) -> "Watched":
        """Make one call inside `async with`; raises BreakerOpen instead of entering, DeadlineExceeded when cut off."""
        return Watched(self, self.failed)

    async def call(
        self, operation: Callable[[], Awaitable[T]], *, failed: type[Exception] | Verdict | None = None
    ) -> T:
        """Run `operation` through the breaker.

        Args:
            operation: the call.
            failed: which errors count against it, for this call; None: as the breaker was told.

        Raises:
            BreakerOpen: nothing was called.
            DeadlineExceeded: it took longer than `timeout_s`.
        """
        if self._watched or failed is not None:
            return await self._call_watched(operation, failed)
        if self.state is not _CLOSED:
            return await self._call_watched(operation, None)
        permit = self._generation
        try:
            result = await operation()
        except BaseException as error:
            self.ended(permit, error, self.failed)
            raise
        if permit == self._generation:  # still closed: what `success` does, without the cost of a call
            self._failed = 0
            if self._window is not None:
                window, now = self._window, self._monotonic()
                if now >= window.end:
                    window.advance(now)
                window.fresh_calls += 1
        return result

    def ended(self, permit: int, error: BaseException, failed: Verdict) -> None:
        """Report that the call of this permit ended with `error`."""
        if isinstance(error, Refusal) or not isinstance(error, Exception):
            self.abandon(permit)
        elif failed(error):
            self.failure(permit, type(error).__name__)
        else:
            self.success(permit)

    async def _call_watched(self, operation: Callable[[], Awaitable[T]], failed: type[Exception] | Verdict | None) -> T:
        counts = _instances_of(failed) if isinstance(failed, type) else failed or self.failed
        try:
            async with Watched(self, counts):
                return await operation()
        except Exception as error:
            if self._fallback is None or not (isinstance(error, Refusal) or counts(error)):
                raise
            answer: T = await self._fallback(error)
            return answer

    def _acquire_probe(self) -> int:
        if self.state is BreakerState.OPEN:
            if self._monotonic() < self._open_until:
                self._rejected += 1
                return 0
            self._probing = self._passed = 0
            self._change(BreakerState.HALF_OPEN, "recovery time is over")
        if self._probing >= self.config.half_open_probes:
            self._rejected += 1
            return 0
        self._probing += 1
        return self._generation

    def _probe_passed(self) -> None:
        self._probing -= 1
        self._passed += 1
        if self._passed >= self.config.success_threshold:
            self._close("probes passed")

    def _count_failure(self) -> float:
        """Count it in the window; the share of failures if it is one that opens the breaker, else 0."""
        window, config = self._window, self.config
        if window is None:
            return 0.0
        calls, errors = window.counts(self._monotonic())
        window.fresh_calls += 1
        window.fresh_failures += 1
        share = 100 * (errors + 1) / (calls + 1)
        return share if calls + 1 >= config.request_volume_threshold and share >= config.error_percentage else 0.0

    def _new_window(self) -> RollingWindow | None:
        config = self.config
        if not config.error_percentage:
            return None
        return RollingWindow(config.rolling_window_s, config.rolling_buckets, self._monotonic())

    def _open(self, reason: str) -> None:
        spread = 1 - _SPREAD + 2 * _SPREAD * self._env.random.random()
        self._open_until = self._monotonic() + self._recovery_s * spread
        self._forced = False
        self._change(BreakerState.OPEN, reason)

    def _close(self, reason: str) -> None:
        self._recovery_s = self.config.recovery_timeout_s
        self._failed, self._window = 0, self._new_window()
        self._change(_CLOSED, reason)

    def _change(self, after: BreakerState, reason: str) -> None:
        before, self.state = self.state, after
        self._generation += 1
        if self.on_event is not None:
            self.on_event(BreakerChanged(self.name, self._env.clock.now(), before, after, reason))


class Watched:
    """One call through a breaker, timed."""

    __slots__ = ("_began", "_breaker", "_counts", "_limit", "_permit")

    def __init__(self, breaker: CircuitBreaker, counts: Verdict) -> None:
        self._breaker = breaker
        self._counts = counts
        self._permit = 0
        self._began = 0.0
        self._limit: asyncio.Timeout | None = None

    async def __aenter__(self) -> None:
        breaker = self._breaker
        self._permit = breaker.acquire()
        if not self._permit:
            raise breaker.refuse()
        if not breaker._bounded:
            return
        self._began = breaker._monotonic()
        if breaker.config.timeout_s is not None:
            self._limit = asyncio.timeout(breaker.config.timeout_s)
            await self._limit.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        breaker = self._breaker
        try:
            if self._limit is not None:
                await self._limit.__aexit__(kind, error, trace)
        except TimeoutError:
            took_s = breaker._monotonic() - self._began
            breaker.failure(self._permit, "timeout")
            breaker._tell(CallTimedOut(breaker.name, breaker._env.clock.now(), took_s))
            raise DeadlineExceeded(f"{breaker.name} did not answer within {breaker.config.timeout_s} s") from error
        if error is None:
            breaker.success(self._permit, breaker._monotonic() - self._began if breaker._bounded else 0.0)
        else:
            breaker.ended(self._permit, error, self._counts)


def _instances_of(kind: type[Exception]) -> Verdict:
    return lambda error: isinstance(error, kind)
