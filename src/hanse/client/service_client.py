"""`ServiceClient`: calls one service, whichever of its instances are alive."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_json

from hanse.client.attempt import Attempts
from hanse.client.call import REPEATABLE_STATUS, Call, retry_after_s, target_path
from hanse.client.options import ClientOptions
from hanse.client.pyreqwest import PyreqwestTransport
from hanse.client.response import Response
from hanse.client.targets import Targets, TargetSnapshot
from hanse.client.transport import HttpResponse, HttpTransport, TransportFailure
from hanse.client.verbs import Verbs
from hanse.core import Component, Env, RequestContext, current
from hanse.registry import Instance, Registry, Watch
from hanse.resilience import (
    Bulkhead,
    BulkheadFull,
    BulkheadSnapshot,
    EventSink,
    ResilienceEvent,
    Retry,
    RetryBudget,
    RetryPolicy,
)
from hanse.telemetry import Metrics, Tracer

_TOO_MANY_REQUESTS = 429


class ServiceClient(Verbs, Component):
    """A client of one service.

    Repeated are: what was certainly not sent, on another instance at once, else after a pause; without an answer or
    with 502, 503, 504 only idempotent methods and calls with an idempotency key; 429 if it says when to come again.
    All of it within the deadline, which is the caller's `timeout` or the deadline of the request being served,
    whichever is earlier, and travels to the service as `X-Request-Timeout-Ms`.

    Args:
        env: the node's seams.
        service: name in the registry.
        registry: started; pushes the instances.
        options: timeouts, retries, limits.
        tracer, metrics: tell about each attempt.
        identity: gives the token that proves which service is calling; asked for each call.
        transport: shared and started by the caller; None: one of its own.
    """

    def __init__(
        self,
        env: Env,
        service: str,
        registry: Registry,
        options: ClientOptions | None = None,
        *,
        tracer: Tracer | None = None,
        metrics: Metrics | None = None,
        identity: Callable[[], str | None] | None = None,
        transport: HttpTransport | None = None,
    ) -> None:
        super().__init__()
        self.name = f"client/{service}"
        self.service = service
        self.options = options = options or ClientOptions()
        self.on_event: EventSink | None = None
        """Gets the events of breakers, bulkhead and retries; may be set at any time."""
        self._env = env
        self._registry = registry
        self._identity = identity
        self._own_transport = PyreqwestTransport() if transport is None else None
        self._targets = Targets(env, service, options.breaker, self._tell)
        self._bulkhead = Bulkhead(service, env, options.bulkhead, on_event=self._tell)
        policy = RetryPolicy(options.retry + 1, options.first_pause, max_s=options.max_pause)
        self._retry = Retry(service, env, policy, budget=RetryBudget(options.budget), on_event=self._tell)
        self._attempt_s = options.attempt_timeout or options.timeout
        sender = transport or self._own_transport
        assert sender is not None
        self._attempts = Attempts(env, service, sender, self._attempt_s, tracer, metrics)
        self._watch: Watch | None = None

    async def start(self) -> None:
        if self._own_transport is not None:
            await self._own_transport.start()
        if self._watch is None:
            self._watch = await self._registry.watch(self.service, self._changed)

    async def ready(self) -> str | None:
        return None if self._watch is not None else "not started"

    async def stop(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            await watch.stop()
        if self._own_transport is not None:
            await self._own_transport.stop()

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
    ) -> Response:
        context = current()
        sent = self._headers(context, headers, idempotency_key)
        body = None
        if json is not None:
            body = to_json(json)
            sent.setdefault("content-type", "application/json")
        call = Call(self.service, method, target_path(path, params), body, sent)
        now = self._env.clock.monotonic()
        call.end = now + (self.options.timeout if timeout is None else timeout)
        if context.deadline is not None and context.deadline < call.end:
            call.end = context.deadline
        if not self._bulkhead.try_acquire():
            await self._wait_for_place(call, now)
        try:
            return await self._run(call)
        finally:
            self._bulkhead.release()

    def snapshot(self) -> tuple[BulkheadSnapshot, list[TargetSnapshot]]:
        """The live state: places in use, and each instance with its breaker."""
        return self._bulkhead.snapshot(), self._targets.snapshot()

    async def _run(self, call: Call) -> Response:
        retry, clock, limit_s = self._retry, self._env.clock, self.options.attempt_timeout
        if retry.budget is not None:
            retry.budget.deposit()
        while True:
            left_s = call.end - clock.monotonic()
            if left_s <= 0:
                raise call.error("the deadline has passed", timed_out=True)
            target, permit = self._targets.choose(call.tried)
            if target is None:
                pause = self._plan(
                    call, "no instance is alive" if not len(self._targets) else "all its breakers are open"
                )
            else:
                call.attempts += 1
                allowed_s = left_s if limit_s is None or left_s < limit_s else limit_s
                outcome = await self._attempts.make(call, target, permit, allowed_s)
                if isinstance(outcome, TransportFailure):
                    call.failed(target, outcome)
                    pause = self._after_failure(call, outcome)
                else:
                    again = self._after_answer(call, outcome) if outcome.status >= _TOO_MANY_REQUESTS else None
                    if again is None:
                        return Response(
                            outcome.status, outcome.headers, outcome.body, self.service, target.id, call.attempts
                        )
                    call.tried.append(target)
                    pause = again
            if pause > 0:
                await clock.sleep(pause)

    def _after_failure(self, call: Call, failure: TransportFailure) -> float:
        """The pause before the next attempt; raises when there is none."""
        if not failure.sent and self._targets.another(call.tried):
            return 0.0
        if failure.sent and not call.repeatable:
            raise call.error(failure.reason, timed_out=failure.timed_out) from failure
        return self._plan(call, failure.reason, failure)

    def _plan(self, call: Call, reason: str, failure: TransportFailure | None = None) -> float:
        left_s = call.end - self._env.clock.monotonic()
        call.rounds += 1
        pause = self._retry.plan(call.rounds, reason, left_s=left_s)
        if pause is None:
            raise call.error(reason, timed_out=failure is not None and failure.timed_out) from failure
        return pause

    def _after_answer(self, call: Call, answer: HttpResponse) -> float | None:
        """The pause before the next attempt; None when this answer is the one to give."""
        wanted_s = retry_after_s(answer.headers, self._env.clock.now())
        if answer.status == _TOO_MANY_REQUESTS:
            if wanted_s is None:
                return None
        elif answer.status not in REPEATABLE_STATUS or not call.repeatable:
            return None
        if wanted_s is not None and wanted_s > self.options.max_pause:
            return None
        left_s = call.end - self._env.clock.monotonic()
        call.rounds += 1
        return self._retry.plan(call.rounds, f"status {answer.status}", left_s=left_s, at_least_s=wanted_s or 0.0)

    def _headers(
        self, context: RequestContext, given: Mapping[str, str] | None, idempotency_key: str | None
    ) -> dict[str, str]:
        headers = {"accept": "application/json"}
        if context.principal is not None and context.principal.token:
            headers["authorization"] = f"Bearer {context.principal.token}"
        if given:
            for name, value in given.items():
                headers[name.lower()] = value
        headers["x-correlation-id"] = context.correlation_id or self._env.ids.new("call")
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        if self._identity is not None and (token := self._identity()):
            headers["x-service-authorization"] = f"Bearer {token}"
        return headers

    async def _wait_for_place(self, call: Call, now: float) -> None:
        try:
            await self._bulkhead.acquire(max(call.end - now, 0.0))
        except BulkheadFull as error:
            error.details.update(service=self.service, attempts=0)
            raise

    def _changed(self, instances: dict[str, tuple[Instance, ...]]) -> None:
        self._targets.update(instances.get(self.service, ()))

    def _tell(self, event: ResilienceEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)
