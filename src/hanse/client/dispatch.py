"""The way of a call through its attempts: which instance, what is repeated, when it is given up."""

import asyncio
from typing import Generic

from hanse.client.attempt import Answer, Attempts, Send
from hanse.client.call import REPEATABLE_STATUS, Call, retry_after_s
from hanse.client.options import ClientOptions
from hanse.client.targets import Target, Targets
from hanse.client.transport import AnswerTooLarge, HttpResponse, HttpStream, TransportFailure
from hanse.core import Env
from hanse.resilience import Hedged, Retry

_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500


class Dispatch:
    """Carries the calls of one client out.

    Repeated are: what was certainly not sent, on another instance at once, else after a pause; without an answer or
    with 502, 503, 504 only idempotent methods and calls with an idempotency key; 429 if it says when to come again.

    Args:
        env: clock and tasks.
        options: limits.
        targets: whom to send to.
        attempts: how to send.
        retry: how often and how slowly to repeat; its sink hears of hedges, too.
    """

    def __init__(self, env: Env, options: ClientOptions, targets: Targets, attempts: Attempts, retry: Retry) -> None:
        self._env = env
        self._monotonic = env.clock.monotonic
        self._limit_s = options.attempt_timeout
        self._hedge_s = options.hedge_after
        self._max_pause = options.max_pause
        self._targets = targets
        self._attempts = attempts
        self._retry = retry

    async def run(self, call: Call, send: Send[Answer], now: float) -> Answer:
        """Send `call` until it is answered.

        Args:
            call: with its end.
            send: how.
            now: on the monotonic clock.

        Returns: the answer that counts, of any status; `call` says who gave it.

        Raises:
            Unreachable, Unanswered, TimedOut, ResponseTooLarge: there is none.
        """
        retry, limit_s, targets = self._retry, self._limit_s, self._targets
        if retry.budget is not None:
            retry.budget.deposit()
        while True:
            left_s = call.end - now
            if left_s <= 0:
                raise call.error("the deadline has passed", timed_out=True)
            target, permit = targets.choose(call.tried, now, call.hash_key)
            if target is None:
                pause = self._plan(call, "no instance is alive" if not len(targets) else "all its breakers are open")
            else:
                call.attempts += 1
                allowed_s = left_s if limit_s is None or left_s < limit_s else limit_s
                if self._hedge_s is None or not call.repeatable or not call.tells_time or self._hedge_s >= allowed_s:
                    outcome = await self._attempts.make(call, target, permit, allowed_s, send)
                else:
                    race = _Race(self, call, send, allowed_s)
                    outcome, target = await race.run(target, permit, self._hedge_s)
                if isinstance(outcome, TransportFailure):
                    call.failed(target, outcome)
                    pause = self._after_failure(call, outcome)
                else:
                    call.answered_by = target.id
                    again = self._after_answer(call, outcome) if outcome.status >= _TOO_MANY_REQUESTS else None
                    if again is None:
                        return outcome
                    call.tried.append(target)
                    if isinstance(outcome, HttpStream):
                        await outcome.close()
                    pause = again
            if pause > 0:
                await self._env.clock.sleep(pause)
            now = self._monotonic()

    def second(self, call: Call, tried: list[Target]) -> tuple[Target | None, int]:
        """Another instance for a hedge, if there is one and the budget allows it."""
        if not self._targets.another(tried) or (self._retry.budget is not None and not self._retry.budget.withdraw()):
            return None, 0
        found = self._targets.choose(tried, self._monotonic(), call.hash_key)
        if found[0] is not None and self._retry.on_event is not None:
            self._retry.on_event(Hedged(self._retry.name, self._env.clock.now(), call.attempts))
        return found

    def _after_failure(self, call: Call, failure: TransportFailure) -> float:
        """The pause before the next attempt; raises when there is none."""
        if isinstance(failure, AnswerTooLarge):
            raise call.too_large() from failure
        if not call.replayable:
            raise call.error(failure.reason, timed_out=failure.timed_out) from failure
        if not failure.sent and self._targets.another(call.tried):
            return 0.0
        if failure.sent and not call.repeatable:
            raise call.error(failure.reason, timed_out=failure.timed_out) from failure
        return self._plan(call, failure.reason, failure)

    def _plan(self, call: Call, reason: str, failure: TransportFailure | None = None) -> float:
        left_s = call.end - self._monotonic()
        call.rounds += 1
        pause = self._retry.plan(call.rounds, reason, left_s=left_s)
        if pause is None:
            raise call.error(reason, timed_out=failure is not None and failure.timed_out) from failure
        return pause

    def _after_answer(self, call: Call, answer: HttpResponse | HttpStream) -> float | None:
        """The pause before the next attempt; None when this answer is the one to give."""
        if not call.replayable:
            return None
        wanted_s = retry_after_s(answer.headers, self._env.clock.now())
        if answer.status == _TOO_MANY_REQUESTS:
            if wanted_s is None:
                return None
        elif answer.status not in REPEATABLE_STATUS or not call.repeatable:
            return None
        if wanted_s is not None and wanted_s > self._max_pause:
            return None
        left_s = call.end - self._monotonic()
        call.rounds += 1
        return self._retry.plan(call.rounds, f"status {answer.status}", left_s=left_s, at_least_s=wanted_s or 0.0)


class _Race(Generic[Answer]):
    """An attempt that gets company when it takes long: the first good answer counts, the other attempt is given up.

    Source: J. Dean, L. A. Barroso, "The Tail at Scale", CACM 56(2), 2013: hedged requests.
    """

    def __init__(self, dispatch: Dispatch, call: Call, send: Send[Answer], allowed_s: float) -> None:
        self._dispatch = dispatch
        self._call = call
        self._send: Send[Answer] = send
        self._end = dispatch._monotonic() + allowed_s
        self._runners: dict[asyncio.Task[Answer | TransportFailure], Target] = {}

    async def run(self, target: Target, permit: int, after_s: float) -> tuple[Answer | TransportFailure, Target]:
        """The outcome that counts, and whose it is. Both attempts have ended, or been cancelled, when it returns."""
        scope, clock = self._dispatch._env.scope, self._dispatch._env.clock
        first = self._enter(target, permit)
        timer = scope.spawn(clock.sleep(after_s), name="hedge timer")
        try:
            await asyncio.wait((first, timer), return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                tried = [*self._call.tried, target]
                other, permit = self._dispatch.second(self._call, tried)
                if other is not None:
                    self._call.attempts += 1
                    self._enter(other, permit)
            return await self._best()
        finally:
            timer.cancel()
            for task in self._runners:
                task.cancel()

    def _enter(self, target: Target, permit: int) -> asyncio.Task[Answer | TransportFailure]:
        left_s = max(self._end - self._dispatch._monotonic(), 0.001)
        attempt = self._dispatch._attempts.make(self._call, target, permit, left_s, self._send)
        task = self._dispatch._env.scope.spawn(attempt, name=f"attempt {target.id}")
        self._runners[task] = target
        return task

    async def _best(self) -> tuple[Answer | TransportFailure, Target]:
        """The first good outcome; without one the last."""
        running = list(self._runners)
        while True:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task.done()]:
                running.remove(task)
                outcome = task.result()
                good = not isinstance(outcome, TransportFailure) and outcome.status < _SERVER_ERROR
                if good or not running:
                    return outcome, self._runners[task]
                if isinstance(outcome, TransportFailure):
                    self._call.failed(self._runners[task], outcome)
