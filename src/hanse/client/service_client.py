"""`ServiceClient`: calls one service, whichever of its instances are alive."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import to_json

from hanse.client.attempt import Attempts
from hanse.client.call import Call, Upload, target_path
from hanse.client.dispatch import Dispatch
from hanse.client.options import ClientOptions
from hanse.client.places import Places
from hanse.client.pyreqwest import PyreqwestTransport
from hanse.client.response import Response
from hanse.client.snapshot import ClientSnapshot
from hanse.client.streamed import StreamedResponse
from hanse.client.targets import Targets
from hanse.client.transport import HttpTransport
from hanse.client.verbs import Verbs
from hanse.core import Component, Env, RequestContext, current
from hanse.registry import Instance, Registry, Watch
from hanse.resilience import (
    Bulkhead,
    CircuitBreaker,
    EventSink,
    Pattern,
    ResilienceEvent,
    Retry,
    RetryBudget,
    RetryPolicy,
)
from hanse.telemetry import Metrics, Tracer

_PROBLEM_BYTES = 64 * 1024


class ServiceClient(Verbs, Component):
    """A client of one service.

    What is repeated, and what is not: see `Dispatch`. All of it within the deadline, which is the caller's `timeout` or
    the deadline of the request being served, whichever is earlier, and travels to the service as
    `X-Request-Timeout-Ms`.

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
        """Gets the events of breakers, bulkhead, retries and outlier detection; may be set at any time."""
        self._env = env
        self._registry = registry
        self._identity = identity
        self._own_transport = PyreqwestTransport() if transport is None else None
        sender = transport or self._own_transport
        assert sender is not None
        self._transport = sender
        self._targets = Targets(env, service, options, self._tell)
        bulkhead = Bulkhead(service, env, options.bulkhead, on_event=self._tell)
        breaker = None
        if options.service_breaker is not None:
            breaker = CircuitBreaker(service, env, options.service_breaker, on_event=self._tell)
        self._places = Places(bulkhead, breaker, service)
        policy = RetryPolicy(options.retry + 1, options.first_pause, max_s=options.max_pause)
        self._retry = Retry(service, env, policy, budget=RetryBudget(options.budget), on_event=self._tell)
        attempts = Attempts(env, service, self._targets, options.attempt_timeout or options.timeout, tracer, metrics)
        self._dispatch = Dispatch(env, options, self._targets, attempts, self._retry)
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
        hash_key: str | None = None,
    ) -> Response:
        context = current()
        sent = self._headers(context, headers, idempotency_key)
        body = None
        if json is not None:
            body = to_json(json)
            sent.setdefault("content-type", "application/json")
        call = Call(self.service, method, target_path(path, params), body, sent)
        call.limit_bytes = self.options.limit_bytes
        call.hash_key = hash_key
        now = self._env.clock.monotonic()
        call.end = now + (self.options.timeout if timeout is None else timeout)
        if context.deadline is not None and context.deadline < call.end:
            call.end = context.deadline
        places = self._places
        permit = places.try_enter()
        if not permit:
            permit = await places.enter(call, now)
            now = self._env.clock.monotonic()
        try:
            answer = await self._dispatch.run(call, self._transport.send, now)
        except BaseException as error:
            places.failed(permit, error)
            raise
        finally:
            places.bulkhead.release()
        if places.breaker is not None:
            places.answered(permit, answer.status)
        return Response.of(call, answer)

    @asynccontextmanager
    async def stream(  # noqa: PLR0913 - the options of a call, spelled out once
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | AsyncIterable[bytes] | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        idempotency_key: str | None = None,
        hash_key: str | None = None,
        idle_timeout: float | None = None,
    ) -> AsyncIterator[StreamedResponse]:
        context = current()
        sent = self._headers(context, {"accept": "*/*", **(headers or {})}, idempotency_key)
        body = content if isinstance(content, bytes) or content is None else Upload(content)
        if json is not None:
            body = to_json(json)
            sent.setdefault("content-type", "application/json")
        call = Call(self.service, method, target_path(path, params), body, sent)
        call.hash_key = hash_key
        call.tells_time = context.deadline is not None
        now = self._env.clock.monotonic()
        call.end = now + (self.options.timeout if timeout is None else timeout)
        if context.deadline is not None and context.deadline < call.end:
            call.end = context.deadline
        places = self._places
        permit = places.try_enter()
        if not permit:
            permit = await places.enter(call, now)
            now = self._env.clock.monotonic()
        try:
            stream = await self._dispatch.run(call, self._transport.open, now)
        except BaseException as error:
            places.failed(permit, error)
            places.bulkhead.release()
            raise
        places.answered(permit, stream.status)
        try:
            answer = StreamedResponse(stream, call, self._env.clock, idle_timeout, context.deadline)
            if not 200 <= answer.status < 300:
                (await answer.read(_PROBLEM_BYTES)).raise_for_status()
            yield answer
        finally:
            places.bulkhead.release()
            await stream.close()

    def snapshot(self) -> ClientSnapshot:
        """The live state."""
        bulkhead, breaker, budget = self._places.bulkhead, self._places.breaker, self._retry.budget
        return ClientSnapshot(
            self.service,
            bulkhead.snapshot(),
            self._targets.snapshot(),
            None if breaker is None else breaker.snapshot(),
            self._retry.retried,
            0.0 if budget is None else budget.balance,
        )

    def patterns(self) -> list[Pattern]:
        """The live patterns, to be seen and steered: bulkhead, retry and breaker named after the service, and the
        breakers of its instances, as they are now, named `service/instance`."""
        own: list[Pattern] = [self._places.bulkhead, self._retry]
        if self._places.breaker is not None:
            own.append(self._places.breaker)
        return own + self._targets.breakers()

    def _headers(
        self, context: RequestContext, given: Mapping[str, str] | None, idempotency_key: str | None
    ) -> dict[str, str]:
        headers = {"accept": "application/json"}
        if context.principal is not None and context.principal.token:
            headers["authorization"] = f"Bearer {context.principal.token}"
        if given:
            for name, value in given.items():
                headers[name.lower()] = value
        headers["x-correlation-id"] = context.correlation_id or f"call_{self._env.random.getrandbits(128):032x}"
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        if self._identity is not None and (token := self._identity()):
            headers["x-service-authorization"] = f"Bearer {token}"
        return headers

    def _changed(self, instances: dict[str, tuple[Instance, ...]]) -> None:
        self._targets.update(instances.get(self.service, ()))

    def _tell(self, event: ResilienceEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)
