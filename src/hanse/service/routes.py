"""`Router` and the route classes: FastAPI's, with what Hanse adds to a route."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import orjson
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from hanse.core.errors import ConfigurationError, InvalidInput
from hanse.durable import Answered, StoredResponse
from hanse.resilience import Priority
from hanse.service.access import guards
from hanse.service.dependencies import caller, maybe_user, node_of, session
from hanse.service.exchange import route_of
from hanse.service.shedding import route_priority

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
Handle = Callable[[Request], Coroutine[Any, Any, Response]]

_MAX_KEY = 255
_REPLAYED = ("content-type", "location", "etag")


class JsonRequest(Request):
    """A request whose JSON is read strictly: no NaN, no broken UTF-8, no lone surrogates (RFC 8259)."""

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            self._json = orjson.loads(await self.body())
        return self._json


def _strict(request: Request) -> JsonRequest:
    if isinstance(request, JsonRequest):
        return request
    return JsonRequest(request.scope, request.receive, request._send)


class ServiceRoute(APIRoute):
    """A route of a `Service`."""

    priority: Priority = Priority.NORMAL
    """Its class when load is shed."""

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def strict(request: Request) -> Response:
            return await handle(_strict(request))

        return strict


class IdempotentRoute(ServiceRoute):
    """A route that answers a repeated `Idempotency-Key` with the first answer.

    Claim, work and answer are one transaction, the one of the handler's `Session`: a handler that fails leaves no
    claim behind. The claim is that transaction's first statement, so a handler that calls other services before it
    touches its `Session` holds no lock meanwhile. A concurrent repetition waits for the first one; on another replica
    it may get as far as its first statement, which then ends it. A key counts per route and per user; with another
    body it is refused with 422. Without the header nothing is remembered.

    Source: IETF draft "The Idempotency-Key HTTP Header Field".
    """

    def get_route_handler(self) -> Handle:
        handle = super().get_route_handler()

        async def once(received: Request) -> Response:
            key = received.headers.get("idempotency-key")
            if key is None:
                return await handle(received)
            if not key or len(key) > _MAX_KEY or not key.isprintable():
                raise InvalidInput(f"Idempotency-Key must be 1 to {_MAX_KEY} printable characters")
            durable = node_of(received).parts.durable
            if durable is None:
                raise ConfigurationError("a route with idempotent=True needs a database: set HANSE_DATABASE_URL")
            request = _strict(received)  # the one whose body is read here, so that the handler can read it again
            scope = await _scope(request)
            fingerprint = await _fingerprint(request)
            keys = durable.idempotency
            # The turn ends with the transaction: FastAPI closes this stack after the handler, last in, first out.
            stack: AsyncExitStack = request.scope["fastapi_function_astack"]
            await stack.enter_async_context(keys.turn(scope, key))
            if (stored := await keys.stored(scope, key, fingerprint)) is not None:
                return _replay(stored)
            db = await session(request)
            keys.claim_at_begin(db, scope, key, fingerprint)
            try:
                response = await handle(request)
                await keys.finish(db, scope, key, _kept(response, scope))
            except Answered as answered:
                await db.rollback()
                return _replay(answered.response)
            return response

        return once


def _replay(stored: StoredResponse) -> Response:
    return Response(stored.body, stored.status, {**stored.headers, "idempotent-replayed": "true"})


def _kept(response: Response, scope: str) -> StoredResponse:
    """What of a response is kept for its key."""
    body = getattr(response, "body", None)
    if not isinstance(body, bytes):
        raise ConfigurationError(f"{scope}: a streamed response can't be kept for its idempotency key")
    headers = {header: value for header, value in response.headers.items() if header in _REPLAYED}
    return StoredResponse(response.status_code, body, headers)


class Routes(ABC):
    """The decorators of `Service` and `Router`: FastAPI's, with six more options.

    idempotent: answer a repeated `Idempotency-Key` with the first answer; for methods that change something.
    auth: a signed-in user is needed (401).
    scope, role: that user must have it (403).
    internal: only services of the system may call it (401, 403); never route it through a gateway.
    priority: what is refused first when there are too many requests: "low", "normal" (default), "high"; "critical" is
        never refused, for administration and other probes.
    Everything else is FastAPI's own (`status_code`, `response_model`, `tags`, …).
    """

    @abstractmethod
    def _target(self) -> APIRouter:
        """Where routes are added."""

    def _add(
        self,
        methods: Sequence[str],
        path: str,
        *,
        idempotent: bool = False,
        scope: str | None = None,
        role: str | None = None,
        auth: bool = False,
        internal: bool = False,
        **options: Any,
    ) -> Callable[[Endpoint], Endpoint]:
        if idempotent and set(methods) <= {"GET", "HEAD"}:
            raise ConfigurationError(f"{path}: GET is idempotent by itself, leave idempotent=True away")
        before = guards(auth=auth, scope=scope, role=role, internal=internal)
        dependencies = [*before, *(options.pop("dependencies", None) or ())]
        kind = IdempotentRoute if idempotent else ServiceRoute
        priority = route_priority(options.pop("priority", "normal"), path)

        def add(endpoint: Endpoint) -> Endpoint:
            target = self._target()
            target.add_api_route(
                path,
                endpoint,
                methods=list(methods),
                dependencies=dependencies,
                route_class_override=kind,
                **options,
            )
            route = target.routes[-1]
            assert isinstance(route, ServiceRoute)
            route.priority = priority
            return endpoint

        return add

    def get(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Answer GET at `path`; options as in the class."""
        return self._add(["GET"], path, **options)

    def post(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Answer POST at `path`; options as in the class."""
        return self._add(["POST"], path, **options)

    def put(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Answer PUT at `path`; options as in the class."""
        return self._add(["PUT"], path, **options)

    def patch(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Answer PATCH at `path`; options as in the class."""
        return self._add(["PATCH"], path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[Endpoint], Endpoint]:
        """Answer DELETE at `path`; options as in the class."""
        return self._add(["DELETE"], path, **options)


class Router(Routes, APIRouter):
    """A group of routes to be included into a `Service` with `service.include_router(router, prefix=…)`."""

    def _target(self) -> APIRouter:
        return self


async def _scope(request: Request) -> str:
    """What a key is unique in: the route, the user and the calling service, as far as they say who they are."""
    user = await maybe_user(request)
    service = await caller(request) if "x-service-authorization" in request.headers else None
    names = (user.subject if user is not None else "", service.subject if service is not None else "")
    return " ".join((request.method, route_of(request.scope), *names))


async def _fingerprint(request: Request) -> str:
    """A digest of what is asked for: method, path, query and body as sent."""
    parts = (request.method, request.url.path, request.url.query)
    return hashlib.sha256("\n".join(parts).encode() + b"\n" + await request.body()).hexdigest()
